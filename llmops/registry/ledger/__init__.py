"""The ledger of a seat: what was decided about it, in a chain that only grows."""
