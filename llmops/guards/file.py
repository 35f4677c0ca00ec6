"""Guard settings in a YAML file, beside the policy: reviewed like code."""

from pathlib import Path

import yaml

from llmops.errors import ConfigError
from llmops.guards.settings import GuardSettings


def read_guards(path: Path) -> GuardSettings:
    """Read settings; what the file leaves out has its default.

    Raises:
        ConfigError: the file is missing or no YAML, or a setting in it is unknown or makes no sense.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"guards {str(path)!r} can't be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} holds {data!r}, expected guards and what they do, such as injection: block.")
    settings = {name: "off" if value is False else value for name, value in data.items()}  # YAML reads off as false
    try:
        return GuardSettings.from_dict(settings)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error
