"""Which host keeps a user's mail, and how to reach it."""
