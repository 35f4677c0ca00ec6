"""What nothing references any more, and its removal."""
