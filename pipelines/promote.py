"""Step `promote`: an evaluation and a policy -> a decision in the ledger; `@champion` moves only on evidence.

    mlflow run . -e promote --env-manager local -P policy=policies/demo.yaml
    python -m pipelines.promote --candidate rag --exit_code

Whatever is decided, the run ends FINISHED; what was decided stands in its tag `llmops.decision`. With `exit_code` the
process tells it: 0 promoted, 3 kept, 4 insufficient evidence, 2 a user's mistake.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PROJECT_ENTRY_POINT

from llmops import step
from llmops.errors import ArtifactError, ConfigError
from llmops.registry.decision.decision import gates_table
from llmops.registry.decision.gates import INSUFFICIENT, KEEP, PROMOTE
from llmops.registry.decision.policy import read_policy
from llmops.registry.environments import check_source
from llmops.registry.ledger.standing import standing
from llmops.registry.promotion import Promotion, find_holder, promote
from llmops.registry.seat import Seat
from llmops.registry.settings import SeatSettings
from llmops.registry.store_errors import NEEDS, start_registry_step
from llmops.tracking import evaluations
from llmops.tracking.evaluations import Evaluated
from llmops.tracking.question_sets import SCHEME, SET_MARK
from llmops.tracking.run import logged_config
from llmops.tracking.versions import Registered, get_version
from pipelines import evaluate
from pipelines.evaluate import EvaluateConfig

EXIT_CODES = {PROMOTE: 0, KEEP: 3, INSUFFICIENT: 4}
DECISION_FILE = "decision.md"


@dataclass(frozen=True)
class PromoteConfig(SeatSettings):
    """Decide by a policy whether the best candidate of an evaluation becomes champion."""

    policy: str = step.setting("policy file; empty means the environment's, or policies/default.yaml", "")
    candidate: str = step.setting("candidate to judge; empty means the best that passes", "")
    evaluation: str = step.setting("run id of the evaluation; empty means the newest finished one", "")
    exit_code: str = step.setting("yes ends with 0 if promoted, 3 if kept, 4 on insufficient evidence", "no")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exit_code not in ("yes", "no"):
            raise ConfigError(f"exit_code is {self.exit_code!r}, expected yes or no.")


def main(config: PromoteConfig) -> Promotion:
    """Decide, write it into the ledger, move the alias if the decision says so, and log the reasons."""
    with start_registry_step("promote", config, f"decide about {config.app!r}", NEEDS) as run:
        seat, environment = config.seat(), config.found_environment()
        policy_path = step.existing_file(config.policy or environment.policy or "policies/default.yaml", "policy file")
        policy = read_policy(policy_path)
        evidence = _evidence(config)
        mlflow.MlflowClient().log_inputs(run.info.run_id, evidence.inputs.dataset_inputs)
        evaluated = _with_holder(seat, evidence, evaluations.read_evaluation(evidence))
        candidate = _from_source(config, evaluated) or config.candidate
        mlflow.log_artifact(str(policy_path))
        promotion = promote(seat, policy, evaluated, candidate, evidence.info.run_id, run.info.run_id)
        story = _story(seat, promotion)
        mlflow.log_dict(_record(promotion), "decision.json")
        mlflow.log_text(_report(promotion), DECISION_FILE)
        mlflow.set_tags({"llmops.decision": promotion.entry.decision, "llmops.release": promotion.challenger.uri})
        mlflow.set_tag("mlflow.note.content", story)
    print(story)
    return promotion


def _evidence(config: PromoteConfig) -> Run:
    if config.evaluation:
        return evaluations.get_evaluation(config.app, config.evaluation)
    return evaluations.find_evaluation(config.app)


def _with_holder(seat: Seat, evidence: Run, evaluated: list[Evaluated]) -> list[Evaluated]:
    """The evaluation, and what holds the seat asked the same frozen questions, if it wasn't."""
    holder = find_holder(seat)
    if holder is None or _find(evaluated, holder.digest):
        return evaluated
    given = logged_config(evidence, EvaluateConfig)
    frozen = next((one.dataset.name for one in evidence.inputs.dataset_inputs if SET_MARK in one.dataset.name), None)
    if frozen is None:
        raise ArtifactError(
            f"evaluation {evidence.info.run_id} names no frozen questions to ask {holder.uri}. Evaluate again."
        )
    asked = {**given, "kinds": holder.uri, "baselines": "", "questions": SCHEME + frozen}
    again = mlflow.get_run(evaluate.main(EvaluateConfig(**asked)))
    evaluations.set_aside(again.info.run_id)
    return [*evaluated, *(one for one in evaluations.read_evaluation(again) if one.release == holder.uri)]


def _find(evaluated: Sequence[Evaluated], digest: str) -> Evaluated | None:
    return next((one for one in evaluated if one.release and get_version(one.release).digest == digest), None)


def _from_source(config: PromoteConfig, evaluated: Sequence[Evaluated]) -> str:
    """The candidate that holds the seat which this one is filled from; "" where it may be any, or the one asked for is none.

    Raises:
        ConfigError: it wasn't evaluated, or another candidate is asked for.
    """
    source, names = config.source_seat(), [one.scorecard.candidate for one in evaluated]
    if source is None or (config.candidate and config.candidate not in names):
        return ""
    origin, environment = standing(source), config.found_environment()
    held = find_holder(source, origin)
    found = _find(evaluated, held.digest) if held else None
    if held is not None and found is None:
        raise ConfigError(
            f"{source.name} is {held.uri}, which was not evaluated. Run -e evaluate -P kinds={held.uri} first."
        )
    named = next((one for one in evaluated if one.scorecard.candidate == config.candidate), found)
    check_source(environment, origin, _version(named, config.candidate, source))
    assert named is not None
    return named.scorecard.candidate


def _version(evaluated: Evaluated | None, candidate: str, source: Seat) -> Registered:
    if evaluated is None or not evaluated.release:
        raise ConfigError(
            f"{source.name} holds no release, so {candidate or 'nothing'} can come from there. Promote one there first."
        )
    return get_version(evaluated.release)


def _record(promotion: Promotion) -> dict[str, Any]:
    decision = promotion.choice.decision
    return {
        "decision": decision.verdict,
        "challenger": {"candidate": decision.challenger, "release": promotion.challenger.uri},
        "champion_before": promotion.before and promotion.before.uri,
        "champion_after": promotion.after and promotion.after.uri,
        "entry": vars(promotion.entry),
        "gates": [vars(gate) | {"interval": gate.interval and vars(gate.interval)} for gate in decision.gates],
    }


def _report(promotion: Promotion) -> str:
    """The gates of the decision that counts, and of those about the other candidates."""
    choice = promotion.choice
    why = [f"{choice.why}.\n"] if choice.why else []
    return "\n".join([gates_table(choice.decision), *why, *map(gates_table, choice.others)])


def _story(seat: Seat, promotion: Promotion) -> str:
    choice, entry, after = promotion.choice, promotion.entry, promotion.after
    lines = [f"repaired: {line}" for line in promotion.repaired]
    lines.append(f"{choice.decision.verdict}: {choice.decision.challenger} ({promotion.challenger.uri})")
    lines += [f"  - {gate.text}" for gate in choice.decision.gates]
    lines += [f"  {choice.why}"] if choice.why else []
    lines.append(f"  @{seat.alias} is {after.uri}" if after else f"  there is no @{seat.alias}")
    lines.append(f"  ledger of {seat.name}: entry {entry.number}" + (", decided before" if promotion.again else ""))
    return "\n".join(lines)


def exit_code(config: PromoteConfig, promotion: Promotion) -> int:
    """0 unless it is asked for; of what is decided already, what was decided then. `mlflow run` fails at any other code."""
    run = mlflow.last_active_run() if config.exit_code == "yes" else None
    return EXIT_CODES[promotion.entry.decision] if run and MLFLOW_PROJECT_ENTRY_POINT not in run.data.tags else 0


if __name__ == "__main__":
    step.run(main, PromoteConfig, exit_code)
