"""YAML that a person wrote: its data, and the line on which each key and item of it stands."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from llmops.errors import ConfigError

Place = tuple[str | int, ...]
"""The keys and numbers that lead to a value, from the outermost."""


def read_marked(path: Path, what: str) -> tuple[Any, dict[Place, int]]:
    """The data of a YAML file, and the line of each place in it.

    Raises:
        ConfigError: it can't be read or is no YAML, a key is given twice or is no text, or it has anchors.
    """
    try:
        text = path.read_text(encoding="utf-8")
        anchored = next((event for event in yaml.parse(text, yaml.SafeLoader) if getattr(event, "anchor", None)), None)
        if anchored is not None:  # they may hold themselves, and nobody sees in a review what they stand for
            raise ConfigError(f"{_at(path, anchored.start_mark)}: found an anchor or alias. Write out what it stands for.")
        lines = dict(_walk(path, yaml.compose(text, yaml.SafeLoader), ()))
        return yaml.safe_load(text), lines
    except yaml.MarkedYAMLError as error:
        raise ConfigError(
            f"{_at(path, error.problem_mark)}: {what} is no YAML: {error.problem or error.context}."
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{what} {str(path)!r} can't be read: {' '.join(str(error).split())}") from error


def find_line(lines: Mapping[Place, int], place: Place) -> int:
    """The line of a place, or of the nearest around it that stands in the file; a list's only item may stand alone."""
    while place and place not in lines:
        without = tuple(part for part in place if isinstance(part, str))
        if without in lines:
            return lines[without]
        place = place[:-1]
    return lines.get(place, 1)


def _walk(path: Path, node: yaml.Node | None, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise ConfigError(f"{_at(path, key.start_mark)}: found a key that is no text. Put it in quotes, or mend it.")
            if key.value in seen:
                raise ConfigError(f"{_at(path, key.start_mark)}: {key.value!r} is given twice. Keep one of them.")
            seen.add(key.value)
            yield (*place, key.value), key.start_mark.line + 1
            yield from _walk(path, value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield (*place, number), item.start_mark.line + 1
            yield from _walk(path, item, (*place, number))


def _at(path: Path, mark: yaml.Mark | None) -> str:
    return f"{path.name}:{mark.line + 1}" if mark else path.name
