"""API keys of a deployment.

    python -m llmops.serving.keys create --state FOLDER --name alice [--applications handbook] [--groups hr,board]
    python -m llmops.serving.keys list   --state FOLDER
    python -m llmops.serving.keys revoke --state FOLDER --id 1f0c2a9b3d4e

What `create` shows is shown this once; `revoke` holds from the next request on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from llmops.errors import LLMOpsError
from llmops.serving.keys.file import FILE, create_key, read_keys, revoke_key


def main(argv: Sequence[str] | None = None) -> None:
    """Create, list or revoke keys, as the command line says."""
    parser = argparse.ArgumentParser(
        "python -m llmops.serving.keys", description="API keys of a deployment.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    create, listed, revoke = (commands.add_parser(name, allow_abbrev=False) for name in ("create", "list", "revoke"))
    for command in (create, listed, revoke):
        command.add_argument("--state", type=Path, required=True, help="the deployment's folder")
    create.add_argument("--name", required=True, help="whose key it is")
    create.add_argument("--applications", type=_names, help="that may be asked, with commas between (default: all)")
    create.add_argument("--groups", type=_names, help="whose documents may be shown (default: as the release has it)")
    create.add_argument("--expires", help="a date or time in UTC (default: never)")
    create.add_argument("--requests_per_minute", type=int)
    create.add_argument("--tokens_per_minute", type=int)
    revoke.add_argument("--id", required=True, help="as list shows it")
    given = parser.parse_args(argv)
    if given.command == "create":
        settings = {name: value for name, value in vars(given).items() if name not in ("command", "state", "name")}
        key, secret = create_key(given.state, given.name, **settings)
        print(f"{key.key_id}  {key.name}\n{secret}\nIt is shown this once: only its hash is stored.")
    elif given.command == "revoke":
        print(f"revoked {revoke_key(given.state, given.id).name}")
    else:
        for key in read_keys(given.state / FILE):
            scope = f"applications {_shown(key.applications)}, groups {_shown(key.groups)}"
            print(f"{key.key_id}  {key.name}: {scope}, created {key.created}, expires {key.expires or 'never'}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _shown(names: Sequence[str] | None) -> str:
    return "all" if names is None else "/".join(names) or "none"


if __name__ == "__main__":
    try:
        main()
    except LLMOpsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
