"""Settings of a deployment (`-C key=value`, or a YAML file of them), checked before anything starts."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from llmops.addresses import without_password
from llmops.errors import ConfigError
from llmops.registry.lines import find_line, read_marked
from llmops.step import setting

FILE = "config"
ENGINES, BASE_CHANGES = ("transformers", "vllm", "url"), ("refuse", "restart")
_CHOICES = {"engine": ENGINES, "base_change": BASE_CHANGES}
_VLLM = ("threads", "window", "gpu_share")
_PATHS = ("certificate", "private_key")
_TRUE, _FALSE = ("true", "yes"), ("false", "no")
_BOUNDS: dict[str, tuple[float, float]] = {
    "port": (0, 65535), "workers": (1, 64), "poll_s": (0.1, 86400), "canary": (0, 100), "trace_rate": (0, 1),
    "threads": (0, 1024), "window": (0, 10_000_000), "gpu_share": (0, 1), "max_in_flight": (1, 10_000),
    "max_waiting": (0, 100_000), "timeout_s": (1, 86400), "request_timeout_s": (1, 86400),
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How a deployment is served.

    Raises:
        ConfigError: a value makes no sense, alone or beside the others.
    """

    port: int = setting("port of the gateway; 0 takes a free one, and an update keeps it", 0)
    host: str = setting("address it listens on; another than the loopback's needs API keys", "127.0.0.1")
    workers: int = setting("gateway processes that share the port", 1)
    engine: str = setting("what generates: transformers (in each worker), vllm (one for all on a base), url", "transformers")
    engine_url: str = setting("address of an OpenAI-compatible server, for engine=url", "")
    engine_model: str = setting("name of the model there; empty means the release's", "")
    engine_key_env: str = setting("environment variable with the key for it", "")
    threads: int = setting("compute threads of vLLM on a processor; 0: one, of more than three cores all but two", 0)
    window: int = setting("most tokens of prompt and answer in vLLM; 0: what the base has", 0)
    gpu_share: float = setting("share of a GPU's memory that vLLM takes; 0: 0.9", 0.0)
    follow: bool = setting("go where the alias goes; false stays with the version that it means now", True)
    poll_s: float = setting("seconds between two looks at the alias", 15.0)
    canary: float = setting("percent of users that @challenger answers", 0.0)
    shadow: bool = setting("let @challenger answer a copy of the traffic, which nobody sees", False)
    allow_unattested: bool = setting("serve what the ledger doesn't attest", False)
    base_change: str = setting("a release on another base: refuse, or restart the engine", "refuse")
    trace_rate: float = setting("share of answers that are traced", 1.0)
    max_in_flight: int = setting("requests that a worker answers at once", 32)
    max_waiting: int = setting("requests that wait beside them; more are refused with 429", 64)
    timeout_s: float = setting("seconds to wait for a start or an update", 600.0)
    request_timeout_s: float = setting("seconds that a request may take, waiting included", 120.0)
    certificate: str = setting("file of the TLS certificate, with its chain", "")
    private_key: str = setting("file of its private key", "")
    webhook_secret_env: str = setting("environment variable with the secret of MLflow's webhook", "")

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _check_alone(name, value)
        self._check_together()

    def _check_together(self) -> None:
        shown = without_password(self.engine_url)
        if (self.engine == "url") != bool(self.engine_url):
            needs = "needs engine_url" if self.engine == "url" else f"has no use for engine_url={shown}"
            raise _Wrong("engine", f"is {self.engine}, which {needs}. Give both engine=url and engine_url, or neither.")
        if self.engine_url and not self.engine_url.startswith(("http://", "https://")):
            raise _Wrong("engine_url", f"is {shown!r}, expected an address such as http://127.0.0.1:8000/v1.")
        if self.engine != "vllm" and (given := next(iter(self.vllm_settings), "")):
            raise _Wrong(given, f"is for engine=vllm, and engine is {self.engine}. Give 0, or engine=vllm.")
        if bool(self.certificate) != bool(self.private_key):
            raise _Wrong("certificate", "and private_key belong together: give both, or neither.")
        if not self.follow and (self.canary or self.shadow):
            raise _Wrong("follow", "is false, so nobody looks for a challenger: leave out canary and shadow.")

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    @property
    def vllm_settings(self) -> dict[str, Any]:
        """What vLLM is started with, where that isn't to follow from the release and the machine."""
        return {name: value for name in _VLLM if (value := getattr(self, name))}

    def other_vllm(self, wanted: "Options") -> str:
        """What a vLLM of these options would have to be started anew for; empty where it may stay, or isn't wanted."""
        others = [f"{name}={getattr(wanted, name)}" for name in _VLLM if getattr(wanted, name) != getattr(self, name)]
        return ", ".join(others) if wanted.engine == "vllm" else ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class _Wrong(ConfigError):
    """A setting that makes no sense."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name} {text}")
        self.name = name


def read_options(config: Mapping[str, Any], base: Options | None = None) -> Options:
    """The options that a user gives: those of the file `config` names, over them the others; the rest is as in `base`.

    Paths become absolute: whoever reads them works elsewhere.

    Raises:
        ConfigError: a name or value makes no sense; with the line if it stands in the file.
    """
    given = {name: value for name, value in config.items() if name != FILE}
    values = asdict(base or Options()) | _from_file(config) | dict(_checked(given))
    return Options(**values)


def _from_file(config: Mapping[str, Any]) -> dict[str, Any]:
    if FILE not in config:
        return {}
    path = Path(str(config[FILE])).expanduser()
    data, lines = read_marked(path, "options")
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name}:1: found {str(data)[:60]!r}, expected options such as 'port: 8210'.")
    try:
        return dict(_checked(data, path.parent))
    except _Wrong as error:
        raise ConfigError(f"{path.name}:{find_line(lines, (error.name,))}: {error}") from error


def _checked(given: Mapping[str, Any], folder: Path | None = None) -> Iterator[tuple[str, Any]]:
    """Options by name, of their types."""
    hints = get_type_hints(Options)
    for name, value in given.items():
        if name not in hints:
            raise _Wrong(str(name), f"is no option.{_hint(str(name), hints)} Options: {', '.join(hints)}.")
        typed = _typed(name, value, hints[name])
        _check_alone(name, typed)
        if name in _PATHS and typed:
            typed = str(((folder or Path()) / Path(typed).expanduser()).resolve())
        yield name, typed


def _typed(name: str, value: Any, kind: type) -> Any:
    text = str(value).strip()
    if kind is bool and text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    if kind in (int, float) and not isinstance(value, bool):
        try:
            return kind(text)
        except ValueError:
            pass
    if kind is str and isinstance(value, str):
        return text
    expected = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
    raise _Wrong(name, f"is {value!r}, expected {expected}.")


def _check_alone(name: str, value: Any) -> None:
    if name in _CHOICES and value not in (allowed := _CHOICES[name]):
        raise _Wrong(name, f"is {value!r}, expected one of {', '.join(allowed)}.{_hint(value, allowed)}")
    low, high = _BOUNDS.get(name, (0.0, 0.0))
    if name in _BOUNDS and not low <= value <= high:
        raise _Wrong(name, f"is {value:g}, expected {low:g} to {high:g}.")
    if name == "host" and not value:
        raise _Wrong(name, "is empty, expected an address such as 127.0.0.1 or 0.0.0.0.")


def _hint(given: str, known: Any) -> str:
    near = get_close_matches(given, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def help_text() -> str:
    """A line per option, as `mlflow deployments help` shows them."""
    wide = max(len(field.name) for field in fields(Options))
    lines = [f"    {field.name:<{wide}}  {field.metadata['help']}{_default(field)}" for field in fields(Options)]
    return "\n".join([*lines, f"    {FILE:<{wide}}  YAML file with any of these; -C stands above it"])


def _default(field: Field[Any]) -> str:
    if field.default in (MISSING, ""):
        return ""
    shown = str(field.default).lower() if isinstance(field.default, bool) else f"{field.default}"
    return f" (default: {shown.removesuffix('.0')})"
