"""Step `promote`: an evaluation and a policy -> a decision; `@champion` moves only on evidence.

    mlflow run . -e promote --env-manager local -P policy=policies/demo.yaml
    python -m pipelines.promote --candidate rag

Whatever is decided, the run ends FINISHED; what was decided stands in its tag `llmops.decision`.
"""

from dataclasses import dataclass

import mlflow
from mlflow.entities import Run

from llmops import step
from llmops.registry.policy import read_policy
from llmops.registry.promotion import Promotion, promote
from llmops.tracking import evaluations
from llmops.tracking.run import start_step


@dataclass(frozen=True)
class PromoteConfig:
    """Decide by a policy whether the best candidate of an evaluation becomes champion."""

    app: str = step.setting("application whose alias @champion may move", "handbook")
    policy: str = step.setting("policy file", "policies/demo.yaml")
    candidate: str = step.setting("candidate to judge; empty means the best by the policy's metric", "")
    evaluation: str = step.setting("run id of the evaluation; empty means the newest finished one", "")


def main(config: PromoteConfig) -> Promotion:
    """Decide, move the alias if the decision says so, and log the reasons."""
    with start_step("promote", config):
        policy_path = step.existing_file(config.policy, "policy file")
        policy = read_policy(policy_path)
        run = _evaluation(config)
        promotion = promote(config.app, policy, evaluations.read_evaluation(run), config.candidate)
        mlflow.log_artifact(str(policy_path))
        mlflow.log_dict(_record(promotion, run.info.run_id), "decision.json")
        mlflow.set_tags({"llmops.decision": promotion.decision.verdict, "llmops.release": promotion.challenger.uri})
        mlflow.set_tag("mlflow.note.content", _story(promotion))
    print(_story(promotion))
    return promotion


def _evaluation(config: PromoteConfig) -> Run:
    if config.evaluation:
        return evaluations.get_evaluation(config.app, config.evaluation)
    return evaluations.find_evaluation(config.app)


def _record(promotion: Promotion, evaluation: str) -> dict[str, object]:
    return {
        "decision": promotion.decision.verdict,
        "challenger": {"candidate": promotion.decision.challenger, "release": promotion.challenger.uri},
        "champion_before": promotion.before and promotion.before.uri,
        "champion_after": promotion.after and promotion.after.uri,
        "evaluation": evaluation,
        "reasons": [{"verdict": reason.verdict, "text": reason.text} for reason in promotion.decision.reasons],
    }


def _story(promotion: Promotion) -> str:
    decision, after = promotion.decision, promotion.after
    lines = [f"{decision.verdict}: {decision.challenger} ({promotion.challenger.uri})"]
    lines += [f"  - {reason.text}" for reason in decision.reasons]
    lines.append(f"  @champion is {after.uri}" if after else "  there is no @champion")
    return "\n".join(lines)


if __name__ == "__main__":
    step.run(main, PromoteConfig)
