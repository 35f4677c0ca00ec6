"""Where vLLM is: in an environment of its own, for it wants other versions of the libraries than we do."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from llmops import files
from llmops.errors import EngineError
from llmops.serving import state

VARIABLE = "LLMOPS_ENGINE"
_TIMEOUT_S = 300.0  # importing torch on a busy machine


@dataclass(frozen=True)
class EngineEnvironment:
    """The command `vllm`, its version, such as 0.32.0+cpu, and what it computes on: "cpu" or "gpu"."""

    command: str
    version: str
    device: str


def find_environment() -> EngineEnvironment:
    """vLLM's environment: the folder that LLMOPS_ENGINE names, else `.engine` of the project or beside our own.

    Raises:
        EngineError: there is none, or its vLLM doesn't run.
    """
    command = _find_command()
    known, stamp = state.state_folder() / "engines" / "environment.json", command.stat().st_mtime
    try:
        found = json.loads(known.read_text(encoding="utf-8"))
        if (found.pop("stamp"), found["command"]) == (stamp, str(command)):
            return EngineEnvironment(**found)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not looked at yet, or another one
    made = _ask(command)
    known.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(known, json.dumps({**asdict(made), "stamp": stamp}))
    return made


def _find_command() -> Path:
    named = os.environ.get(VARIABLE, "").strip()
    folders = [Path(named).expanduser()] if named else [Path.cwd() / ".engine", Path(sys.prefix).parent / ".engine"]
    for folder in folders:
        if (command := folder.absolute() / "bin" / "vllm").is_file():
            return command
    looked = " or ".join(map(str, folders))
    raise EngineError(f"there is no vLLM in {looked}. Make its environment: `make engine`, or name one in {VARIABLE}.")


def _ask(command: Path) -> EngineEnvironment:
    try:
        asked = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        said, lines = asked.stderr, asked.stdout.split()
    except (OSError, subprocess.TimeoutExpired) as error:
        said, lines = str(error), []
    if not lines or not lines[-1][:1].isdigit():
        reason = (said.strip().splitlines() or ["it says nothing"])[-1][:300]
        raise EngineError(f"{command} doesn't run ({reason}). Make its environment anew: `make engine`.")
    return EngineEnvironment(str(command), lines[-1], "cpu" if "cpu" in lines[-1] else "gpu")
