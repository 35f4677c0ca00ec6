"""What a webhook delivers: a gateway tells a real one from a forged, a late or a repeated one."""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TOLERANCE_S = 300  # between a delivery's time and ours


@dataclass(frozen=True)
class Deliveries:
    """Those that came: empty files in a folder that all workers of a deployment share. Who makes one was first."""

    folder: Path

    def is_new(self, delivery: str, sent: int, now: float) -> bool:
        """Note a delivery, and whether it came for the first time. One that can't be noted, on a full disk, is not new."""
        self._forget(now)
        file = self.folder / hashlib.sha256(delivery.encode()).hexdigest()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.utime(file, (sent, sent))
        except OSError:
            return False
        return True

    def _forget(self, now: float) -> None:
        for file in self.folder.glob("*"):
            with suppress(OSError):  # another worker was first
                if now - file.stat().st_mtime > TOLERANCE_S:
                    file.unlink()


def verify(secret: str, headers: Mapping[str, str], body: bytes, seen: Deliveries, now: float) -> bool:
    """Whether a delivery was signed with the secret, by MLflow's scheme, within five minutes, and did not come before.

    The signature is `v1,` and the base64 of HMAC-SHA256 over `<delivery id>.<time>.<body>`. `now` is in seconds since 1970.
    `seen` remembers deliveries until their time has run out.
    """
    told = {name.lower(): value for name, value in headers.items()}
    delivery, sent, signature = (told.get(f"x-mlflow-{name}", "") for name in ("delivery-id", "timestamp", "signature"))
    is_timely = re.fullmatch("[0-9]{1,12}", sent) is not None and abs(now - int(sent)) <= TOLERANCE_S
    if not (secret and delivery and is_timely):
        return False
    mac = hmac.new(secret.encode(), f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    if not hmac.compare_digest(signature.encode(), b"v1," + base64.b64encode(mac)):
        return False
    return seen.is_new(delivery, int(sent), now)
