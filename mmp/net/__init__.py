"""The only package that touches transports and TLS."""
