"""What the operator sees: log, accounting."""
