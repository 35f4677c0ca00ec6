"""The lineage of a release or of a document, from what the store knows of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches

import mlflow
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from llmops.errors import DataError
from llmops.registry.inventory import KIND_TAG, find_aliases, search_versions, uri_of
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import standing
from llmops.registry.lineage.graph import Deployed, Lineage, Part, Scored, document_lineage, release_lineage
from llmops.registry.lineage.parts import fetch_index, fetch_release, find_documents, found, read_index
from llmops.registry.seats import find_seats
from llmops.tracking import question_sets
from llmops.tracking.evaluations import CANDIDATE_TAG, RELEASE_TAG
from llmops.tracking.releases import read_release
from llmops.tracking.versions import DIGEST_TAG, get_version

SHOWN = 6  # scorecards, the newest
_QUALITY = "answer/score"


def of_release(uri: str, deployed: Sequence[Deployed]) -> Lineage:
    """The lineage of a registered release, with what was decided about it in all its copies.

    Raises:
        ArtifactError: there is no such version.
        LedgerError: a ledger can't be read.
    """
    version = get_version(uri)
    copies = search_versions(f"tags.`{DIGEST_TAG}` = '{version.digest}'")
    names = [uri_of(copy) for copy in copies]
    decided, notes = _decided(sorted({copy.name for copy in copies}), version.digest)
    cited = [entry.evaluation for entry in decided if entry.evaluation]
    scored, more = _scorecards(names, cited)
    if more:
        notes.append(f"{more} older scorecards are not shown")
    aliases = find_aliases()
    held = [f"{copy.name}@{alias}" for copy in copies for alias in aliases.get(uri_of(copy), ())]
    running = [one for one in deployed if one.release_uri in names]
    return release_lineage(fetch_release(version, held), scored, decided, running, notes)


def of_document(app: str, document: str, deployed: Sequence[Deployed]) -> Lineage:
    """The indexes of an application that hold a document, and the releases that answer with these.

    Raises:
        DataError: no index holds it.
    """
    releases = [version for version in search_versions() if KIND_TAG in version.tags]
    indexes = {uri_of(version): version.tags.get(DIGEST_TAG, "") for version in search_versions(f"name = '{app}-index'")}
    asked: dict[str, list[ModelVersion]] = {}
    for version in releases:
        pinned = _index_of(version)
        if pinned and (version.name == app or pinned[0] in indexes):
            indexes.setdefault(*pinned)
            asked.setdefault(pinned[0], []).append(version)
    held, notes = _holding(indexes, document)
    users = {part.name: [_release(version) for version in asked.get(part.title, ())] for part in held}
    aliases = find_aliases()
    seats = {uri_of(one): [f"{one.name}@{alias}" for alias in aliases.get(uri_of(one), ())] for one in releases}
    return document_lineage(document, held, users, seats, deployed, notes)


def _holding(indexes: Mapping[str, str], document: str) -> tuple[list[Part], list[str]]:
    held, notes, known = [], [], set[str]()
    for uri, digest in indexes.items():
        manifest = read_index(uri)
        if manifest is None:
            notes.append(f"{uri} is gone or can't be read: whether it held the document isn't known")
            continue
        known |= manifest["documents"].keys()
        meant = find_documents(uri, document)
        sources = tuple(Part("document", name, content) for name, content in meant.items())
        if sources:
            held.append(replace(fetch_index(uri, digest), sources=sources))
    if not held:
        near = get_close_matches(document, known, 3, 0.5)
        hint = f"Similar: {', '.join(near)}." if near else "Give its id, the file it was read from, or its digest."
        raise DataError(f"no index holds a document {document!r} ({len(indexes)} looked at). {hint}")
    return held, notes


def _index_of(version: ModelVersion) -> tuple[str, str] | None:
    """The index that a release asks, by URI and digest."""
    release = found(read_release, uri_of(version))
    return (release.retrieval.index, release.retrieval.index_digest) if release and release.retrieval else None


def _release(version: ModelVersion) -> Part:
    return Part("release", uri_of(version), version.tags.get(DIGEST_TAG, ""), version.tags[KIND_TAG])


def _decided(models: Iterable[str], digest: str) -> tuple[list[Entry], list[str]]:
    """The entries of all seats of these models about a release, oldest first, and what is wrong with the ledgers."""
    entries, notes = [], []
    for seat in (seat for model in models for seat in find_seats(model)):
        stand = standing(seat)
        entries += [entry for entry in stand.entries if entry.digest == digest]
        notes += [f"ledger of {seat.name}: {problem}" for problem in stand.problems]
    return sorted(entries, key=lambda entry: entry.when), notes


def _scorecards(names: Sequence[str], cited: Sequence[str]) -> tuple[list[Scored], int]:
    """The newest scorecards of a release and those of the `cited` evaluations, oldest first; and how many others there are.

    `names` are the release's URIs: it has several where it was copied.
    """
    runs = [run for name in names for run in _scored_runs(name)]
    runs.sort(key=lambda run: run.info.start_time)
    shown = [run for run in runs[:-SHOWN] if _parent(run) in cited] + runs[-SHOWN:]
    cards = [_scored(run) for run in shown]
    known = {one.evaluation for one in cards}
    gone = [Scored(run_id, run_id, f"evaluation {run_id[:12]}", missing=True) for run_id in cited if run_id not in known]
    return gone + cards, len(runs) - len(shown)


def _scored_runs(uri: str) -> list[Run]:
    experiments = [experiment.experiment_id for experiment in mlflow.search_experiments()]
    wanted = f"tags.`{RELEASE_TAG}` = '{uri}'"
    runs = mlflow.search_runs(experiments, wanted, output_format="list", order_by=["attributes.start_time DESC"])
    return [run for run in runs if CANDIDATE_TAG in run.data.tags and _parent(run)]


def _parent(run: Run) -> str:
    return str(run.data.tags.get("mlflow.parentRunId", ""))


def _scored(run: Run) -> Scored:
    when = datetime.fromtimestamp(run.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    quality = run.data.metrics.get(_QUALITY)
    detail = f"{_QUALITY} {quality:.3f}" if quality is not None else ""
    title = f"{run.data.tags[CANDIDATE_TAG]}, {when}"
    return Scored(run.info.run_id, _parent(run), title, detail, _asked(_parent(run)))


def _asked(evaluation: str) -> Part:
    """The questions of an evaluation."""
    run = found(mlflow.get_run, evaluation)
    inputs = run.inputs.dataset_inputs if run and run.inputs and run.info.lifecycle_stage == "active" else []
    asked = next((one.dataset for one in inputs if question_sets.SET_MARK in one.dataset.name), None)
    if asked is None:
        return Part("questions", "unknown questions", detail=f"evaluation {evaluation[:12]} names none", missing=True)
    stored = found(question_sets.get_question_set, asked.name)
    if stored is None:
        return Part("questions", asked.name, asked.digest, missing=True)
    return Part("questions", asked.name, stored.digest, f"{len(stored.questions)} questions")
