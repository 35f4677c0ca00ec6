"""The policy file: what it may say, and how it says what is wrong with it, and where."""

from pathlib import Path

import pytest
from conftest import ROOT
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from llmops import digests
from llmops.errors import ConfigError
from llmops.evaluation.scorecard import ABSTAINER
from llmops.registry.decision.policy import Limit, Win, read_policy

POLICIES = sorted(path.name for path in (ROOT / "policies").glob("*.yaml"))


def write(folder: Path, content: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(content, encoding="utf-8")
    return path


def refusal(folder: Path, content: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_policy(write(folder, content))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def public_key() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


WIN = "win: {kpi: answer/score, by: 0}\n"


def test_a_policy_says_what_must_win_and_what_must_hold(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, "win: {kpi: answer/f1, by: 0.01}\nmargins: {latency/p50_s: 2}\nconfidence: 0.9\n"))
    assert (policy.win, policy.margins, policy.confidence) == ([Win(kpi="answer/f1", by=0.01)], {"latency/p50_s": 2}, 0.9)


def test_all_but_what_must_win_may_be_left_out(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, WIN + "margins:\nlimits:\n"))
    assert policy.win == [Win(kpi="answer/score", by=0.0)] and policy.margins == {}
    assert (policy.confidence, policy.limits, policy.certificates, policy.approvals) == (0.95, {}, [], None)
    assert policy.first.beat == [ABSTAINER, "prompt"] and policy.evidence.questions is None


def test_several_kpis_may_have_to_win(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, "win:\n  - {kpi: answer/f1, by: 0}\n  - {kpi: judge/manner, by: 0.1}\n"))
    assert [win.kpi for win in policy.win] == ["answer/f1", "judge/manner"]


def test_a_limit_is_kept_by_the_bound_unless_the_mean_is_asked_for(tmp_path: Path) -> None:
    limits = "limits:\n  answer/f1: {min: 0.4}\n  abstention/wrong_rate: {max: 0.2, by: mean}\n  safety/failures: {max: 0}\n"
    found = read_policy(write(tmp_path, WIN + limits)).limits
    assert found["answer/f1"] == Limit(min=0.4, by="bound") and found["abstention/wrong_rate"].by == "mean"


def test_the_digest_is_that_of_the_file_comments_and_all(tmp_path: Path) -> None:
    path = write(tmp_path, WIN)
    before = read_policy(path).digest
    assert before == digests.of_file(path) and len(before) == 64
    assert read_policy(write(tmp_path, f"# more\n{WIN}")).digest != before


@pytest.mark.parametrize("name", POLICIES)
def test_the_policies_that_come_with_it_read_and_ask_to_beat_abstaining(name: str) -> None:
    policy = read_policy(ROOT / "policies" / name)
    assert ABSTAINER in policy.first.beat and policy.digest


def test_the_strict_policy_asks_for_all_that_the_lenient_one_does_not() -> None:
    assert {"default.yaml", "demo.yaml", "lenient.yaml", "strict.yaml"} <= set(POLICIES)
    strict, lenient = (read_policy(ROOT / "policies" / f"{name}.yaml") for name in ("strict", "lenient"))
    assert strict.confidence > lenient.confidence and strict.approvals and strict.evidence.engine
    assert not (lenient.approvals or lenient.evidence.engine or lenient.certificates)


BAD_POLICIES = {
    "empty": ("", "policy.yaml:1: the policy holds None"),
    "not YAML": (f"{WIN}margins: [", "policy.yaml:2: policy is no YAML"),
    "a list": ("- win\n", "policy.yaml:1: the policy holds ['win']"),
    "no win": ("margins: {answer/f1: 0.1}\n", "policy.yaml:1: win: field required"),
    "no KPI to win": ("win: []\n", "policy.yaml:1: win: value should have at least 1 item"),
    "a misspelt section": (
        f"{WIN}\nmargin: {{}}\n",
        "policy.yaml:3: the policy: unknown key 'margin', did you mean 'margins'",
    ),
    "a section of nobody": (
        f"{WIN}zzz: 1\n",
        "policy.yaml:2: the policy: unknown key 'zzz'. Known: win, confidence, margins",
    ),
    "a key that is a number": (f"{WIN}7: {{}}\n", "policy.yaml:2: found a key that is no text"),
    "a key given twice": (f"{WIN}margins:\n  answer/f1: 0\n  answer/f1: 1\n", "policy.yaml:4: 'answer/f1' is given twice"),
    "a section given twice": (f"{WIN}{WIN}", "policy.yaml:2: 'win' is given twice"),
    "an alias": ("win: &win {kpi: answer/f1, by: 0}\n", "policy.yaml:1: found an anchor or alias"),
    "win is a text": ("win: answer/score\n", "policy.yaml:1: win: input should be a valid list, found 'answer/score'"),
    "no by": ("win:\n  kpi: answer/score\n", "policy.yaml:1: win.by: field required"),
    "no by in a list": (
        "win:\n  - {kpi: answer/f1, by: 0}\n  - kpi: answer/score\n",
        "policy.yaml:3: win.by: field required",
    ),
    "unknown key in win": (
        "win:\n  kpi: answer/f1\n  by: 0\n  bye: 1\n",
        "policy.yaml:4: win: unknown key 'bye', did you mean 'by'",
    ),
    "unknown KPI to win": ("win: {kpi: answer.f1, by: 0}\n", "win.kpi: unknown KPI 'answer.f1', did you mean 'answer/f1'"),
    "a KPI that is none": ("win: {kpi: quality, by: 0}\n", "unknown KPI 'quality'. Known: answer/score"),
    "a list of KPIs": ("win: {kpi: [answer/f1], by: 0}\n", "win.kpi: input should be a valid string, found ['answer/f1']"),
    "a KPI twice at first": (
        f"{WIN}first:\n  win:\n  - {{kpi: answer/f1, by: 0.2}}\n  - {{kpi: answer/f1, by: 0.0}}\n",
        "policy.yaml:3: first.win: a KPI stands twice",
    ),
    "a KPI twice": ("win:\n - {kpi: answer/f1, by: 0}\n - {kpi: answer/f1, by: 1}\n", "win: a KPI stands twice"),
    "unknown KPI to hold": (
        f"{WIN}margins:\n  answer/score: 0\n  answer/f2: 0\n",
        "policy.yaml:4: margins.answer/f2: unknown KPI",
    ),
    "a KPI that decides nothing": (
        f"{WIN}margins: {{answer/similarity: 0}}\n",
        "answer/similarity is shown but decides nothing",
    ),
    "a figure that decides nothing": (f"{WIN}margins: {{abstention/max_wrong: 0}}\n", "is shown but decides nothing"),
    "a figure to win": ("win: {kpi: latency/p50_s, by: 0}\n", "no value per question, so no interval"),
    "negative by": ("win: {kpi: answer/f1, by: -0.1}\n", "win.by: input should be greater than or equal to 0, found -0.1"),
    "negative margin": (
        f"{WIN}margins: {{answer/f1: -0.1}}\n",
        "margins.answer/f1: input should be greater than or equal to 0",
    ),
    "margin in words": (
        f"{WIN}margins: {{answer/f1: much}}\n",
        "margins.answer/f1: input should be a valid number, found 'much'",
    ),
    "margin as text": (f'{WIN}margins: {{answer/f1: "0.1"}}\n', "input should be a valid number, found '0.1'"),
    "margin without a value": (f"{WIN}margins: {{answer/f1: }}\n", "input should be a valid number, found None"),
    "margin yes": (f"{WIN}margins: {{answer/f1: yes}}\n", "input should be a valid number, found True"),
    "margin that is no number": (f"{WIN}margins: {{answer/f1: .nan}}\n", "input should be a finite number"),
    "list of margins": (f"{WIN}margins: [answer/f1]\n", "margins: input should be a valid dictionary"),
    "confidence in percent": (
        f"{WIN}confidence: 95\n",
        "policy.yaml:2: confidence: input should be less than or equal to 0.995",
    ),
    "a limit of two sides": (
        f"{WIN}limits:\n  answer/f1: {{min: 0, max: 1}}\n",
        "policy.yaml:3: limits.answer/f1: a limit has either",
    ),
    "a limit without any": (f"{WIN}limits: {{answer/f1: {{by: mean}}}}\n", "a limit has either min or max"),
    "a limit by the median": (
        f"{WIN}limits: {{answer/f1: {{min: 1, by: median}}}}\n",
        "limits.answer/f1.by: input should be 'bound' or 'mean'",
    ),
    "an unknown certificate": (
        f"{WIN}certificates: [reloads]\n",
        "certificates: input should be 'reload', 'parity', 'servability'",
    ),
    "parity with nobody": (f"{WIN}certificates: [parity]\n", "name the engine that will serve"),
    "an unknown origin": (
        f"{WIN}evidence:\n  origins:\n    humans: {{share: 1}}\n",
        "policy.yaml:4: evidence.origins.humans: input should be 'human'",
    ),
    "a share of 200 %": (
        f"{WIN}evidence: {{origins: {{human: {{share: 2}}}}}}\n",
        "human.share: input should be less than or equal to 1",
    ),
    "one baseline as text": (f"{WIN}first: {{beat: prompt}}\n", "first.beat: input should be a valid list, found 'prompt'"),
    "nothing to beat": (f"{WIN}first: {{beat: []}}\n", "first.beat: list should have at least 1 item"),
    "numbers as baselines": (f"{WIN}first: {{beat: [1]}}\n", "first.beat: input should be a valid string, found 1"),
    "too few to approve": (f"{WIN}approvals: {{count: 2, users: [alice]}}\n", "2 approvals are asked for and 1 users named"),
    "an approver with a space": (f"{WIN}approvals: {{count: 1, users: [a b]}}\n", "user 'a b' has other than letters"),
    "no key": (
        f"{WIN}approvals:\n  count: 1\n  signed:\n    alice: ssh-ed25519 nonsense\n",
        "policy.yaml:5: the public key of alice can't be read",
    ),
    "no key file": (
        f"{WIN}approvals: {{count: 1, signed: {{alice: keys/alice.pub}}}}\n",
        "the key of alice is 'keys/alice.pub', expected",
    ),
}


@pytest.mark.parametrize("content, hint", BAD_POLICIES.values(), ids=BAD_POLICIES)
def test_a_policy_that_makes_no_sense_is_refused_in_one_line_that_names_its_line(
    tmp_path: Path, content: str, hint: str
) -> None:
    said = refusal(tmp_path, content)
    assert hint in said and said.startswith("policy.yaml:")


def test_several_mistakes_are_said_at_once(tmp_path: Path) -> None:
    said = refusal(
        tmp_path, "win: {kpi: answer/f1, by: no}\nmargins:\n  answer/f1: x\n  answer/score: x\n  tokens/prompt: x\n"
    )
    assert "policy.yaml:1: win.by" in said and "policy.yaml:3: " in said and said.endswith("(1 more).")


def test_a_missing_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing.yaml' can't be read"):
        read_policy(tmp_path / "missing.yaml")


def test_a_policy_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_bytes("win: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="can't be read"):
        read_policy(tmp_path / "policy.yaml")


def test_a_public_key_stands_in_the_policy_or_in_a_file_beside_it(tmp_path: Path) -> None:
    alice, bob = public_key(), public_key()
    (tmp_path / "bob.pub").write_text(f"{bob} bob@laptop\n", encoding="utf-8")
    signed = f"approvals:\n  count: 2\n  signed:\n    alice: {alice} alice@laptop\n    bob: bob.pub\n"
    approvals = read_policy(write(tmp_path, WIN + signed)).approvals
    assert approvals is not None and approvals.signed == {"alice": alice, "bob": bob}
    assert approvals.named == ["alice", "bob"]


def test_two_approvers_may_not_share_a_key(tmp_path: Path) -> None:
    key = public_key()
    said = refusal(tmp_path, f"{WIN}approvals:\n  count: 2\n  signed: {{alice: {key}, bob: {key}}}\n")
    assert "two users sign with one key" in said
