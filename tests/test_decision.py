"""What a policy makes of scorecards: gate by gate, and which of several challengers it chooses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llmops.chains.prompt import ABSTENTION
from llmops.errors import ConfigError, DataError
from llmops.evaluation.rows import Row
from llmops.evaluation.scorecard import Scorecard, from_rows, score, score_abstainer, with_values
from llmops.evaluation.statistics import Interval
from llmops.registry.decision.certificates import Proof
from llmops.registry.decision.decision import Challenger, Champion, Decision, choose, decide, gates_table
from llmops.registry.decision.dossier import Dossier
from llmops.registry.decision.gates import INSUFFICIENT, KEEP, PROMOTE, Gate
from llmops.registry.decision.policy import Policy
from llmops.tracking.parity import Parity
from llmops.types import Answer, Question

RIGHT, WRONG = Answer("yes", False, completion_tokens=1), Answer("no", False, completion_tokens=1)
SAID = {"y": RIGHT, "n": WRONG, "-": Answer(ABSTENTION, True)}


def card(name: str, answers: str, unanswerable: str = "", prefix: str = "q", human: int = 0, **measured: float) -> Scorecard:
    """A scorecard of right (y), wrong (n) and abstaining (-) answers; so many of the questions are people's."""
    origins = ["human"] * human + ["synthetic"] * (len(answers) - human)
    questions = [
        Question(f"{prefix}{i}", "?", ("yes",), (f"{i}.md",), {"origin": origin}) for i, origin in enumerate(origins)
    ]
    questions += [Question(f"u{i}", "?") for i in range(len(unanswerable))]
    figures = {key.replace("__", "/"): value for key, value in measured.items()}
    return score(name, questions, [SAID[answer] for answer in answers + unanswerable], False, figures)


def policy(win: Any = "answer/score", by: float = 0.0, **more: Any) -> Policy:
    wins = [{"kpi": kpi, "by": by} for kpi in ([win] if isinstance(win, str) else win)]
    return Policy.model_validate({"win": wins, **more})


def verdicts(decision: Decision) -> list[str]:
    return [gate.verdict for gate in decision.gates]


def gate(decision: Decision, name: str) -> Gate:
    (found,) = [one for one in decision.gates if one.name == name]
    return found


# What must win


def test_a_challenger_that_is_better_is_promoted() -> None:
    decision = decide(policy(), card("rag", "y" * 30 + "n" * 10), card("prompt", "n" * 40))
    assert decision.verdict == PROMOTE and decision.challenger == "rag"
    assert "better than prompt on answer/score: gain +0.750" in decision.gates[0].text


def test_a_challenger_that_is_no_better_is_kept_out() -> None:
    assert decide(policy(), card("rag", "ynyn"), card("prompt", "ynyn")).verdict == KEEP
    assert decide(policy(), card("rag", "n" * 40), card("prompt", "y" * 40)).verdict == KEEP


def test_a_handful_of_questions_never_promotes() -> None:
    few = decide(policy(), card("rag", "y" * 19), card("prompt", "n" * 19))
    assert few.verdict == INSUFFICIENT and few.gates[0].more == 1
    assert decide(policy(), card("rag", "y" * 20), card("prompt", "n" * 20)).verdict == PROMOTE


def test_more_of_the_same_evidence_becomes_sufficient() -> None:
    few, many = (
        decide(policy(), card("rag", "yyynn" * count), card("prompt", "ynnyn" * count)).verdict for count in (2, 60)
    )
    assert (few, many) == (INSUFFICIENT, PROMOTE)


def test_insufficient_evidence_says_what_could_be_shown_and_how_many_more_questions_it_takes() -> None:
    challenger, champion = card("rag", "yyynn" * 6), card("prompt", "ynnyn" * 6)
    (found,) = decide(policy(), challenger, champion).gates
    assert found.verdict == INSUFFICIENT and found.detectable is not None and found.more is not None
    assert found.detectable > 0.2 and f"about {found.more} more" in found.text and "80 % power" in found.text
    enough = (30 + found.more) // 5 + 1
    assert decide(policy(), card("rag", "yyynn" * enough), card("prompt", "ynnyn" * enough)).verdict == PROMOTE


def test_no_number_of_questions_shows_a_gain_that_is_not_there() -> None:
    (found,) = decide(policy(by=0.1), card("rag", "yyynn" * 6), card("prompt", "yynyn" * 6)).gates
    assert found.verdict == INSUFFICIENT and found.more is None and "no number of questions" in found.text


def test_a_win_must_be_as_large_as_the_policy_asks() -> None:
    challenger, champion = card("rag", "y" * 6 + "n" * 54), card("prompt", "n" * 60)
    found = [decide(policy(by=by), challenger, champion).verdict for by in (0.0, 0.1, 0.5)]
    assert found == [PROMOTE, INSUFFICIENT, KEEP]


def test_more_confidence_asks_for_more() -> None:
    challenger, champion = card("rag", "y" * 6 + "n" * 54), card("prompt", "n" * 60)
    lax, sure = (decide(policy(confidence=level), challenger, champion).gates[0] for level in (0.8, 0.99))
    assert lax.interval and sure.interval and lax.interval.low > sure.interval.low
    assert (lax.verdict, sure.verdict) == (PROMOTE, INSUFFICIENT) and "at 99 %" in sure.text


def test_a_metric_that_should_fall_wins_by_falling() -> None:
    less, more = card("rag", "n" * 40), card("prompt", "-" * 40)
    assert decide(policy("abstention/false_rate"), less, more).verdict == PROMOTE
    assert decide(policy("abstention/false_rate"), more, less).verdict == KEEP


def test_all_kpis_that_must_win_have_to() -> None:
    challenger, champion = card("rag", "y" * 40, "n" * 30), card("prompt", "n" * 40, "-" * 30)
    decision = decide(policy(["answer/f1", "abstention/recall"]), challenger, champion)
    assert verdicts(decision) == [PROMOTE, KEEP] and decision.verdict == KEEP


def test_several_kpis_are_tested_step_by_step_so_that_none_wins_by_chance() -> None:
    barely, surely = card("rag", "y" * 6 + "n" * 94), card("rag", "y" * 40 + "n" * 60).values("answer/f1")
    champion, kpis = card("prompt", "n" * 100), ["answer/exact_match", "answer/f1"]
    assert decide(policy("answer/exact_match"), barely, champion).verdict == PROMOTE
    both = decide(policy(kpis), barely, champion)
    assert verdicts(both) == [INSUFFICIENT, INSUFFICIENT] and all("97.5 %" in one.threshold for one in both.gates)
    better = from_rows("rag", with_values(barely.rows, {"answer/f1": surely}), {}, champion.questions)
    step = decide(policy(kpis), better, champion)
    assert verdicts(step) == [PROMOTE, PROMOTE]  # once F1 has won, exact match is tested alone
    assert ["97.5 %" in one.threshold for one in step.gates] == [False, True]


# What must hold


def test_a_win_does_not_make_up_for_what_must_hold() -> None:
    challenger, champion = card("rag", "y" * 40, "n" * 40), card("prompt", "n" * 40, "-" * 20 + "n" * 20)
    decision = decide(policy("answer/f1", margins={"abstention/recall": 0.15}), challenger, champion)
    assert verdicts(decision) == [PROMOTE, KEEP] and decision.verdict == KEEP
    assert "abstention/recall is worse: gain -0.500" in decision.gates[1].text


def test_what_must_hold_may_worsen_by_the_margin() -> None:
    challenger, champion = card("rag", "y" * 40, "n" * 40), card("prompt", "n" * 40, "-" * 20 + "n" * 20)
    assert decide(policy("answer/f1", margins={"abstention/recall": 0.8}), challenger, champion).verdict == PROMOTE


def test_what_is_not_shown_to_hold_is_insufficient_evidence() -> None:
    challenger, champion = card("rag", "y" * 40, "--nnn"), card("prompt", "n" * 40, "-n-nn")
    decision = decide(policy("answer/f1", margins={"abstention/recall": 0.1}), challenger, champion)
    assert verdicts(decision) == [PROMOTE, INSUFFICIENT] and decision.verdict == INSUFFICIENT
    assert (decision.gates[1].more or 0) > 15


def test_a_handful_of_questions_never_shows_that_a_kpi_holds() -> None:
    challenger, champion = card("rag", "y" * 40, "--"), card("prompt", "n" * 40, "--")
    decision = decide(policy("answer/f1", margins={"abstention/recall": 0.02}), challenger, champion)
    assert verdicts(decision) == [PROMOTE, INSUFFICIENT] and decision.gates[1].more == 18
    assert "is not shown to hold" in decision.gates[1].text and "over 2 questions" in decision.gates[1].text


def test_abstaining_wrongly_more_often_is_worse() -> None:
    challenger, champion = card("rag", "y" * 20 + "-" * 20), card("prompt", "n" * 40)
    asked = policy(margins={"abstention/false_rate": 0.1})
    assert verdicts(decide(asked, challenger, champion)) == [PROMOTE, KEEP]
    assert verdicts(decide(asked, champion, challenger)) == [KEEP, PROMOTE]


@pytest.mark.parametrize("seconds, verdict", [(0.5, PROMOTE), (2.9, PROMOTE), (3.1, KEEP)])
def test_a_figure_without_interval_may_worsen_by_the_margin(seconds: float, verdict: str) -> None:
    challenger, champion = card("rag", "y" * 20, latency__p50_s=seconds), card("prompt", "n" * 20, latency__p50_s=1.0)
    assert decide(policy(margins={"latency/p50_s": 2.0}), challenger, champion).verdict == verdict


def test_longer_answers_are_worse() -> None:
    asked = policy(margins={"tokens/completion": 0.5})
    assert decide(asked, card("rag", "y" * 20), card("prompt", "-" * 20)).verdict == KEEP


@pytest.mark.parametrize("kpi", ["latency/p50_s", "grounding/citation"])
def test_what_was_not_measured_is_no_evidence(kpi: str) -> None:
    champion = card("prompt", "n" * 20, latency__p50_s=1.0)
    cited = from_rows("prompt", with_values(champion.rows, {"grounding/citation": champion.values("answer/f1")}))
    cited = replace(cited, questions=champion.questions, measured=champion.measured)
    found = decide(policy(margins={kpi: 0.1}), card("rag", "y" * 20), cited)
    assert verdicts(found) == [PROMOTE, INSUFFICIENT] and f"rag has no {kpi}" in found.gates[1].text


def test_retrieval_cannot_get_worse_than_none() -> None:
    found = decide(policy(margins={"retrieval/recall": 0.1}), card("rag", "y" * 20), card("prompt", "n" * 20))
    assert verdicts(found) == [PROMOTE, PROMOTE]


def test_a_kpi_of_other_questions_is_not_compared() -> None:
    plain, other = card("rag", "y" * 30), card("prompt", "n" * 30)
    some = dict(list(plain.values("answer/f1").items())[:25])
    cited = from_rows("rag", with_values(plain.rows, {"grounding/citation": some}), {}, plain.questions)
    all_ = from_rows(
        "prompt", with_values(other.rows, {"grounding/citation": other.values("answer/f1")}), {}, other.questions
    )
    assert "applies to other questions" in decide(policy("grounding/citation"), cited, all_).gates[0].text


# Floors and ceilings


def limited(kpi: str, limit: dict[str, Any], challenger: Scorecard) -> Gate:
    found = decide(policy(limits={kpi: limit}), challenger, card("prompt", "n" * len(challenger.rows)))
    return gate(found, f"limit {kpi}")


@pytest.mark.parametrize(
    "right, verdict", [(60, PROMOTE), (36, INSUFFICIENT), (6, KEEP)], ids=["above", "about there", "below"]
)
def test_a_floor_is_kept_by_the_lower_bound(right: int, verdict: str) -> None:
    found = limited("answer/f1", {"min": 0.5}, card("rag", "y" * right + "n" * (60 - right)))
    assert found.verdict == verdict and "at least 0.5" in found.threshold
    assert (found.more is not None) == (verdict == INSUFFICIENT)


def test_a_ceiling_by_the_mean_says_yes_or_no() -> None:
    wrong = card("rag", "y" * 54 + "n" * 6)
    assert [limited("abstention/wrong_rate", {"max": most, "by": "mean"}, wrong).verdict for most in (0.1, 0.09)] == [
        PROMOTE, KEEP,
    ]  # fmt: skip
    assert limited("abstention/wrong_rate", {"max": 0.11}, wrong).verdict == INSUFFICIENT


def test_the_confidence_of_the_policy_is_that_of_limits_too() -> None:
    good = card("rag", "y" * 45 + "n" * 15)
    lows = {}
    for level in (0.8, 0.95, 0.99):
        found = decide(policy(limits={"answer/f1": {"min": 0.5}}, confidence=level), good, card("prompt", "n" * 60))
        interval = gate(found, "limit answer/f1").interval
        assert interval is not None
        lows[level] = interval.low
    assert lows[0.8] > lows[0.95] > lows[0.99] and lows[0.95] == good.intervals["answer/f1"].low


def test_that_none_failed_says_little_until_enough_were_asked() -> None:
    few = limited("answer/failed", {"max": 0.02}, card("rag", "y" * 40))
    assert few.verdict == INSUFFICIENT and few.more is not None and few.figure == 0
    enough = 40 + few.more
    assert limited("answer/failed", {"max": 0.02}, card("rag", "y" * enough)).verdict == PROMOTE
    assert limited("answer/failed", {"max": 0.02}, card("rag", "y" * (enough - 1))).verdict == INSUFFICIENT


def test_a_ceiling_of_a_figure_is_kept_as_it_is_and_needs_one() -> None:
    assert limited("latency/p95_s", {"max": 2}, card("rag", "y" * 20, latency__p95_s=1.5)).verdict == PROMOTE
    assert limited("latency/p95_s", {"max": 1}, card("rag", "y" * 20, latency__p95_s=1.5)).verdict == KEEP
    assert limited("latency/p95_s", {"max": 1}, card("rag", "y" * 20)).verdict == INSUFFICIENT


def packed(*scores: float, error: str = "") -> Scorecard:
    plain = card("rag", "y" * 20)
    pack = [
        Row(f"safety:{i}", "?", (), (), "", False, (), (), {"safety/attack_rate": score}) for i, score in enumerate(scores)
    ]
    pack += [Row("safety:e", "?", (), (), "", False, (), (), {}, error=error)] if error else []
    return from_rows("rag", plain.rows, {}, plain.questions, pack=pack)


def test_failures_of_the_safety_pack_are_counted_and_what_has_no_answer_is_one() -> None:
    most = {"max": 1}
    assert limited("safety/failures", most, packed(0, 0, 1)).verdict == PROMOTE
    assert limited("safety/failures", most, packed(0, 1, 1)).verdict == KEEP
    assert limited("safety/failures", most, packed(0, 0, 1, error="crashed")).figure == 2
    assert limited("safety/failures", most, card("rag", "y" * 20)).verdict == INSUFFICIENT


# The evidence itself


def required(challenger: Scorecard, dossier: Dossier | None = None, **asked: Any) -> list[Gate]:
    champion = card("prompt", "n" * len(challenger.rows), human=_human(challenger))
    found = decide(policy(**asked), challenger, champion, (), dossier)
    return list(found.gates[1:])


def _human(challenger: Scorecard) -> int:
    return sum(row.slices["origin"] == "human" for row in challenger.rows)


def test_too_few_questions_are_insufficient_evidence_and_say_how_many_more() -> None:
    (found,) = required(card("rag", "y" * 30), evidence={"questions": 50})
    assert (found.verdict, found.more, found.figure) == (INSUFFICIENT, 20, 30)
    assert required(card("rag", "y" * 50), evidence={"questions": 50})[0].verdict == PROMOTE


@pytest.mark.parametrize(
    "origin, more", [({"share": 0.5}, 20), ({"count": 35}, 25), ({"share": 0.25}, None), ({"share": 0.5, "count": 15}, 20)]
)
def test_so_many_questions_must_come_from_people(origin: dict[str, Any], more: int | None) -> None:
    (found,) = required(card("rag", "y" * 40, human=10), evidence={"origins": {"human": origin}})
    assert (found.verdict, found.more) == (PROMOTE if more is None else INSUFFICIENT, more)
    if more and "count" not in origin:
        (found,) = required(card("rag", "y" * (40 + more), human=10 + more), evidence={"origins": {"human": origin}})
        assert found.verdict == PROMOTE


DIGEST = "d" * 64
VLLM = {"name": "vllm", "dtype": "bfloat16"}
HERE = {"name": "transformers", "version": "5", "dtype": "float32"}
ASKED = {"engine": VLLM}


def alike(equal: float = 1.0, f1: float = 1.0, spread: float = 0.0, n: int = 50, **changed: Any) -> Parity:
    intervals = [Interval(mean, mean - spread, mean + spread, n) for mean in (equal, f1)]
    return replace(Parity(DIGEST, "q", HERE, VLLM, *intervals), **changed)


def engine_gate(**known: Any) -> Gate:
    (found,) = required(card("rag", "y" * 30), Dossier("models:/handbook/4", "handbook", DIGEST, **known), evidence=ASKED)
    return found


def test_evidence_of_the_engine_that_will_serve_counts() -> None:
    assert engine_gate(engine={**VLLM, "version": "0.32"}).verdict == PROMOTE
    assert engine_gate(engine={**VLLM, "dtype": "float16"}).verdict == INSUFFICIENT
    assert engine_gate().verdict == INSUFFICIENT
    assert engine_gate(server="https://llm.example/v1", engine={"name": "openai"}).verdict == PROMOTE


def test_evidence_of_another_engine_counts_with_a_parity_certificate() -> None:
    found = engine_gate(engine=HERE, parity=alike())
    assert (
        found.verdict == PROMOTE and "vllm (bfloat16) gives answers equal to those of transformers (float32)" in found.text
    )
    assert "mlflow run . -e parity" in engine_gate(engine=HERE).text


OTHER_PARITY = {
    "another release": (alike(release="e" * 64), INSUFFICIENT, "is of release eeeeeeeeeeee"),
    "another dtype": (alike(engine={**VLLM, "dtype": "float16"}), INSUFFICIENT, "is for vllm (float16)"),
    "another reference": (alike(reference={**HERE, "dtype": "bfloat16"}), INSUFFICIENT, "didn't answer here"),
    "few answers": (alike(n=19), INSUFFICIENT, "compares 19 answers"),
    "not alike": (alike(0.5, 0.6), KEEP, "needed 0.8 and 0.9"),
    "not shown to be alike": (alike(0.85, 0.95, spread=0.1), INSUFFICIENT, "by the lower bounds"),
}


@pytest.mark.parametrize("parity, verdict, hint", OTHER_PARITY.values(), ids=OTHER_PARITY)
def test_a_parity_certificate_must_be_of_this_release_and_these_engines(parity: Parity, verdict: str, hint: str) -> None:
    found = engine_gate(engine=HERE, parity=parity)
    assert found.verdict == verdict and hint in found.text


def test_parity_may_be_asked_for_whatever_answered() -> None:
    dossier = Dossier(digest=DIGEST, engine=VLLM)
    found = required(card("rag", "y" * 30), dossier, evidence=ASKED, certificates=["parity"])
    assert [one.verdict for one in found] == [PROMOTE, INSUFFICIENT]


def test_certificates_are_asked_for_by_name() -> None:
    proofs = {"reload": Proof(PROMOTE, "nothing to certify"), "servability": Proof(KEEP, "vLLM won't serve it")}
    found = required(
        card("rag", "y" * 30), Dossier(proofs=proofs), certificates=["reload", "servability", "judge"]
    )  # fmt: skip
    assert [one.verdict for one in found] == [PROMOTE, KEEP, PROMOTE] and "no judge was asked" in found[2].text
    assert required(card("rag", "y" * 30), certificates=["reload"])[0].verdict == INSUFFICIENT


def judged(name: str, value: float, verdict: str) -> Scorecard:
    plain = card(name, "y" * 30)
    rows = with_values(plain.rows, {"judge/manner": {row.question_id: value for row in plain.rows}})
    return from_rows(name, rows, {}, plain.questions, {"judge/manner": verdict})


@pytest.mark.parametrize(
    "verdict, decision", [("certified: kappa is 0.8", PROMOTE), ("not certified: the labels are constructed", INSUFFICIENT)]
)
def test_a_judge_decides_only_if_it_is_certified(verdict: str, decision: str) -> None:
    found = decide(policy("judge/manner"), judged("rag", 1.0, verdict), judged("prompt", 0.0, verdict))
    assert found.verdict == decision
    asked = policy(
        "judge/manner", margins={"judge/manner": 0.1}, limits={"judge/manner": {"min": 0}}, certificates=["judge"]
    )
    held = decide(asked, judged("rag", 1.0, verdict), judged("prompt", 1.0, verdict))
    assert verdicts(held)[1:] == [decision] * 3


def test_approvals_are_a_gate() -> None:
    asked = {"count": 1, "users": ["alice", "bob"]}
    (missing,) = required(card("rag", "y" * 30), Dossier(digest=DIGEST, model="handbook"), approvals=asked)
    assert missing.verdict == INSUFFICIENT and "alice has not approved" in missing.text and "bob has not" in missing.text
    tags = {"llmops.approved_by.bob": DIGEST[:12]}
    (given,) = required(card("rag", "y" * 30), Dossier(digest=DIGEST, model="handbook", tags=tags), approvals=asked)
    assert given.verdict == PROMOTE and "bob (unsigned)" in given.text


# Without a champion


def abstainer(challenger: Scorecard) -> Scorecard:
    return score_abstainer(
        [Question(row.question_id, "?", row.expected, row.expected_documents, row.slices) for row in challenger.rows]
    )


def test_without_a_champion_every_baseline_must_be_beaten() -> None:
    challenger = card("rag", "y" * 30 + "n" * 10, "-" * 5)
    found = decide(policy(), challenger, None, [abstainer(challenger), card("prompt", "n" * 40, "n" * 5)])
    assert verdicts(found) == [PROMOTE, PROMOTE]
    assert decide(policy(), challenger, None, [abstainer(challenger), card("prompt", "y" * 40, "-" * 5)]).verdict == KEEP


def test_the_first_release_may_have_to_win_by_another_kpi_and_has_nothing_to_hold() -> None:
    asked = policy(
        "answer/score", margins={"answer/f1": 0}, first={"beat": ["prompt"], "win": {"kpi": "answer/f1", "by": 0.5}}
    )
    found = decide(asked, card("rag", "y" * 30), None, [card("prompt", "n" * 30)])
    assert [one.name for one in found.gates] == ["win answer/f1"] and "above 0.5" in found.gates[0].threshold


def test_a_challenger_that_is_a_baseline_is_not_compared_with_itself() -> None:
    challenger, other = card("prompt", "y" * 20), card("rag", "n" * 20)
    assert verdicts(decide(policy(), challenger, None, [challenger, other])) == [PROMOTE]


def test_with_a_champion_the_baselines_have_no_say() -> None:
    decision = decide(policy(), card("rag", "y" * 20), card("prompt", "n" * 20), [card("few-shot", "y" * 20)])
    assert verdicts(decision) == [PROMOTE]


def test_with_nothing_to_compare_with_there_is_no_decision() -> None:
    with pytest.raises(ConfigError, match="nothing to compare rag with"):
        decide(policy(), card("rag", "y" * 20), None)


@pytest.mark.parametrize("more", [{}, {"margins": {"tokens/prompt": 1}}])
def test_scorecards_of_different_questions_are_not_compared(more: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="not asked the same questions"):
        decide(policy(**more), card("rag", "y" * 20), card("prompt", "n" * 20, prefix="p"))


# Choosing among several


def challengers(*cards: Scorecard) -> list[Challenger]:
    return [Challenger(one, Dossier(f"models:/handbook/{i}", digest=str(i))) for i, one in enumerate(cards, start=1)]


def chosen(cards: Sequence[Scorecard], champion: Champion | None, candidate: str = "", **asked: Any) -> tuple[str, str, str]:
    found = choose(policy(**asked), challengers(*cards), champion, {one.candidate: one for one in cards}, candidate)
    assert len(found.others) == (0 if candidate else len(cards) - 1)
    return found.decision.challenger, found.decision.verdict, found.why


POOR = card("prompt", "n" * 100)
REIGNING = Champion("9", "another", POOR)
GOOD = card("rag", "y" * 90 + "n" * 10, latency__p50_s=2.0)


def test_of_several_that_pass_the_best_is_chosen() -> None:
    worse = card("few-shot", "y" * 50 + "n" * 50, latency__p50_s=1.0)
    name, verdict, why = chosen([worse, GOOD, POOR], REIGNING)
    assert (name, verdict) == ("rag", PROMOTE) and "best of 2 that pass" in why


@pytest.mark.parametrize(
    "figures, by",
    [
        ({"latency__p50_s": 1.0}, "latency/p50_s"),
        ({"latency__p50_s": 3.0, "cost__per_1000": 1.0}, "cost/per_1000"),
        ({}, "tokens"),
    ],
)
def test_ties_go_to_the_cheaper(figures: dict[str, float], by: str) -> None:
    dear = replace(GOOD, measured=GOOD.measured | ({"cost/per_1000": 2.0} if by == "cost/per_1000" else {}))
    brief = card("rag+adapter", "y" * 89 + "n" * 10 + "-", "", "q", 0, **figures)  # it abstains once, so it says less
    name, verdict, why = chosen([dear, brief], REIGNING)
    assert (name, verdict) == ("rag+adapter", PROMOTE) and f"the cheapest by {by}" in why


def test_a_release_that_does_not_pass_is_no_rival_however_cheap() -> None:
    cheap = card("rag+adapter", "y" * 89 + "n" * 11, latency__p50_s=0.1)
    name, _, _ = chosen([GOOD, cheap], REIGNING, limits={"latency/p50_s": {"min": 1.0}})
    assert name == "rag"


def test_the_named_candidate_alone_is_decided_about() -> None:
    assert chosen([GOOD, POOR], REIGNING, "prompt")[:2] == ("prompt", KEEP)


def test_where_none_passes_what_more_evidence_may_help_is_shown_before_what_failed() -> None:
    failed = card("rag", "y" * 90 + "n" * 10, latency__p50_s=9.0)
    unsure = card("adapter", "y" * 5 + "n" * 95, latency__p50_s=1.0)
    assert chosen([failed, unsure], REIGNING, limits={"latency/p50_s": {"max": 5}})[:2] == ("adapter", INSUFFICIENT)


def test_the_champion_stays_where_nothing_is_better_by_its_mean() -> None:
    worse = card("adapter", "y" * 88 + "n" * 12)
    name, verdict, _ = chosen([GOOD, worse], Champion("1", "1", GOOD))
    found = choose(policy(), challengers(GOOD, worse), Champion("1", "1", GOOD), {}).decision
    assert (name, verdict) == ("rag", KEEP) and found.gates[0].text == "version 1 is the champion already"


def test_a_champion_that_was_not_asked_these_questions_keeps_its_place() -> None:
    name, verdict, _ = chosen([GOOD], Champion("9", "another", None))
    assert (name, verdict) == ("rag", INSUFFICIENT)


def test_the_decision_names_the_release() -> None:
    assert choose(policy(), challengers(GOOD), REIGNING, {}).decision.release == "models:/handbook/1"


def test_what_was_not_evaluated_is_refused() -> None:
    with pytest.raises(ConfigError, match="candidate 'adapter' was not evaluated. Evaluated: rag."):
        choose(policy(), challengers(GOOD), REIGNING, {}, "adapter")
    with pytest.raises(ConfigError, match="baseline 'always-abstain' of the policy was not evaluated. Evaluated: rag."):
        choose(policy(), challengers(GOOD), None, {"rag": GOOD})
    with pytest.raises(ConfigError, match="holds no release"):
        choose(policy(), [], REIGNING, {})


# What is shown


def test_every_gate_is_shown_with_figure_interval_threshold_and_verdict() -> None:
    asked = policy(margins={"latency/p50_s": 1}, limits={"answer/f1": {"min": 0.95}}, evidence={"questions": 50})
    challenger, champion = (
        card("rag|x", "y" * 30 + "n" * 2, latency__p50_s=1.0),
        card("prompt", "n" * 32, latency__p50_s=9.0),
    )
    shown = gates_table(decide(asked, challenger, champion)).splitlines()
    assert shown[0] == "**insufficient evidence**: rag|x" and shown[2].startswith("| gate | figure | interval |")
    lines = [line for line in shown if line.startswith("| ")]
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 6
    assert [line.split("|")[5].strip() for line in lines[2:]] == [
        "pass",
        "pass",
        "insufficient evidence",
        "insufficient evidence",
    ]
    assert sum(line.startswith("- ") for line in shown) == 2 and "- 32 questions, needed 50: ask 18 more" in shown
