"""ManageSieve up to the login, both sides."""
