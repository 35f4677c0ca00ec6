"""Training beside what a team would use instead, and what it is good for."""
