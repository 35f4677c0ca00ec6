"""Judges: what they are asked, what they say when things go wrong, and what it takes to be certified."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from conftest import HANDBOOK, ROOT
from fakes import Parrot
from test_http_engine import Asked, Server

from llmops import step
from llmops.errors import ConfigError, DataError, EngineError
from llmops.evaluation.judge import Item, Judgement, Labelled, Rubric, read_labels, read_rubric
from llmops.evaluation.judge_certificate import JudgeCertificate, Probes, Thresholds, certify, probe, table
from llmops.journal import JsonJournal
from llmops.tracking import judging
from llmops.tracking.judging import Judge, Judgements, certify_judge, find_certificate, judge_rows, load_judge
from pipelines import judge as pipeline
from pipelines.judge import JudgeConfig

KEY = "sk-very-secret-0123456789"
RUBRIC = Rubric("correctness", "Is it right?", ("yes", "no"), ("question", "passages", "references"))
SOUND = Probes(50)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    made = Server()
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.die()


@pytest.fixture
def cache(tmp_path: Path) -> Judgements:
    return Judgements(tmp_path / "judgements.jsonl")


def at(server: Server, rubric: Rubric = RUBRIC, **settings: Any) -> Judge:
    return load_judge(rubric, server=server.url, server_model="big", server_key_env="JUDGE_KEY", **settings)


def labelled(count: int, source: str = "human") -> list[Labelled]:
    """As many right answers as wrong ones, each to a question of its own."""
    return [
        Labelled(Item(f"q{i}", f"Question {i}?", ("right", "wrong")[i % 2], ("right",), ("One.", "Two.")), label, source)
        for i, label in zip(range(count), ("yes", "no") * count, strict=False)
    ]


def items(count: int) -> list[Item]:
    return [one.item for one in labelled(count)]


def says(label: object, why: str = "So it is.") -> dict[str, Any]:
    return {"choices": [{"message": {"content": json.dumps({"rationale": why, "result": label})}, "finish_reason": "stop"}]}


def answer(asked: Asked) -> str:
    """The answer that is to be judged."""
    (line,) = (line for line in asked.question.split("\n") if line.startswith("outputs: "))
    return str(json.loads(line.removeprefix("outputs: ")))


def truth(asked: Asked) -> str:
    return "yes" if "right" in answer(asked) else "no"


def number(asked: Asked) -> int:
    return int(asked.question.split("Question ")[1].split("?")[0])


def right_but_for(every: int) -> Callable[[Asked], None]:
    """A judge that is wrong at every so many questions."""
    return lambda asked: asked.answer(**says(truth(asked) if number(asked) % every else _other(truth(asked))))


def _other(label: str) -> str:
    return {"yes": "no", "no": "yes"}[label]


# What is asked


def test_a_judge_is_shown_what_its_rubric_reads_and_says_a_label_with_its_reason(server: Server, cache: Judgements) -> None:
    server.behave = lambda asked: asked.answer(**says("Yes ", "It says so."))
    (said,) = judge_rows(at(server), items(1), cache)
    assert said == Judgement("q0", "yes", "It says so.")
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions" and asked.headers["Authorization"] == f"Bearer {KEY}"
    system, shown = (message["content"] for message in asked.body["messages"])
    assert "Is it right?" in system and "Literal['yes', 'no']" in system
    places = [shown.index(part) for part in ("Question 0?", '"[1]": "One."', '"[2]": "Two."', "references", "outputs")]
    assert places == sorted(places)
    assert (asked.body["model"], asked.body["temperature"], asked.body["max_tokens"]) == ("big", 0.0, 512)
    assert asked.body["response_format"]["json_schema"]["schema"]["properties"]["result"]["enum"] == ["yes", "no"]


def test_a_rubric_that_reads_less_shows_less(server: Server, cache: Judgements) -> None:
    server.behave = lambda asked: asked.answer(**says("good"))
    rubric = Rubric("manner", "Is it kind?", ("good", "poor"), ("question",))
    assert judge_rows(at(server, rubric), items(1), cache)[0].label == "good"
    assert "references" not in server.asked[0].body["messages"][1]["content"]
    assert "One." not in server.asked[0].body["messages"][1]["content"]


def test_in_the_opposite_order_all_is_turned_round_but_passages_keep_their_numbers(
    server: Server, cache: Judgements
) -> None:
    server.behave = lambda asked: asked.answer(**says("yes"))
    judge_rows(at(server), items(1), cache, swapped=True)
    system, shown = (message["content"] for message in server.asked[0].body["messages"])
    places = [shown.index(part) for part in ("outputs", "references", '"[2]": "Two."', '"[1]": "One."', "Question 0?")]
    assert places == sorted(places) and "Literal['no', 'yes']" in system


@pytest.mark.parametrize("answer", ["", "{{ inputs }} \\u0041 {x} \u2028 'yes'"])
def test_any_answer_can_be_shown(server: Server, cache: Judgements, answer: str) -> None:
    server.behave = lambda asked: asked.answer(**says("no"))
    assert judge_rows(at(server), [Item("q", "Why?", answer)], cache)[0].label == "no"


def test_a_proxy_and_the_key_of_another_are_left_out_of_it(
    server: Server, cache: Judgements, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # of the way to the server
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    server.behave = lambda asked: asked.answer(**says("yes"))
    assert judge_rows(at(server), items(1), cache)[0].label == "yes"
    assert "sk-another" not in str(dict(server.asked[0].headers))
    assert os.environ["OPENAI_API_KEY"] == "sk-another" and "MLFLOW_GATEWAY_ROUTE_TIMEOUT_SECONDS" not in os.environ


def test_the_digest_is_of_all_that_decides_what_a_judge_says(server: Server, tiny_lm: Path) -> None:
    judges = [
        at(server), at(server, replace(RUBRIC, instructions="Is it?")), at(server, replace(RUBRIC, labels=("no", "yes"))),
        load_judge(RUBRIC, server=server.url, server_model="small"), load_judge(RUBRIC, base=str(tiny_lm), dtype="float32"),
        load_judge(RUBRIC, server="http://127.0.0.1:9", server_model="big"),
        load_judge(RUBRIC, base=str(tiny_lm), dtype="bfloat16"),
    ]  # fmt: skip
    assert len({judge.digest for judge in judges}) == len(judges)
    assert at(server).digest == at(server, timeout_s=5.0).digest == judges[0].digest


# What goes wrong


@pytest.mark.parametrize("content, why", [
    ("The answer is right, I would say.", "Failed to parse"), ('{"rationale": "Hm."}', "result"), ("[1]", ""),
    ('{"result": "maybe", "rationale": ""}', "says 'maybe', expected one of yes, no"), ('{"result": null}', "says None"),
    ("", "Failed to parse"),
])  # fmt: skip
def test_prose_and_other_labels_are_failures_that_are_counted_and_kept(
    server: Server, cache: Judgements, content: str, why: str
) -> None:
    server.behave = lambda asked: asked.answer(choices=[{"message": {"content": content}, "finish_reason": "stop"}])
    said = judge_rows(at(server), items(2), cache)
    assert [(one.label, one.lost) for one in said] == [(None, False)] * 2
    assert all(one.error and why in one.error and "\n" not in one.error for one in said)
    assert judge_rows(at(server), items(2), cache) == said and len(server.asked) == 2


def test_a_judge_that_times_out_fails_in_time_and_is_asked_again_next_time(server: Server, cache: Judgements) -> None:
    server.behave = lambda asked: asked.answer(**says("yes")) if number(asked) else asked.wait_until_left()
    said = judge_rows(at(server, timeout_s=0.5), items(3), cache)
    assert [one.label for one in said] == [None, "yes", "yes"]
    assert said[0].lost and said[0].error.startswith("no answer:") and "0.5 s" in said[0].error
    server.behave = lambda asked: asked.answer(**says("no"))
    before = len(server.asked)
    assert [one.label for one in judge_rows(at(server), items(3), cache)] == ["no", "yes", "yes"]
    assert len(server.asked) == before + 1


def test_a_server_that_fails_now_and_then_is_asked_again(server: Server, cache: Judgements) -> None:
    server.behave = lambda asked: asked.fail(503) if asked.number == 0 else asked.answer(**says("yes"))
    assert judge_rows(at(server), items(1), cache)[0].label == "yes"


def test_a_server_without_structured_output_is_asked_without_it(server: Server, cache: Judgements) -> None:
    def behave(asked: Asked) -> None:
        if "response_format" in asked.body:
            asked.fail(400, "response_format is not supported")
        else:
            asked.answer(**says("yes"))

    server.behave = behave
    assert [one.label for one in judge_rows(at(server), items(2), cache)] == ["yes", "yes"]


def test_a_model_that_takes_no_temperature_is_asked_without_it(server: Server, cache: Judgements) -> None:
    def behave(asked: Asked) -> None:
        if "temperature" in asked.body:
            asked.reply(400, {"error": {"message": "Unsupported value: 'temperature'", "param": "temperature"}})
        else:
            asked.answer(**says("yes"))

    server.behave = behave
    assert judge_rows(at(server), items(1), cache)[0].label == "yes"


def test_no_server_at_all_is_an_error_and_no_certificate(cache: Judgements, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = load_judge(RUBRIC, server="http://127.0.0.1:9/v1", server_model="big", timeout_s=1.0)
    with pytest.raises(EngineError, match="none of 4 times; at first: no answer: http://127.0.0.1:9/v1"):
        certify_judge(judge, labelled(4), cache, Thresholds())


def test_a_refused_key_is_told_without_the_key(server: Server, cache: Judgements) -> None:
    server.behave = lambda asked: asked.fail(401, f"Incorrect API key: {asked.headers['Authorization']}")
    (said,) = judge_rows(at(server), items(1), cache)
    assert said.lost and "Set the environment variable JUDGE_KEY" in said.error and KEY not in said.error


def test_a_run_that_was_interrupted_asks_only_what_is_missing(server: Server, tmp_path: Path) -> None:
    server.behave = lambda asked: asked.answer(**says(truth(asked)))
    judge_rows(at(server), items(5), Judgements(tmp_path / "j.jsonl"))
    found = judge_rows(at(server), items(12), Judgements(tmp_path / "j.jsonl"))
    assert [one.label for one in found] == ["yes", "no"] * 6 and len(server.asked) == 12
    assert [one.question_id for one in found] == [one.question_id for one in items(12)]


def test_what_was_shown_otherwise_is_asked_anew(server: Server, cache: Judgements) -> None:
    server.behave = lambda asked: asked.answer(**says("yes"))
    (item,) = items(1)
    for shown in (item, replace(item, answer="wrong"), replace(item, passages=()), item.padded()):
        judge_rows(at(server), [shown], cache)
    judge_rows(at(server), [item], cache, take=1)
    judge_rows(at(server, replace(RUBRIC, instructions="Is it?")), [item], cache)
    assert len(server.asked) == 6
    judge_rows(at(server), [item], cache)
    assert len(server.asked) == 6


def test_an_error_while_judging_leaves_what_was_said_so_far(server: Server, tmp_path: Path) -> None:
    server.behave = lambda asked: asked.answer(**says("yes"))
    cache, told = Judgements(tmp_path / "j.jsonl"), []

    def stop(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_rows(at(server), items(40), cache, progress=stop)
    assert len(JsonJournal(tmp_path / "j.jsonl")) == 3 and told[-1] == ("judging", 3, 40)


def test_a_model_in_this_process_is_asked_through_the_same_prompt(
    cache: Judgements, monkeypatch: pytest.MonkeyPatch, tiny_lm: Path
) -> None:
    engine = Parrot('{"rationale": "It does.", "result": "no"}')
    monkeypatch.setattr(judging, "load_engine", lambda *_: engine)
    said = judge_rows(load_judge(RUBRIC, base=str(tiny_lm), dtype="float32"), items(3), cache)
    assert said == [Judgement(f"q{i}", "no", "It does.") for i in range(3)]
    assert [message.role for message in engine.requests[0].messages] == ["system", "user"]
    assert "Is it right?" in engine.requests[0].messages[0].content and engine.requests[0].max_new_tokens == 512


def test_a_tiny_models_babble_is_counted_as_failures(
    cache: Judgements, tiny_lm: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "DECODING", {"temperature": 0.0, "max_tokens": 4})
    said = judge_rows(load_judge(RUBRIC, base=str(tiny_lm), dtype="float32"), items(2), cache)
    assert all(one.label is None and one.error and not one.lost for one in said)


# Certificates


def judged(labels: list[Labelled], wrong: int = 0, failed: int = 0) -> list[Judgement]:
    """Judgements that agree but for some at the end and some failures at the beginning."""
    said = [one.label if i < len(labels) - wrong else _other(one.label) for i, one in enumerate(labels)]
    return [
        Judgement(one.item.question_id, None if i < failed else label)
        for i, (one, label) in enumerate(zip(labels, said, strict=True))
    ]


def certificate(
    labels: list[Labelled], wrong: int = 0, failed: int = 0, probes: Probes = SOUND, thresholds: Thresholds | None = None
) -> JudgeCertificate:
    return certify("d", RUBRIC, "big", labels, judged(labels, wrong, failed), probes, thresholds or Thresholds())


def test_a_judge_that_agrees_with_enough_people_is_certified() -> None:
    found = certificate(labelled(150), wrong=10)
    assert found.certified and found.verdict.startswith("certified: kappa is 0.867 [")
    assert (found.n, found.failures, found.labels_from) == (150, 0, {"human": 150})
    assert JudgeCertificate.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_constructed_labels_certify_nothing() -> None:
    found = certificate(labelled(200, "constructed"))
    assert found.verdict == "not certified: the labels are constructed"
    mixed = certificate(labelled(199) + labelled(200, "constructed")[199:])
    assert mixed.verdict == "not certified: 1 of 200 labels are constructed"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"labels": labelled(149)}, "149 labels, needed 150"),
    ({"labels": labelled(200), "wrong": 50}, r"kappa is 0\.500 \["),
    ({"labels": labelled(200), "failed": 11}, "11 of 200 judgements failed"),
    ({"labels": labelled(200), "probes": Probes(50, repeat=0.2)}, "asked again it changes 20%"),
    ({"labels": labelled(200), "probes": Probes(50, position=0.2)}, "another order changes 20%"),
    ({"labels": labelled(200), "probes": Probes(50, verbosity=0.2)}, "likes 20% of the answers better when padded"),
    ({"labels": labelled(200), "probes": Probes()}, "no judgement could be probed"),
    ({"labels": [one for one in labelled(400) if one.label == "yes"]}, "kappa is undefined"),
]


@pytest.mark.parametrize("given, reason", REFUSED)
def test_a_certificate_that_is_refused_says_why(given: dict[str, Any], reason: str) -> None:
    found = certificate(**given)
    assert not found.certified and len(found.reasons) == 1
    assert re.search(reason, found.verdict)


def test_a_judge_that_always_says_what_is_said_most_passes_by_ac1_alone() -> None:
    labels = [replace(one, label="yes" if i % 20 else "no") for i, one in enumerate(labelled(200))]
    said = [Judgement(one.item.question_id, "yes") for one in labels]
    assert not certify("d", RUBRIC, "big", labels, said, SOUND, Thresholds()).certified
    assert certify("d", RUBRIC, "big", labels, said, SOUND, Thresholds("ac1")).certified


def test_a_failure_counts_as_a_disagreement() -> None:
    assert certificate(labelled(200), failed=10).agreement == certificate(labelled(200)[::-1], wrong=10).agreement


def test_thresholds_are_settings() -> None:
    loose = Thresholds(min_agreement=0.3, min_labels=20, max_failures=0.2, max_bias=0.3)
    found = certificate(labelled(60), wrong=10, failed=2, probes=Probes(20, 0.25, 0.25, 0.25), thresholds=loose)
    assert found.certified


@pytest.mark.parametrize("wrong", [{"measure": "f1"}, {"min_agreement": 1.2}, {"min_labels": 0}, {"max_bias": -0.1}])
def test_thresholds_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Thresholds(**wrong)


def test_probes_are_shares_of_the_answers_that_could_be_judged() -> None:
    def of(*labels: str | None) -> list[Judgement]:
        return [Judgement(str(i), label) for i, label in enumerate(labels)]

    plain = of("yes", "no", "no", "no", None)
    found = probe(RUBRIC, plain, of("yes", "no", "no", "yes", "no"), of("no", None, "no", "no", "no"),
                  of("no", "yes", "yes", "yes", "yes"))  # fmt: skip
    assert found == Probes(4, repeat=0.25, position=0.5, verbosity=0.75)
    assert probe(RUBRIC, of(None), of("yes"), of("yes"), of("yes")) == Probes()


def test_a_padded_answer_says_no_more_than_before() -> None:
    item = Item("q", "How long is leave?", "Thirty days [1].")
    assert item.answer in item.padded().answer and len(item.padded().answer) > 5 * len(item.answer)


# From asking to a certificate


def certified(server: Server, cache: Judgements, labels: list[Labelled], probes: int = 20) -> JudgeCertificate:
    return certify_judge(at(server), labels, cache, Thresholds(min_labels=40), probes)[0]


def test_a_judge_that_is_wrong_now_and_then_has_the_kappa_it_should(server: Server, cache: Judgements) -> None:
    server.behave = right_but_for(20)
    found = certified(server, cache, labelled(40))
    assert found.agreement.share.mean == pytest.approx(0.95) and found.certified
    assert found.probes == Probes(20)
    assert len(server.asked) == 40 + 3 * 20
    assert certified(server, cache, labelled(40)) == found and len(server.asked) == 40 + 3 * 20


def test_a_judge_that_flips_is_found_out(server: Server, cache: Judgements) -> None:
    seen: dict[str, int] = {}

    def flip(asked: Asked) -> None:
        with asked.server.lock:
            seen[asked.question] = seen.get(asked.question, 0) + 1
        asked.answer(**says(truth(asked) if seen[asked.question] == 1 else _other(truth(asked))))

    server.behave = flip
    found = certified(server, cache, labelled(40))
    assert found.agreement.share.mean == 1.0 and found.probes.repeat == 1.0
    assert "asked again it changes 100% of its judgements" in found.verdict


def test_a_judge_pleased_by_many_words_is_found_out(server: Server, cache: Judgements) -> None:
    server.behave = lambda asked: asked.answer(
        **says("yes" if "You asked the following" in asked.question else truth(asked))
    )
    found = certified(server, cache, labelled(40))
    assert found.probes.verbosity == pytest.approx(0.5, abs=0.2) and not found.certified


def test_a_judge_that_takes_the_first_label_it_is_offered_is_found_out(server: Server, cache: Judgements) -> None:
    def first(asked: Asked) -> None:
        asked.answer(**says(asked.body["response_format"]["json_schema"]["schema"]["properties"]["result"]["enum"][0]))

    server.behave = first
    found = certified(server, cache, labelled(40))
    assert found.probes.position == 1.0 and found.agreement.kappa is not None and found.agreement.kappa.mean == 0.0


# The step


def write_labels(path: Path, labels: list[Labelled]) -> str:
    lines = [
        {"id": one.item.question_id, "question": one.item.question, "answer": one.item.answer, "label": one.label,
         "references": one.item.references, "passages": one.item.passages, "source": one.source} for one in labels
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def given(store: str, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    server.behave = right_but_for(10)
    return {
        "rubric": str(HANDBOOK / "judge" / "correctness.yaml"), "server": server.url, "server_model": "big",
        "server_key_env": "JUDGE_KEY", "probes": 10, "labels": write_labels(tmp_path / "labels.jsonl", labelled(150)),
    }  # fmt: skip


def test_a_step_certifies_and_the_certificate_is_found_by_the_judges_digest(
    given: dict[str, Any], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = pipeline.main(JudgeConfig(**given))
    assert found.certified
    judge = at(server, read_rubric(Path(given["rubric"])))
    assert find_certificate(judge.digest) == found and find_certificate("0" * 64) is None
    run = mlflow.search_runs(output_format="list")[0]
    assert (run.data.tags["llmops.judge_digest"], run.data.tags["llmops.judge_certified"]) == (judge.digest, "yes")
    assert run.data.metrics["judge/agreement"] == pytest.approx(0.9)
    assert run.data.metrics["judge/kappa_low"] > 0.6 and run.data.metrics["judge/failures"] == 0.0
    said = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/judgements.json")["judgements"]
    assert len(said) == 150
    shown = capsys.readouterr()
    assert table(found) in shown.out and "150 human" in shown.out
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"mlflow.db", "judgements.jsonl"} <= {path.name for path in files}
    assert KEY not in shown.out + shown.err and not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_step_that_certifies_nothing_is_finished_and_stands_against_an_older_certificate(
    given: dict[str, Any], server: Server, tmp_path: Path
) -> None:
    older = pipeline.main(JudgeConfig(**given))
    asked = len(server.asked)
    labels = write_labels(tmp_path / "made.jsonl", labelled(150, "constructed"))
    newer = pipeline.main(JudgeConfig(**{**given, "labels": labels}))
    assert len(server.asked) == asked  # the same answers were judged before
    run = mlflow.search_runs(output_format="list", order_by=["start_time DESC"])[0]
    assert (run.info.status, run.data.tags["llmops.judge_certified"]) == ("FINISHED", "no")
    assert older.digest == newer.digest and find_certificate(older.digest) == newer


def test_the_sample_labels_are_constructed_and_never_certify(given: dict[str, Any], server: Server) -> None:
    path = HANDBOOK / "judge" / "labels.jsonl"
    labels = {one.item.answer: one.label for one in read_labels(path, read_rubric(Path(given["rubric"])))}
    server.behave = lambda asked: asked.answer(**says(labels.get(answer(asked), "no")))
    found = pipeline.main(JudgeConfig(**{**given, "labels": str(path)}))
    assert found.labels_from == {"constructed": len(labels)} and len(labels) >= 24
    assert found.agreement.share.mean == 1.0
    assert found.reasons[0] == "the labels are constructed"


# Files


@pytest.mark.parametrize("name, labels", [
    ("correctness", ("yes", "no")), ("groundedness", ("yes", "no")), ("manner", ("good", "poor")),
])  # fmt: skip
def test_the_sample_rubrics_can_be_read(name: str, labels: tuple[str, ...]) -> None:
    rubric = read_rubric(HANDBOOK / "judge" / f"{name}.yaml")
    assert (rubric.name, rubric.labels) == (name, labels)
    assert [rubric.value(label) for label in (*labels, None)] == [1.0, 0.0, 0.0]


def test_yes_and_no_are_labels_in_yaml_too(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: r\nlabels: [yes, no]\nreads: []\ninstructions: Is it?\n")
    assert read_rubric(tmp_path / "r.yaml").labels == ("yes", "no")
    (tmp_path / "r.yaml").write_text("name: r\nlabels: [2, 1, 0]\nreads: []\ninstructions: How good is it?\n")
    assert read_rubric(tmp_path / "r.yaml").labels == ("2", "1", "0")


@pytest.mark.parametrize("changed", [
    "labels: [a]", "labels: [a, A]", "labels: ab", "reads: [answers]", "instructions: ''", "instructions: 'Is {{ x }}?'",
    "name: R r", "name: 3", "more: 1", "- a", ": {",
])  # fmt: skip
def test_a_rubric_that_cant_be_used_is_refused(tmp_path: Path, changed: str) -> None:
    good = ["name: r", "labels: [a, b]", "reads: []", "instructions: Is it?"]
    lines = [line for line in good if line.split(":")[0] != changed.split(":")[0]]
    (tmp_path / "r.yaml").write_text("\n".join([*lines, changed]))
    with pytest.raises(ConfigError):
        read_rubric(tmp_path / "r.yaml")


@pytest.mark.parametrize("changed, reason", [
    ({"label": "maybe"}, "expected one of yes, no"), ({"source": "me"}, "expected human or constructed"),
    ({"source": None}, "Say who gave the label"), ({"answer": ""}, "'answer'"), ({"passages": "One."}, "'passages'"),
])  # fmt: skip
def test_a_label_that_cant_be_used_is_refused_with_its_line(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    good = Path(write_labels(tmp_path / "l.jsonl", labelled(1)))
    line = json.loads(good.read_text(encoding="utf-8"))
    good.write_text(json.dumps(line) + "\n" + json.dumps({**line, "id": "other", **changed}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"l.jsonl:2: .*{reason}"):
        read_labels(good, RUBRIC)


def test_an_id_that_appears_twice_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="appears twice"):
        read_labels(Path(write_labels(tmp_path / "l.jsonl", labelled(1) * 2)), RUBRIC)
    with pytest.raises(DataError, match="holds no labelled answers"):
        read_labels(Path(write_labels(tmp_path / "l.jsonl", [])), RUBRIC)


def test_a_server_needs_a_model_and_probes_are_needed() -> None:
    with pytest.raises(ConfigError, match="Name the model"):
        load_judge(RUBRIC, server="http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match="probes is 0"):
        JudgeConfig(probes=0)


def test_the_project_declares_the_steps_parameters() -> None:
    assert step.parse(JudgeConfig, []) == JudgeConfig()
    assert "judge:" in (ROOT / "MLproject").read_text(encoding="utf-8")
