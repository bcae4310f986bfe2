"""What workers and hosts know together."""
