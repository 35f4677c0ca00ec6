"""Step `parity`: a release and a server of its model -> a certificate that both engines answer alike.

    mlflow run . -e parity --env-manager local -P release=models:/handbook/4 -P server=http://127.0.0.1:8000/v1
    python -m pipelines.parity --release models:/handbook/4 --server http://127.0.0.1:8000/v1 --engine vllm --dtype bfloat16

The run ends FINISHED however alike the answers are: a policy says how alike they have to be.
"""

from dataclasses import dataclass

import mlflow

from llmops import step
from llmops.chains.parts import check_server
from llmops.errors import ConfigError
from llmops.models.http.engine import HttpEngine
from llmops.models.http.limits import read_limits
from llmops.registry.store_errors import NEEDS, start_registry_step
from llmops.tracking.parity import Parity, compare_engines, log_parity
from llmops.tracking.question_sets import load_questions
from llmops.tracking.releases import read_release
from llmops.tracking.run import progress_bar
from llmops.tracking.versions import get_version


@dataclass(frozen=True)
class ParityConfig:
    """Compare a release's answers in this process with those on a server of the same base and adapter."""

    app: str = step.setting("application that the release is of", "handbook")
    release: str = step.setting("the release, models:/<app>/<version> or models:/<app>@<alias>", "models:/handbook@champion")
    server: str = step.setting("API of an OpenAI-compatible server of the release's model", "")
    server_model: str = step.setting("the base's name at the server; empty means the one that it has here", "")
    server_adapter: str = step.setting("the adapter's name at the server; empty means <app>-adapter-<version>", "")
    server_key_env: str = step.setting("environment variable that holds the server's key", "OPENAI_API_KEY")
    engine: str = step.setting("what runs on the server, by the name that policies have for it", "vllm")
    dtype: str = step.setting("dtype in which it computes", "bfloat16")
    questions: str = step.setting("questions to compare on", "examples/handbook/questions-test.jsonl")

    def __post_init__(self) -> None:
        if not self.server:
            raise ConfigError("server is empty, expected the API of a server of the release's model, http://host:port/v1.")
        check_server(self.server)


def main(config: ParityConfig) -> Parity:
    """Answer on both engines, compare, and log the certificate."""
    with start_registry_step("parity", config, f"certify {config.release}", f"{NEEDS}, EDIT permission on the model"):
        version = get_version(config.release)
        release, limits = read_release(version.uri), read_limits()
        mlflow.set_tags({"llmops.app": config.app, "llmops.release": version.uri})
        served = HttpEngine(
            config.server, config.server_model or release.generator.base, config.server_key_env, limits.concurrency,
            limits.timeout_s, limits.retries, limits.requests_per_minute,
        )  # fmt: skip
        engine = {"name": config.engine, "dtype": config.dtype}
        parity = compare_engines(
            version.uri, release, load_questions(config.questions), served, engine, config.server_adapter or None,
            progress_bar("parity"),
        )  # fmt: skip
        log_parity(parity, version)
    print(
        f"{version.uri} on {config.engine} ({config.dtype}) and {parity.reference['name']} ({parity.reference['dtype']}): "
        f"{parity.equal.mean:.1%} of {parity.equal.n} answers equal, F1 between them {parity.f1.mean:.3f}"
    )
    return parity


if __name__ == "__main__":
    step.run(main, ParityConfig)
