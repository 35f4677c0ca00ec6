"""This package as a wheel: a release carries the code it was judged with."""

import base64
import hashlib
import re
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path

from llmops.tracking.run import package_version
from llmops.tracking.sources import PACKAGES, ROOT

_TIME = (2020, 1, 1, 0, 0, 0)  # of all files: the same code is the same wheel
_NAME = "mlflow_llmops"


def write_wheel(folder: Path) -> Path:
    """Write the package that runs here as a wheel (PEP 427) into `folder`; equal code makes an equal file.

    Other code has another name, by the build tag: MLflow shares an environment between models that list the same names.
    """
    number = package_version().replace("source", "0")
    info = f"{_NAME}-{number}.dist-info"
    members = {name: path.read_bytes() for name, path in _sources().items()}
    members |= {
        f"{info}/METADATA": _metadata(number).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: llmops\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[mlflow.deployments]\nllmops = mlflow_plugins.deployments\n",
    }
    record = "".join(f"{name},{_digest(content)},{len(content)}\n" for name, content in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{_NAME}-{number}-0{hashlib.sha256(record.encode()).hexdigest()[:12]}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, _TIME)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(member, content)
    return wheel


def pinned_requirements(*extras: str) -> list[str]:
    """What the package needs besides Python, and `extras`, in the versions installed here, builds such as +cpu not named."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in [*required_names(), *extras]]


def required_names(extras: bool = False) -> list[str]:
    """The packages that ours needs; with `extras` also those of its extras, installed or not."""
    try:
        lines = requires("mlflow-llmops") or []
    except PackageNotFoundError:  # run from a checkout that was never installed
        lines = []
    return [re.split(r"[<>=!~ ;\[]", line, maxsplit=1)[0] for line in lines if extras or "extra ==" not in line]


def _sources() -> dict[str, Path]:
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path for path in sorted(found)}


def _metadata(number: str) -> str:
    """The metadata of what is installed, which in a checkout an .egg-info folder has under another name."""
    try:
        installed = distribution("mlflow-llmops")
        found = installed.read_text("METADATA") or installed.read_text("PKG-INFO")
    except PackageNotFoundError:
        found = None
    return found or f"Metadata-Version: 2.1\nName: mlflow-llmops\nVersion: {number}\n"


def _digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
