"""Approvals of a release by people: version tags, each bound to the release's digest, signed where the policy has a key."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from llmops.registry.decision.keys import fingerprint, load_private_key, parse_public_key
from llmops.registry.decision.policy import Approvals

APPROVED_TAG = "llmops.approved_by."
LEAST = 12  # characters of the digest that an approval without a signature has to hold


@dataclass(frozen=True)
class Approved:
    """Who approves, with the fingerprint of the key that signed, if any; and who doesn't, with the reason."""

    found: Mapping[str, str]
    missing: Mapping[str, str]


def message(model: str, digest: str) -> bytes:
    """What is signed: the release by its content, for one registered model, whatever version it is there."""
    return f"llmops approval\n{model}\n{digest}\n".encode()


def sign(key: Path, model: str, digest: str) -> str:
    """The value of the tag by which the holder of a private key approves.

    Raises:
        ConfigError: it is no ed25519 key, or is locked and its passphrase isn't in the environment.
    """
    signature = load_private_key(key).sign(message(model, digest))
    return f"{digest} {b64encode(signature).decode()}"


def approvals(asked: Approvals, tags: Mapping[str, str], model: str, digest: str) -> Approved:
    """Who of the named users approves the release of this digest, by the tags of its version."""
    found, missing = {}, {}
    for user in asked.named:
        key = asked.signed.get(user)
        reason = _objection(tags.get(APPROVED_TAG + user, ""), model, digest, user, key)
        if reason:
            missing[user] = reason
        else:
            found[user] = fingerprint(key) if key else ""
    return Approved(found, missing)


def _objection(value: str, model: str, digest: str, user: str, key: str | None) -> str:
    """Why a tag's value is no approval; nothing where it is one."""
    if not value.strip():
        return f"has not approved (tag {APPROVED_TAG}{user})"
    said, _, signature = value.strip().partition(" ")
    if len(said) < LEAST or not digest.startswith(said.lower()):
        return f"approved {said[:LEAST]!r}, and the release is {digest[:LEAST]}"
    if key is None:
        return ""
    if not signature:
        return "has not signed, and the policy has a key"
    try:
        parse_public_key(key, user).verify(b64decode(signature, validate=True), message(model, digest))
    except (InvalidSignature, binascii.Error, ValueError):
        return "signed with another key, or something else"
    return ""
