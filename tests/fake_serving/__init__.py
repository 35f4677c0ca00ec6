"""A supervisor whose worker and reconciler need no release, so that tests start them in milliseconds."""
