"""Question sets and training examples, read and checked."""
