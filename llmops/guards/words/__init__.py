"""The words that orders to an assistant are made of, by language and kind."""
