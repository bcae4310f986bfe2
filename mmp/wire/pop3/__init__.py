"""POP3 up to the login, both sides."""
