"""Who is asked for a share of the users: the same users each time."""

import random
from hashlib import sha256


def place(uri: str, user: str) -> float:
    """Where a user stands, from 0 to 100, for a release: always there, elsewhere for another. One without name anywhere."""
    if not user:
        return random.random() * 100
    return int.from_bytes(sha256(f"{uri} {user}".encode()).digest()[:8]) / 2**64 * 100
