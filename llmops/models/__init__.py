"""Where weights come from, what generates with them, and the adapter folder."""
