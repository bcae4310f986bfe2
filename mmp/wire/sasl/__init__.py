"""SASL mechanisms (RFC 4422), one file each."""
