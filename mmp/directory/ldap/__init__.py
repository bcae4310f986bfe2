"""The directory behind LDAP (RFC 4511)."""
