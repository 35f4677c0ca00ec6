"""Ed25519 keys as SSH has them: an approver signs with a private one, a policy names the public one."""

import os
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key, load_ssh_public_key

from llmops.errors import ConfigError

PASSPHRASE_ENV = "LLMOPS_KEY_PASSPHRASE"
_KIND = "ssh-ed25519"


def load_public_key(given: str, folder: Path, user: str) -> str:
    """The line `ssh-ed25519 AAAA...` of a user, which is given itself, or as the file that holds it, below `folder`.

    Raises:
        ConfigError: there is no such file, or it is no such key.
    """
    text = given
    if not given.startswith(_KIND):
        try:
            text = (folder / Path(given).expanduser()).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise ConfigError(
                f"the key of {user} is {given!r:.60}, expected '{_KIND} AAAA...' or its file, beside the policy."
            ) from error
    line = " ".join(text.split()[:2])  # without the comment
    parse_public_key(line, user)
    return line


def parse_public_key(line: str, user: str) -> Ed25519PublicKey:
    """Raises ConfigError if it is no public ed25519 key."""
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"the public key of {user} can't be read ({error}). Make one by ssh-keygen -t ed25519.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(
            f"the public key of {user} is of another kind, expected {_KIND}. Make one by ssh-keygen -t ed25519."
        )
    return key


def fingerprint(line: str) -> str:
    """How ssh-keygen -l shows a public key."""
    return "SHA256:" + b64encode(sha256(b64decode(line.split()[1])).digest()).decode().rstrip("=")


def load_private_key(file: Path) -> Ed25519PrivateKey:
    """A private key, as ssh-keygen writes it or in PEM; the passphrase of a locked one is in LLMOPS_KEY_PASSPHRASE.

    Raises:
        ConfigError: it is no such key, or is locked and the passphrase is missing or wrong.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"the key {str(file)!r} can't be read ({error.strerror}). Give an ed25519 private key.") from error
    passphrase = os.environ.get(PASSPHRASE_ENV, "").encode() or None
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        key = load(data, passphrase)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(_explain(file, error, passphrase is not None)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"the key {file.name} is of another kind, expected ed25519. Make one by ssh-keygen -t ed25519.")
    return key


def _explain(file: Path, error: Exception, has_passphrase: bool) -> str:
    if isinstance(error, UnsupportedAlgorithm) and "bcrypt" in str(error):
        return (
            f"the key {file.name} is locked as OpenSSH does. To open it, pip install bcrypt; or keep a copy in PKCS8's PEM."
        )
    if isinstance(error, TypeError) and not has_passphrase:
        return f"the key {file.name} is locked. Put its passphrase in the environment variable {PASSPHRASE_ENV}."
    if isinstance(error, TypeError):
        return f"the key {file.name} isn't locked and {PASSPHRASE_ENV} is set. Unset it."
    return (
        f"the key {file.name} can't be read ({error}). Give an ed25519 private key, and its passphrase in {PASSPHRASE_ENV}."
    )
