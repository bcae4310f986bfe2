"""A multiplexing proxy for IMAP, POP3 and mail submission."""

__version__ = "0.1.0.dev0"
