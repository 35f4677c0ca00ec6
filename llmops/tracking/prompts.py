"""Prompts in MLflow's registry. Their placeholders are {{context}} and {{question}}, and a literal brace is written once."""

import re
import string

import mlflow
from mlflow.entities.model_registry import PromptVersion
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import PROMPT_TEMPLATE_VARIABLE_PATTERN

from llmops import step
from llmops.addresses import without_password
from llmops.chains.prompt import Prompt, parse_prompt, read_prompt
from llmops.errors import ArtifactError, ConfigError
from llmops.tracking.versions import ABSENT

_SCHEME = "prompts:/"
_VERSION = re.compile("prompts:/[^/@]+(/[0-9]+|@[^/@]+)")
_EXPECTED = "Expected prompts:/<name>/<version> or prompts:/<name>@<alias>."


def find_prompt(source: str) -> Prompt:
    """The prompt in a file, or in the registry: the version that a `prompts:/` URI means now."""
    if source.startswith(_SCHEME):
        return parse_version(load_version(source))
    return read_prompt(step.existing_file(source, "prompt file"))


def pin_prompt(app: str, source: str) -> tuple[Prompt, str]:
    """The prompt, and its version's URI. A file's becomes a version of `<app>-prompt` unless the newest is the same."""
    if source.startswith(_SCHEME):
        found = load_version(source)
        return parse_version(found), found.uri
    prompt = find_prompt(source)
    return prompt, register_template(f"{app}-prompt", prompt.template)


def register_template(name: str, template: str) -> str:
    """The URI of the version of prompt `name` that is this template: the newest one if it is the same, else a new one."""
    parts = string.Formatter().parse(template)
    text = "".join(literal + (f"{{{{{field}}}}}" if field else "") for literal, field, _, _ in parts)
    newest = mlflow.genai.load_prompt(f"prompts:/{name}@latest", allow_missing=True, cache_ttl_seconds=0)
    if newest is None or newest.template != text:
        newest = mlflow.genai.register_prompt(name, text, commit_message="from a file")
    return str(newest.uri)


def load_version(uri: str) -> PromptVersion:
    """The version that `prompts:/<name>/<version>` or `prompts:/<name>@<alias>` means now.

    Raises:
        ArtifactError: there is none.
    """
    registry = without_password(mlflow.get_registry_uri())
    if not _VERSION.fullmatch(uri):
        raise ArtifactError(f"{uri!r} is no prompt of the registry {registry}: it names no version. {_EXPECTED}")
    try:
        found: PromptVersion = mlflow.genai.load_prompt(uri, cache_ttl_seconds=0)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        raise ArtifactError(f"{uri!r} is no prompt of the registry {registry} ({error.message}). {_EXPECTED}") from error
    return found


def parse_version(version: PromptVersion) -> Prompt:
    """The prompt that a version's template is.

    Raises:
        ConfigError: it is made of chat messages or in Jinja, or has other placeholders.
    """
    template = version.template
    if not isinstance(template, str):
        raise _unfit(version, "made of chat messages")
    if "{%" in template:
        raise _unfit(version, "a Jinja template")
    parts = PROMPT_TEMPLATE_VARIABLE_PATTERN.split(template)  # text, a placeholder's name, text, another's name, text ...
    texts = [text.replace("{", "{{").replace("}", "}}") for text in parts[::2]]
    names = parts[1::2]
    try:
        return parse_prompt(texts[0] + "".join(f"{{{name}}}{text}" for name, text in zip(names, texts[1:], strict=True)))
    except ConfigError as error:
        raise _unfit(version, f"a text with placeholders {sorted(set(names))}") from error


def _unfit(version: PromptVersion, found: str) -> ConfigError:
    wanted = "a text with exactly {{context}} and {{question}}"
    return ConfigError(f"{version.uri} is {found}, expected {wanted}. Register such a version.")
