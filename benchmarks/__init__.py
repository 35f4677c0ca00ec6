"""What retrieval is worth, measured side by side with its peers on data that nobody here wrote."""
