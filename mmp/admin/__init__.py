"""What operators do to a running proxy, and what they are told of it."""
