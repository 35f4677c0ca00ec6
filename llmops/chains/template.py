"""Templates of prompts: text with placeholders in braces, a literal brace written twice."""

import string
from collections.abc import Collection

from llmops.errors import ConfigError


def check_template(template: str, placeholders: Collection[str], what: str = "the prompt") -> str:
    """The template without the space around it.

    Raises:
        ConfigError: it has other placeholders than these, each at least once; `what` is what the message calls it.
    """
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise ConfigError(f"{what} is no valid template ({error}). Write a literal brace twice.") from error
    found = {str(name) for _, name, _, _ in fields}
    if found != set(placeholders) or any(spec or conversion for _, _, spec, conversion in fields):
        expected = " and ".join(f"{{{name}}}" for name in placeholders)
        raise ConfigError(f"{what} has placeholders {sorted(found)}, expected exactly {expected}.")
    return template.strip()
