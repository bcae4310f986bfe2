"""Mail submission up to the login, both sides, and the guard that follows it."""
