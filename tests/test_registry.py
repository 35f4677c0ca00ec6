"""The policy file, and what it makes of two scorecards."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from llmops.chains.prompt import ABSTENTION
from llmops.errors import ConfigError, DataError
from llmops.evaluation.kpis import KPIS
from llmops.evaluation.scorecard import ABSTAINER, Scorecard, from_rows, score, score_abstainer, with_values
from llmops.registry.decision import INSUFFICIENT, KEEP, PROMOTE, Decision, decide
from llmops.registry.policy import Policy, read_policy
from llmops.types import Answer, Question

# The policy


def write(folder: Path, content: Any) -> Path:
    path = folder / "policy.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


WIN = {"metric": "answer/score", "by": 0.0}


def test_a_policy_says_what_must_win_and_what_must_hold(tmp_path: Path) -> None:
    policy = {"win": {"metric": "answer/f1", "by": 0.01}, "margins": {"latency/p50_s": 2}, "baselines": ["prompt"]}
    assert read_policy(write(tmp_path, policy)) == Policy("answer/f1", 0.01, {"latency/p50_s": 2}, ("prompt",))


def test_margins_and_baselines_may_be_left_out(tmp_path: Path) -> None:
    assert read_policy(write(tmp_path, {"win": WIN})) == Policy("answer/score", 0.0, {}, ())
    assert read_policy(write(tmp_path, "win: {metric: answer/score, by: 0}\nmargins:\nbaselines:\n")).margins == {}


def test_the_demo_policy_reads_and_asks_to_beat_abstaining() -> None:
    policy = read_policy(ROOT / "policies" / "demo.yaml")
    assert policy.win_metric in KPIS and ABSTAINER in policy.baselines


BAD_POLICIES = {
    "empty": ("", "expected the keys win"),
    "not YAML": ("win: [", "can't be read"),
    "a list": (["win"], "expected the keys win"),
    "no win": ({"margins": {"answer/f1": 0.1}}, "expected the keys win"),
    "unknown key": ({"win": WIN, "margin": {}}, "margin"),
    "unknown key that is a number": ({"win": WIN, 7: {}}, "expected the keys win"),
    "win is a text": ({"win": "answer/score"}, "win holds answer/score"),
    "no by": ({"win": {"metric": "answer/score"}}, "expected the keys by, metric"),
    "unknown key in win": ({"win": {**WIN, "at": 1}}, "expected the keys by, metric"),
    "unknown metric to win": ({"win": {**WIN, "metric": "answer.bleu"}}, "unknown metric 'answer.bleu'"),
    "a list of metrics to win": ({"win": {**WIN, "metric": ["answer/f1"]}}, "unknown metric"),
    "unknown metric to hold": ({"win": WIN, "margins": {"answer.bleu": 0.1}}, "unknown metric 'answer.bleu'"),
    "a KPI that decides nothing": ({"win": {**WIN, "metric": "answer/similarity"}}, "is shown but decides nothing"),
    "a figure to win": ({"win": {**WIN, "metric": "latency/p50_s"}}, "no value per question"),
    "negative by": ({"win": {**WIN, "by": -0.1}}, "answer/score has -0.1"),
    "negative by of a metric that must also hold": (
        {"win": {**WIN, "by": -0.1}, "margins": {"answer/score": 0.1}},
        "answer/score has -0.1",
    ),
    "negative margin": ({"win": WIN, "margins": {"answer/f1": -0.1}}, "answer/f1 has -0.1"),
    "margin in words": ({"win": WIN, "margins": {"answer/f1": "much"}}, "answer/f1 has 'much'"),
    "margin without a value": ({"win": WIN, "margins": {"answer/f1": None}}, "answer/f1 has None"),
    "margin yes": ({"win": WIN, "margins": {"answer/f1": True}}, "answer/f1 has True"),
    "margin that is no number": ({"win": WIN, "margins": {"answer/f1": float("nan")}}, "answer/f1 has nan"),
    "list of margins": ({"win": WIN, "margins": ["answer/f1"]}, "margins must map"),
    "one baseline as text": ({"win": WIN, "baselines": "prompt"}, "baselines must be a list"),
    "numbers as baselines": ({"win": WIN, "baselines": [1]}, "baselines must be a list"),
}


@pytest.mark.parametrize("content, hint", BAD_POLICIES.values(), ids=BAD_POLICIES)
def test_a_policy_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path, content: Any, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_policy(write(tmp_path, content))
    assert hint in str(caught.value) and "policy.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing.yaml' can't be read"):
        read_policy(tmp_path / "missing.yaml")


# The decision

RIGHT, WRONG = Answer("yes", False, completion_tokens=1), Answer("no", False, completion_tokens=1)
SAID = {"y": RIGHT, "n": WRONG, "-": Answer(ABSTENTION, True)}


def card(name: str, answers: str, unanswerable: str = "", prefix: str = "q", **measured: float) -> Scorecard:
    """A scorecard of right (y), wrong (n) and abstaining (-) answers."""
    questions = [Question(f"{prefix}{i}", "?", ("yes",), (f"{i}.md",)) for i in range(len(answers))]
    questions += [Question(f"u{i}", "?") for i in range(len(unanswerable))]
    figures = {f"latency/{key}": value for key, value in measured.items()}
    return score(name, questions, [SAID[answer] for answer in answers + unanswerable], False, figures)


def policy(win: str = "answer/score", by: float = 0.0, **margins: float) -> Policy:
    return Policy(win, by, {metric.replace("__", "/"): margin for metric, margin in margins.items()}, ())


def verdicts(decision: Decision) -> list[str]:
    return [reason.verdict for reason in decision.reasons]


def test_a_challenger_that_is_better_is_promoted() -> None:
    decision = decide(policy(), card("rag", "y" * 30 + "n" * 10), card("prompt", "n" * 40), [])
    assert decision.verdict == PROMOTE and decision.challenger == "rag"
    assert "better than prompt on answer/score: gain +0.750" in decision.reasons[0].text


def test_a_challenger_that_is_no_better_is_kept_out() -> None:
    assert decide(policy(), card("rag", "ynyn"), card("prompt", "ynyn"), []).verdict == KEEP
    assert decide(policy(), card("rag", "n" * 40), card("prompt", "y" * 40), []).verdict == KEEP


def test_a_handful_of_questions_never_promotes() -> None:
    assert decide(policy(), card("rag", "y" * 19), card("prompt", "n" * 19), []).verdict == INSUFFICIENT
    assert decide(policy(), card("rag", "y" * 20), card("prompt", "n" * 20), []).verdict == PROMOTE


def test_a_difference_that_may_be_chance_is_insufficient_evidence() -> None:
    decision = decide(policy(), card("rag", "yyyyynnnnn"), card("prompt", "nnnyyyynnn"), [])
    assert decision.verdict == INSUFFICIENT
    assert "not shown to be better than prompt" in decision.reasons[0].text


def test_more_of_the_same_evidence_becomes_sufficient() -> None:
    few, many = (
        decide(policy(), card("rag", "yyynn" * count), card("prompt", "ynnyn" * count), []).verdict for count in (2, 60)
    )
    assert (few, many) == (INSUFFICIENT, PROMOTE)


def test_a_win_must_be_as_large_as_the_policy_asks() -> None:
    challenger, champion = card("rag", "y" * 6 + "n" * 54), card("prompt", "n" * 60)
    found = [decide(policy(by=by), challenger, champion, []).verdict for by in (0.0, 0.1, 0.5)]
    assert found == [PROMOTE, INSUFFICIENT, KEEP]


def test_a_win_does_not_make_up_for_what_must_hold() -> None:
    challenger, champion = card("rag", "y" * 40, "n" * 40), card("prompt", "n" * 40, "-" * 20 + "n" * 20)
    decision = decide(policy("answer/f1", abstention__recall=0.15), challenger, champion, [])
    assert verdicts(decision) == [PROMOTE, KEEP] and decision.verdict == KEEP
    assert "abstention/recall is worse: gain -0.500" in decision.reasons[1].text


def test_what_must_hold_may_worsen_by_the_margin() -> None:
    challenger, champion = card("rag", "y" * 40, "n" * 40), card("prompt", "n" * 40, "-" * 20 + "n" * 20)
    assert decide(policy("answer/f1", abstention__recall=0.8), challenger, champion, []).verdict == PROMOTE


def test_what_is_not_shown_to_hold_is_insufficient_evidence() -> None:
    challenger, champion = card("rag", "y" * 40, "--nnn"), card("prompt", "n" * 40, "-n-nn")
    decision = decide(policy("answer/f1", abstention__recall=0.1), challenger, champion, [])
    assert verdicts(decision) == [PROMOTE, INSUFFICIENT] and decision.verdict == INSUFFICIENT


def test_abstaining_wrongly_more_often_is_worse() -> None:
    challenger, champion = card("rag", "y" * 20 + "-" * 20), card("prompt", "n" * 40)
    assert verdicts(decide(policy(abstention__false_rate=0.1), challenger, champion, [])) == [PROMOTE, KEEP]
    assert verdicts(decide(policy(abstention__false_rate=0.1), champion, challenger, [])) == [KEEP, PROMOTE]


def test_a_metric_that_should_fall_wins_by_falling() -> None:
    less, more = card("rag", "n" * 40), card("prompt", "-" * 40)
    assert decide(policy("abstention/false_rate"), less, more, []).verdict == PROMOTE
    assert decide(policy("abstention/false_rate"), more, less, []).verdict == KEEP


@pytest.mark.parametrize("seconds, verdict", [(0.5, PROMOTE), (2.9, PROMOTE), (3.1, KEEP)])
def test_a_figure_without_interval_may_worsen_by_the_margin(seconds: float, verdict: str) -> None:
    challenger, champion = card("rag", "y" * 20, p50_s=seconds), card("prompt", "n" * 20, p50_s=1.0)
    assert decide(policy(latency__p50_s=2.0), challenger, champion, []).verdict == verdict


def test_longer_answers_are_worse() -> None:
    assert decide(policy(tokens__completion=0.5), card("rag", "y" * 20), card("prompt", "-" * 20), []).verdict == KEEP


@pytest.mark.parametrize("margins", [{"latency__p50_s": 1.0}, {"retrieval__recall": 0.1}])
def test_what_was_not_measured_cannot_be_compared(margins: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="rag has no"):
        decide(policy(**margins), card("rag", "yy"), card("prompt", "nn"), [])


def test_without_a_champion_every_baseline_must_be_beaten() -> None:
    challenger = card("rag", "y" * 30 + "n" * 10, "-" * 5)
    abstainer = score_abstainer(
        [Question(row.question_id, "?", row.expected, row.expected_documents) for row in challenger.rows]
    )
    assert verdicts(decide(policy(), challenger, None, [abstainer, card("prompt", "n" * 40, "n" * 5)])) == [PROMOTE, PROMOTE]
    assert decide(policy(), challenger, None, [abstainer, card("prompt", "y" * 40, "-" * 5)]).verdict == KEEP


def test_a_challenger_that_is_a_baseline_is_not_compared_with_itself() -> None:
    challenger, other = card("prompt", "y" * 20), card("rag", "n" * 20)
    assert verdicts(decide(policy(), challenger, None, [challenger, other])) == [PROMOTE]


def test_with_a_champion_the_baselines_have_no_say() -> None:
    decision = decide(policy(), card("rag", "y" * 20), card("prompt", "n" * 20), [card("few-shot", "y" * 20)])
    assert verdicts(decision) == [PROMOTE]


def test_with_nothing_to_compare_with_there_is_no_decision() -> None:
    with pytest.raises(ConfigError, match="nothing to compare rag with"):
        decide(policy(), card("rag", "y" * 20), None, [])


def test_scorecards_of_different_questions_are_not_compared() -> None:
    with pytest.raises(DataError, match="not asked the same questions"):
        decide(policy(), card("rag", "y" * 20), card("prompt", "n" * 20, prefix="p"), [])


def judged(name: str, value: float, verdict: str) -> Scorecard:
    plain = card(name, "y" * 30)
    rows = with_values(plain.rows, {"judge/manner": {row.question_id: value for row in plain.rows}})
    return from_rows(name, rows, {}, plain.questions, {"judge/manner": verdict})


@pytest.mark.parametrize(
    "verdict, decision", [("certified: kappa is 0.8", PROMOTE), ("not certified: the labels are constructed", INSUFFICIENT)]
)
def test_a_judge_decides_only_if_it_is_certified(verdict: str, decision: str) -> None:
    found = decide(policy("judge/manner"), judged("rag", 1.0, verdict), judged("prompt", 0.0, verdict), [])
    assert found.verdict == decision
    held = decide(policy(judge__manner=0.1), judged("rag", 1.0, verdict), judged("prompt", 1.0, verdict), [])
    assert verdicts(held)[1] == decision


def test_a_policy_may_ask_a_judge(tmp_path: Path) -> None:
    found = {"win": {"metric": "judge/manner", "by": 0.1}}
    assert read_policy(write(tmp_path, found)).win_metric == "judge/manner"
