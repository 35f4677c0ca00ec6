"""Where a release comes from and where it went: as a graph, as text, as a picture; of a document, who answers with it."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from applications import decide, evaluate, make_adapter, make_base, make_index, make_release, need_no_weights
from ledger_race import draft

from llmops.errors import ArtifactError, ConfigError, DataError
from llmops.registry.ledger.entry import Entry
from llmops.registry.lineage.graph import Deployed, Lineage, Part, Scored, columns, document_lineage, release_lineage, tell
from llmops.registry.lineage.picture import COLOURS, draw, page, render, spots
from llmops.registry.seat import Seat
from llmops.serving import state
from llmops.serving.options import Options
from llmops.tracking.versions import download
from pipelines import lineage
from pipelines.lineage import LineageConfig

LEAVE = {"leave.md": "# Leave\n\nThirty days of leave in a year.\n"}
CARS = {"cars.md": "# Cars\n\nCars are booked in Pebble.\n"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need_no_weights(monkeypatch)
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))


def sources(found: Lineage, kind: str) -> list[str]:
    """The kinds that stand before the nodes of a kind, in alphabetical order."""
    kinds = {node.name: node.kind for node in found.nodes}
    return sorted(kinds[edge.source] for edge in found.edges if kinds[edge.target] == kind)


def missing(found: Lineage) -> set[str]:
    return {node.kind for node in found.nodes if node.missing}


def titles(found: Lineage, kind: str) -> list[str]:
    return [node.title for node in found.nodes if node.kind == kind]


def deploy(name: str, release: str) -> None:
    state.write(state.Deployment(name, "models:/handbook@champion", Options(), 9))
    state.write_json(state.deployment_folder(name) / state.PLAN, {"current": release})


# A release


def test_a_release_is_followed_from_its_documents_to_its_deployments(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = make_release(make_index(tmp_path / "a", LEAVE), make_adapter(tmp_path, "one"))
    decide(release, evaluation=evaluate(release))
    deploy("intranet", release.uri)
    found = lineage.main(LineageConfig(release=release.uri))
    chain = ["documents", "index", "release", "scorecard", "decision", "deployment"]
    assert all(before in sources(found, after) for before, after in zip(chain, chain[1:], strict=False))
    assert sources(found, "release") == ["adapter", "index", "prompt"]
    assert sources(found, "adapter") == ["base", "data"] and sources(found, "scorecard") == ["questions", "release"]
    assert missing(found) == set() and not found.notes
    said = capsys.readouterr().out
    shown = ["1 document ", "examples.jsonl (ffffffffffff, examples)", "rank 4", "2 questions", "/score 0.500", "by alice"]
    shown.append("stopped at http://127.0.0.1:9")
    assert [told for told in shown if told not in said] == []
    run = mlflow.search_runs(output_format="list", max_results=1)[0].info.run_id
    assert mlflow.artifacts.load_dict(f"runs:/{run}/lineage.json") == json.loads(json.dumps(found.to_dict()))
    assert mlflow.artifacts.load_text(f"runs:/{run}/lineage.svg") == draw(found)
    assert "<svg" in mlflow.artifacts.load_text(f"runs:/{run}/lineage.html")


def test_without_a_release_it_is_the_champions(store: str) -> None:
    make_release(tokens=2)
    decide(make_release(tokens=3))
    (node,) = [node for node in lineage.main(LineageConfig()).nodes if node.kind == "release"]
    assert node.title == "models:/handbook@champion" or node.title == "models:/handbook/2"
    assert "now handbook@champion" in node.detail


def test_what_is_gone_is_shown_as_missing(store: str, tmp_path: Path) -> None:
    index, adapter = make_index(tmp_path / "a", LEAVE), make_adapter(tmp_path, "one")
    release, client = make_release(index, adapter), mlflow.MlflowClient()
    evaluation = evaluate(release)
    decide(release, evaluation=evaluation)
    client.delete_model_version("handbook-index", index.version)
    shutil.rmtree(download(f"models:/{adapter.model_id}"))
    client.delete_prompt_version("handbook-prompt", "1")
    client.delete_run(evaluation)
    found = lineage.main(LineageConfig(release=release.uri))
    assert missing(found) == {"index", "adapter", "prompt", "questions"}
    assert titles(found, "decision") == ["handbook@champion #1: promote"]
    shutil.rmtree(download(f"models:/{release.model_id}"))
    (scorecard,) = [run for run in mlflow.search_runs(output_format="list") if "llmops.candidate" in run.data.tags]
    client.delete_run(scorecard.info.run_id)
    assert missing(lineage.main(LineageConfig(release=release.uri))) == {"release", "scorecard"}


def test_a_training_whose_run_was_deleted_leaves_its_data_missing(store: str, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path, "one")
    mlflow.delete_run(str(mlflow.get_logged_model(adapter.model_id).source_run_id))
    found = lineage.main(LineageConfig(release=make_release(adapter=adapter).uri))
    assert missing(found) == {"data"}


def test_a_base_of_the_registry_is_followed_too(store: str, tmp_path: Path) -> None:
    release = make_release(base=make_base(tmp_path, "own").uri)
    found = lineage.main(LineageConfig(release=release.uri))
    assert titles(found, "base") == ["models:/handbook-base/1"] and not missing(found)


def test_a_copy_in_another_environment_has_the_scorecards_and_decisions_of_what_was_copied(store: str) -> None:
    release = make_release()
    decide(release, evaluation=evaluate(release, "prompt"))
    mlflow.MlflowClient().copy_model_version(release.uri, "handbook-prod")
    decide(release, seat=Seat("handbook", "staging"))
    found = lineage.main(LineageConfig(release="models:/handbook-prod/1"))
    assert titles(found, "decision") == ["handbook@champion #1: promote", "handbook@staging #1: promote"]
    assert len(titles(found, "scorecard")) == 1


def test_old_scorecards_are_counted_unless_a_decision_rests_on_them(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmops.registry.lineage.facts.SHOWN", 1)
    release = make_release()
    first = evaluate(release, "first")
    evaluate(release, "second")
    evaluate(release, "third")
    decide(release, evaluation=first)
    found = lineage.main(LineageConfig(release=release.uri))
    assert [title.split(",")[0] for title in titles(found, "scorecard")] == ["first", "third"]
    assert found.notes == ("1 older scorecards are not shown",)


def test_a_release_that_is_not_there_is_refused(store: str) -> None:
    with pytest.raises(ArtifactError, match="models:/handbook/7"):
        lineage.main(LineageConfig(release="models:/handbook/7"))
    with pytest.raises(ConfigError, match="one of both"):
        LineageConfig(release="models:/handbook/7", document="leave.md")


# A document


def test_a_document_leads_to_the_releases_that_answer_with_it(store: str, tmp_path: Path) -> None:
    both, one = make_index(tmp_path / "a", LEAVE | CARS), make_index(tmp_path / "b", LEAVE)
    first, second = make_release(both), make_release(one)
    decide(make_release(one, tokens=9))
    deploy("intranet", "models:/handbook/3")
    found = lineage.main(LineageConfig(document="leave.md"))
    assert titles(found, "index") == [both.uri, one.uri]
    assert titles(found, "release") == [first.uri, second.uri, "models:/handbook/3"]
    assert titles(found, "seat") == ["handbook@champion"] and sources(found, "deployment") == ["seat"]
    assert titles(lineage.main(LineageConfig(document="cars.md")), "release") == [first.uri]


def test_a_document_is_found_by_digest_and_its_changes_are_told_apart(store: str, tmp_path: Path) -> None:
    make_index(tmp_path / "a", LEAVE)
    make_index(tmp_path / "b", {"leave.md": "# Leave\n\nForty days.\n"})
    by_name = lineage.main(LineageConfig(document="leave.md"))
    assert titles(by_name, "document") == ["leave.md", "leave.md"]
    digest = next(node.detail for node in by_name.nodes if node.kind == "document")
    assert titles(lineage.main(LineageConfig(document=digest)), "index") == ["models:/handbook-index/1"]


def test_an_index_that_is_gone_is_said_to_be_unknown(store: str, tmp_path: Path) -> None:
    make_index(tmp_path / "a", LEAVE)
    gone = make_index(tmp_path / "b", LEAVE | CARS)
    shutil.rmtree(download(gone.uri))
    found = lineage.main(LineageConfig(document="leave.md"))
    assert titles(found, "index") == ["models:/handbook-index/1"] and gone.uri in found.notes[0]


def test_a_document_that_no_index_holds_is_refused_with_what_is_like_it(store: str, tmp_path: Path) -> None:
    make_index(tmp_path / "a", LEAVE)
    with pytest.raises(DataError, match="Similar: leave.md"):
        lineage.main(LineageConfig(document="leaves.md"))


# The graph and the picture

PARTS = tuple(Part(kind, f"{kind} {i}", "a" * 64, "some detail of it") for i in range(2) for kind in ("prompt", "examples"))
ADAPTER = Part("adapter", "models:/handbook-adapter/1", "b" * 64, sources=(Part("base", "wheel:base"), Part("data", "<x>")))


def graph(cards: int) -> Lineage:
    """A lineage with so many scorecards, each decided on."""
    release = Part("release", "models:/handbook/4", "c" * 64, "rag+adapter", (*PARTS, ADAPTER))
    scored = [Scored(f"r{i}", f"e{i}", f"card {i}", questions=Part("questions", f"set {i % 2}")) for i in range(cards)]
    decided = [Entry.from_json(draft(Seat("handbook"), "4", run=f"e{i}").to_json()) for i in range(cards)]
    return release_lineage(
        release, scored, decided, [Deployed("intranet", "models:/handbook@champion", "models:/handbook/4")]
    )


@pytest.mark.parametrize("cards", [0, 1, 9])
def test_every_arrow_goes_to_the_right_and_no_box_covers_another(cards: int) -> None:
    found = graph(cards)
    place, at = columns(found), spots(found)
    assert all(place[edge.source] < place[edge.target] for edge in found.edges)
    by_column: dict[int, list[float]] = {}
    for name, (_, height) in at.items():
        by_column.setdefault(place[name], []).append(height)
    for heights in by_column.values():
        heights.sort()
        assert all(b - a > 0.5 for a, b in zip(heights, heights[1:], strict=False))
    assert set(place.values()) == set(range(max(place.values()) + 1))  # no column is empty


def test_the_picture_is_whole_and_the_same_each_time_and_the_page_loads_nothing() -> None:
    found = graph(9)
    svg = draw(found)
    assert svg == draw(found) and render(found, "png").startswith(b"\x89PNG")
    ElementTree.fromstring(svg)
    boxes = svg.count("fill: #") - svg.count("fill: #ffffff")
    assert boxes >= len(found.nodes)
    html = page(found, "Lineage of <b>")
    assert "Lineage of &lt;b&gt;" in html and "<script" not in html and "&lt;x&gt;" in html
    assert not [word for word in ("src=", 'href="http', "url(http", "@import") if word in html]


def test_a_deployment_hangs_on_the_decision_that_gave_the_seat() -> None:
    first, second = (draft(Seat("handbook"), "4"), draft(Seat("handbook"), None, "keep"))
    entries = [replace(one, seat="handbook@champion", number=i) for i, one in enumerate((first, second), 1)]
    deployed = [Deployed("intranet", "models:/handbook@champion", "models:/handbook/4")]
    found = release_lineage(Part("release", "models:/handbook/4"), [], entries, deployed)
    (edge,) = [edge for edge in found.edges if edge.target == "deployment intranet"]
    assert edge.source == "decision handbook@champion 1"


def test_an_unknown_kind_and_an_empty_graph_can_be_drawn() -> None:
    assert "<svg" in draw(document_lineage("x.md", [], {}, {}, [])) and "<svg" in draw(Lineage((), ()))
    assert tell(Lineage((), (), ("nothing",))) == "nothing" and "reranker" not in COLOURS
    assert "<svg" in draw(release_lineage(Part("release", "r", sources=(Part("reranker", "wheel:r"),)), [], [], []))
