"""IMAP before login, both sides (RFC 9051, RFC 3501)."""
