"""Who the user is and where their mail lives."""
