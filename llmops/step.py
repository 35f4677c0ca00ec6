"""Turn a config dataclass into a command line: field -> flag, type -> type, default -> default."""

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from llmops.errors import LLMOpsError

Config = TypeVar("Config")
Made = TypeVar("Made")


def setting(help: str, default: Any = MISSING) -> Any:
    """Declare a config field with the help text its flag shows."""
    return dataclasses.field(default=default, metadata={"help": help})


def parse(config: type[Config], argv: list[str] | None = None) -> Config:
    """Parse `argv` (default: the process's); a misspelt flag is an error. Help shows inherited fields last.

    Of a field that is "yes" or "no" the flag alone means yes.
    """
    parser = argparse.ArgumentParser(description=config.__doc__, allow_abbrev=False)
    hints = get_type_hints(config)
    own = config.__annotations__
    for field in sorted(fields(config), key=lambda field: field.name not in own):  # type: ignore[arg-type]
        parser.add_argument(
            f"--{field.name}", type=hints[field.name], help=_help(field), required=field.default is MISSING,
            default=None if field.default is MISSING else field.default,
            **({"nargs": "?", "const": "yes"} if field.default in ("yes", "no") else {}),
        )  # fmt: skip
    return config(**vars(parser.parse_args(argv)))


def _help(field: Field[Any]) -> str:
    text = str(field.metadata.get("help", ""))
    shown = text if field.default in (MISSING, "") else f"{text} (default: {field.default})"
    return shown.replace("%", "%%")  # argparse formats it


def run(
    main: Callable[[Config], Made], config: type[Config], exit_code: Callable[[Config, Made], int] | None = None
) -> None:
    """Run a step: a user's mistake is one line and exit 2, a bug keeps its traceback.

    `exit_code` says by what was made how the process ends; without it all goes well.
    """
    try:
        parsed = parse(config)
        made = main(parsed)
    except LLMOpsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if exit_code is not None:
        raise SystemExit(exit_code(parsed, made))


def existing_file(value: str, what: str) -> Path:
    """Resolve a file given by the user against the working directory, which MLflow sets to the project.

    Raises:
        LLMOpsError: no file is there.
    """
    path = Path(value).expanduser().resolve()
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise LLMOpsError(f"{what} {value!r} {found} (looked at {path}). Give an existing file.")
    return path


def existing_folder(value: str, what: str) -> Path:
    """Resolve a folder given by the user, as `existing_file` does.

    Raises:
        LLMOpsError: no folder is there.
    """
    path = Path(value).expanduser().resolve()
    if not path.is_dir():
        found = "is a file" if path.is_file() else "does not exist"
        raise LLMOpsError(f"{what} {value!r} {found} (looked at {path}). Give an existing folder.")
    return path


def existing(value: str, what: str) -> Path:
    """Resolve a file or folder given by the user, as `existing_file` does.

    Raises:
        LLMOpsError: neither is there.
    """
    path = Path(value).expanduser().resolve()
    if not path.exists():
        raise LLMOpsError(f"{what} {value!r} does not exist (looked at {path}). Give an existing folder or file.")
    return path


def check_app(app: str) -> str:
    """Return the name of an application if registry and shell can hold it.

    Raises:
        LLMOpsError: it has other than letters, digits, ".", "_" and "-".
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", app):
        raise LLMOpsError(f"app is {app!r}, expected letters, digits, '.', '_' and '-'. Rename it.")
    return app
