"""The configuration file: its schema, how it is read, what is wrong with it."""
