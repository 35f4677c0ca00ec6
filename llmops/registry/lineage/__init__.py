"""Where a release comes from, and where it went."""
