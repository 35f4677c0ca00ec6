"""The index: built from files, brought up to date, searched, and refused when it is not whole."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from llmops.documents.folder import scan
from llmops.documents.reader import Reader
from llmops.documents.splitter import Splitting
from llmops.errors import ArtifactError, ConfigError, DataError
from llmops.files import open_workplace
from llmops.retrieval.builder import IndexSettings, Report, build_index
from llmops.retrieval.embedder import EmbedderIdentity, Vectors
from llmops.retrieval.filters import parse_filter, read_metadata
from llmops.retrieval.index import VectorIndex
from llmops.retrieval.journal import Journal
from llmops.retrieval.manifest import index_digest, read_manifest
from llmops.retrieval.passage import citation, passage_text
from llmops.retrieval.previous import Previous
from llmops.retrieval.retriever import IndexRetriever
from llmops.retrieval.search import Search, nearness
from llmops.types import Chunk, Hit


class WordEmbedder:
    """Counts words in 256 bins: texts that share words are near each other. It remembers what it was asked for."""

    identity = EmbedderIdentity("words", "d" * 64, 256, 100, "", "", "words")
    window = 100

    def __init__(self) -> None:
        self.passages: list[str] = []
        self.fail_after = 10**9

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), 256), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                vector[hashlib.sha256(word.encode()).digest()[0]] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12), dtype=np.float32)

    def embed_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Vectors:
        if len(self.passages) + len(texts) > self.fail_after:
            raise KeyboardInterrupt
        self.passages += texts
        return self.embed_queries(texts)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def token_starts(self, text: str) -> npt.NDArray[np.int64]:
        return np.array([found.start() for found in re.finditer(r"\S+", text)], dtype=np.int64)


DENSE = Search()
SETTINGS = IndexSettings(Splitting("heading", 40, 0))
PAGES = {
    "leave.md": "# Leave\n\nEvery employee has thirty days of leave in a year.\n",
    "cars.md": "# Cars\n\nCompany cars are electric and are booked in Pebble.\n",
    "hr/canteen.md": "# Canteen\n\nThe canteen opens at noon. Soup is free on Fridays.\n",
    "hr/pay.md": "# Pay\n\nSalaries are paid on the last day of the month.\n",
    "buoys.md": "# Buoys\n\nBuoys are blue and are tested in the basin.\n",
}


def write(folder: Path, pages: dict[str, str]) -> Path:
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class Workshop:
    """A folder of documents and the indexes built of it, each from the one before."""

    def __init__(self, folder: Path) -> None:
        self.documents, self.folder = folder / "documents", folder
        self.count, self.previous = 0, None
        self.embedder: Any = WordEmbedder()

    def build(self, settings: IndexSettings = SETTINGS, previous: Any = "last", rules: Any = (), **options: Any) -> Report:
        self.embedder = options.pop("embedder", None) or WordEmbedder()
        self.count += 1
        before = self.previous if previous == "last" else previous
        target = self.folder / f"index{self.count}"
        with Reader() as reader:
            report = build_index(
                target, scan(self.documents)[0], reader, self.embedder, settings, rules,
                Previous(before, settings.splitting, self.embedder.identity, "v1"), reading="v1", **options,
            )  # fmt: skip
        self.previous = VectorIndex(target)
        return report

    @property
    def index(self) -> VectorIndex:
        assert self.previous is not None
        return self.previous

    def find(self, question: str, search: Search = DENSE, **options: Any) -> list[Hit]:
        return self.index.search([question], WordEmbedder(), search, **options)[0]

    def found(self, question: str, search: Search = DENSE, **options: Any) -> list[str]:
        return [hit.chunk.doc_id for hit in self.find(question, search, **options)]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    write(made.documents, PAGES)
    return made


@pytest.fixture
def built(workshop: Workshop) -> Workshop:
    workshop.build()
    return workshop


def changes(report: Report) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.deleted, report.reused


def content(index: VectorIndex) -> dict[str, str]:
    """Every chunk's passage by its id."""
    return {chunk.chunk_id: passage_text(chunk) for chunk in (index.chunks[row] for row in range(index.chunks.count))}


# What an index holds


def test_an_index_says_what_it_was_made_from(built: Workshop) -> None:
    manifest = read_manifest(built.index.folder)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in PAGES.items()}
    assert manifest["documents"] == digests
    assert manifest["settings"]["splitting"] == {"splitter": "heading", "chunk_tokens": 40, "chunk_overlap": 0}
    assert manifest["embedder"]["source"] == "words" and manifest["embedder"]["digest"] == "d" * 64
    assert manifest["vectors"]["kind"] == "flat" and manifest["vectors"]["recall_at_10"] == 1.0
    assert built.index.doc_ids == set(PAGES)


def test_every_chunk_points_at_the_text_it_claims(built: Workshop) -> None:
    for row in range(built.index.chunks.count):
        chunk = built.index.chunks[row]
        assert PAGES[chunk.doc_id][chunk.start : chunk.end] == chunk.text


def test_nothing_in_an_index_is_a_pickle(built: Workshop) -> None:
    files = [path for path in built.index.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"exact.faiss", "chunks.parquet", "documents.parquet", "manifest.json"}
    for path in files:
        assert not path.read_bytes().startswith(b"\x80"), path
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)


def test_documents_without_text_make_no_index(workshop: Workshop, tmp_path: Path) -> None:
    for path in list(workshop.documents.rglob("*.md")):
        path.write_bytes(b"\x00\x01\xff")
    with pytest.raises(DataError, match="no readable document"):
        workshop.build()
    assert not list(tmp_path.glob("index*")) and not list(tmp_path.glob(".index*"))


def test_two_documents_with_one_id_are_not_both_taken(workshop: Workshop) -> None:
    write(workshop.documents, {"a.jsonl": '{"_id": "x", "text": "first"}\n', "b.jsonl": '{"_id": "x", "text": "second"}\n'})
    report = workshop.build()
    assert [(r.doc_id, "taken by a document in a.jsonl" in r.reason) for r in report.rejected] == [("x", True)]
    (workshop.documents / "a.jsonl").unlink()
    assert workshop.build().rejected == []
    assert "second" in content(workshop.index)["x#0"]


# What is not whole is refused


@pytest.mark.parametrize("name", ["vectors/exact.faiss", "chunks.parquet", "documents.parquet"])
def test_an_index_with_a_changed_file_is_refused(built: Workshop, name: str) -> None:
    path = built.index.folder / name
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="are not the ones its manifest names"):
        VectorIndex(built.index.folder)


@pytest.mark.parametrize("name", ["vectors/exact.faiss", "chunks.parquet", "documents.parquet", "manifest.json"])
def test_an_index_with_a_missing_file_is_refused(built: Workshop, name: str) -> None:
    (built.index.folder / name).unlink()
    with pytest.raises(ArtifactError, match="is no index|are not the ones"):
        VectorIndex(built.index.folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_an_index_with_a_damaged_manifest_is_refused(built: Workshop, content: bytes) -> None:
    (built.index.folder / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError):
        VectorIndex(built.index.folder)


def test_a_manifest_without_its_closing_digest_is_refused(built: Workshop) -> None:
    path = built.index.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in manifest.items() if name != "closing"}))
    with pytest.raises(ArtifactError, match="was changed or never finished"):
        VectorIndex(built.index.folder)


def test_an_index_of_another_format_is_refused(built: Workshop) -> None:
    path = built.index.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    with pytest.raises(ArtifactError, match="index format 1, expected 2"):
        VectorIndex(built.index.folder)


def test_an_index_is_asked_with_its_own_embedder_only(built: Workshop) -> None:
    other, prefixed = WordEmbedder(), WordEmbedder()
    other.identity = replace(other.identity, source="other words", digest="e" * 64)
    prefixed.identity = replace(prefixed.identity, query_prefix="query: ")
    with pytest.raises(ArtifactError, match="built with words .* queried with other words"):
        built.index.search(["leave"], other, Search())
    with pytest.raises(ArtifactError, match="'query: '"):
        built.index.search(["leave"], prefixed, Search())


# Bringing an index up to date


def test_the_first_index_embeds_everything(workshop: Workshop) -> None:
    assert changes(workshop.build()) == (5, 0, 0, 0)
    assert len(workshop.embedder.passages) == 5


def test_an_unchanged_folder_is_not_embedded_again(built: Workshop) -> None:
    before = index_digest(built.index.manifest)
    assert changes(built.build()) == (0, 0, 0, 5)
    assert built.embedder.passages == [] and index_digest(built.index.manifest) == before


def test_only_what_was_added_or_changed_is_embedded(built: Workshop) -> None:
    write(built.documents, {"new.md": "# New\n\nNew.\n", "cars.md": "# Cars\n\nCompany cars are red.\n"})
    assert changes(built.build()) == (1, 1, 0, 4)
    assert sorted(built.embedder.passages) == ["Cars\n# Cars\n\nCompany cars are red.", "New\n# New\n\nNew."]


def test_the_chunks_of_deleted_and_shortened_documents_leave(built: Workshop) -> None:
    (built.documents / "buoys.md").unlink()
    long = "# Leave\n\n" + "\n\n".join(f"Rule {n} says that leave of kind {n} is asked for in Pebble." for n in range(20))
    write(built.documents, {"leave.md": long})
    built.build()
    assert sum(chunk_id.startswith("leave.md#") for chunk_id in content(built.index)) > 2
    write(built.documents, {"leave.md": PAGES["leave.md"]})
    assert changes(built.build()) == (0, 1, 0, 3)
    assert sorted(content(built.index)) == ["cars.md#0", "hr/canteen.md#0", "hr/pay.md#0", "leave.md#0"]
    assert "buoys.md" not in built.found("blue buoys", Search(k=10)) + built.found("buoys", Search("lexical", 10))


def test_a_passage_that_moves_within_its_document_keeps_its_vector(built: Workshop) -> None:
    write(built.documents, {"leave.md": "# Leave\n\n## Moved\n\nBelow.\n" + "\n## Old\n\nOld text stays as it is.\n"})
    built.build()
    write(built.documents, {"leave.md": "# Leave\n\n## First\n\nNew at the top.\n\n## Old\n\nOld text stays as it is.\n"})
    built.build()
    assert not any("Old text" in passage for passage in built.embedder.passages)


def test_an_updated_index_is_the_one_built_from_nothing(built: Workshop) -> None:
    write(built.documents, {"cars.md": "# Cars\n\nCars are red.\n", "a/new.md": "# New\n\nNew text.\n"})
    (built.documents / "hr/pay.md").unlink()
    built.build()
    updated = built.index
    built.build(previous=None)
    assert len(built.embedder.passages) == 5
    assert index_digest(updated.manifest) == index_digest(built.index.manifest)
    assert updated.manifest["files"] == built.index.manifest["files"]


def test_only_the_changed_records_of_a_file_are_embedded(workshop: Workshop) -> None:
    records = [{"_id": f"d{n}", "title": f"T{n}", "text": f"record number {n} is about topic {n}"} for n in range(9)]
    corpus = workshop.documents / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    workshop.build()
    records[4]["text"] = "record number four has changed"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records[1:]))
    assert changes(workshop.build()) == (0, 1, 1, 12)
    assert [passage.split("\n")[0] for passage in workshop.embedder.passages] == ["T4"]


def test_another_splitting_reads_again_and_another_embedder_embeds_again(built: Workshop) -> None:
    finer = replace(SETTINGS, splitting=Splitting("heading", 6, 0))
    assert changes(built.build(finer))[1] == 5
    other = WordEmbedder()
    other.identity = replace(other.identity, backend="other")
    built.build(finer, embedder=other)
    assert len(other.passages) == built.index.vectors.facts.count


def test_files_that_could_not_be_read_are_named_again_without_being_read(built: Workshop) -> None:
    (built.documents / "bad.pdf").write_bytes(b"no pdf")
    (reason,) = built.build().rejected
    assert built.build().rejected == [reason] and reason.doc_id == "bad.pdf"


def test_passages_that_read_the_same_under_different_headings_do_not_mix_up_vectors(workshop: Workshop) -> None:
    """The passage "Intro / Hello" is a text of its own in one record, and title and text in the other."""
    records = [{"_id": "a", "text": "Intro\nHello"}, {"_id": "b", "title": "Intro", "text": "Hello"}]
    records += [{"_id": f"d{n}", "text": f"Record {n} speaks of {n * n} things."} for n in range(30)]
    records += [{"_id": "copy", "text": "Hello"}]
    corpus = workshop.documents / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    workshop.build()
    records[10]["text"] = "Record ten has changed."
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    workshop.build()
    assert len(workshop.embedder.passages) == 1
    updated = workshop.index
    workshop.build(previous=None)
    assert updated.manifest["files"] == workshop.index.manifest["files"]


def test_a_document_that_cannot_be_read_any_more_is_told_from_a_deleted_one(built: Workshop) -> None:
    (built.documents / "cars.md").write_bytes(b"\x00\x01\xff\xfe\x00")
    (built.documents / "buoys.md").unlink()
    report = built.build()
    assert (report.lost, report.deleted) == (["cars.md"], 1)


def test_words_stemmed_by_other_code_are_stemmed_again(built: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Previous(built.index, SETTINGS.splitting, WordEmbedder.identity, "v1").lexical("english") is not None
    monkeypatch.setattr("llmops.retrieval.previous.words_digest", lambda: "newer")
    assert Previous(built.index, SETTINGS.splitting, WordEmbedder.identity, "v1").lexical("english") is None


# Interrupted work


def test_an_interrupted_build_leaves_no_index_and_its_embeddings_are_used_again(workshop: Workshop, tmp_path: Path) -> None:
    records = [{"_id": f"p{n}", "text": f"This is page {n} of the {n * n} pages about {n * 7}."} for n in range(1500)]
    write(workshop.documents, {"corpus.jsonl": "".join(json.dumps(record) + "\n" for record in records)})
    with open_workplace(tmp_path / "work") as place:
        stopped = WordEmbedder()
        stopped.fail_after = 1100
        with pytest.raises(KeyboardInterrupt):
            workshop.build(journal=Journal(place), embedder=stopped, previous=None)
    assert not list(tmp_path.glob("index*")) and len(stopped.passages) == 1024
    with open_workplace(tmp_path / "work") as place:
        report = workshop.build(journal=Journal(place), previous=None)
        assert (report.embedded_before, report.embedded) == (1024, report.documents - 1024)
        resumed = index_digest(workshop.index.manifest)
        workshop.build(previous=None)
        assert index_digest(workshop.index.manifest) == resumed


def test_a_damaged_segment_of_the_journal_is_embedded_again(tmp_path: Path) -> None:
    keys = [bytes([n]) * 16 for n in range(3)]
    vectors = np.random.default_rng(0).random((3, 4), dtype=np.float32)
    Journal(tmp_path).append(keys, vectors)
    reopened = Journal(tmp_path)
    np.testing.assert_array_equal([reopened[key] for key in keys], vectors)
    (segment,) = tmp_path.glob("*.npz")
    segment.write_bytes(segment.read_bytes()[:-40])
    assert keys[0] not in Journal(tmp_path) and not list(tmp_path.glob("*.npz"))


def test_two_builds_at_once_do_not_share_a_workplace(tmp_path: Path) -> None:
    with open_workplace(tmp_path / "work") as first, open_workplace(tmp_path / "work") as second:
        assert first != second


# Duplicates


def test_a_passage_in_two_documents_is_embedded_and_found_once(workshop: Workshop) -> None:
    write(workshop.documents, {"copy.md": PAGES["leave.md"], "shout.md": PAGES["leave.md"].upper()})
    report = workshop.build()
    assert report.exact_duplicates == 2 and len(workshop.embedder.passages) == 5
    (hit,) = workshop.find("thirty days of leave", Search(k=1))
    assert hit.chunk.doc_id == "copy.md" and set(hit.also) == {"leave.md", "shout.md"}
    assert len(workshop.found("thirty days of leave", Search(k=10))) == 5


def test_a_duplicate_takes_the_place_of_a_deleted_original(workshop: Workshop) -> None:
    write(workshop.documents, {"copy.md": PAGES["leave.md"]})
    workshop.build()
    (workshop.documents / "copy.md").unlink()
    workshop.build()
    assert workshop.found("thirty days of leave", Search(k=1)) == ["leave.md"]
    assert workshop.embedder.passages == []


# Searching


def test_hits_are_the_nearest_chunks_best_first(built: Workshop) -> None:
    hits = built.find("electric company cars", Search(k=5))
    vectors = WordEmbedder().embed_queries([passage_text(hit.chunk) for hit in hits])
    scores = vectors @ WordEmbedder().embed_queries(["electric company cars"])[0]
    assert hits[0].chunk.doc_id == "cars.md"
    np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-6)
    assert list(scores) == sorted(scores, reverse=True)


@pytest.mark.parametrize("mode", ["dense", "lexical", "rrf", "convex"])
def test_every_mode_finds_the_right_document_first_and_no_more_than_k(built: Workshop, mode: str) -> None:
    assert built.found("When does the canteen open for soup?", Search(mode, 2))[:1] == ["hr/canteen.md"]
    assert len(built.found("the canteen is paid in company cars", Search(mode, 2))) == 2
    assert len(built.found("canteen", Search(mode, 100))) <= 5
    assert built.index.search([], WordEmbedder(), Search(mode)) == []


def test_lexical_search_finds_words_in_other_forms_and_nothing_without_a_common_word(built: Workshop) -> None:
    assert built.found("salary", Search("lexical", 3)) == ["hr/pay.md"]
    assert built.found("zebra", Search("lexical", 3)) == []


def test_hybrid_hits_carry_their_similarity(built: Workshop) -> None:
    for hit in built.find("blue buoys", Search("convex", 5)):
        expected = WordEmbedder().embed_queries([passage_text(hit.chunk), "blue buoys"])
        assert hit.similarity == pytest.approx(float(expected[0] @ expected[1]), abs=1e-6)


def test_filters_are_applied_before_ranking_so_that_k_results_come_back(workshop: Workshop, tmp_path: Path) -> None:
    many = {f"n{n}.md": f"# Cars {n}\n\nCompany cars number {n} are electric, see rule {n * 3}.\n" for n in range(50)}
    write(workshop.documents, many)
    rules = tmp_path / "rules.jsonl"
    rules.write_text('{"document": "n4?.md", "year": 2024}\n{"document": "hr/*", "year": 2020}\n')
    workshop.build(rules=read_metadata(rules))
    for mode in ("dense", "lexical", "rrf", "convex"):
        found = workshop.found("electric company cars", Search(mode, 5), filter=parse_filter({"year": {"gte": 2021}}))
        assert len(found) == 5 and all(doc_id.startswith("n4") for doc_id in found)
    assert set(workshop.found("cars", Search(k=9), filter=parse_filter({"doc_id": {"prefix": "hr/"}}))) == {
        "hr/canteen.md", "hr/pay.md",
    }  # fmt: skip


def test_a_caller_sees_what_a_group_of_hers_may_see_and_nothing_else(workshop: Workshop, tmp_path: Path) -> None:
    rules = tmp_path / "rules.jsonl"
    rules.write_text('{"document": "hr/pay.md", "groups": ["hr", "board"]}\n')
    write(workshop.documents, {"also-pay.md": PAGES["hr/pay.md"]})
    workshop.build(rules=read_metadata(rules))
    question = "When are salaries paid?"
    assert workshop.found(question, Search(k=1), groups=["sales"]) == ["also-pay.md"]
    assert workshop.find(question, Search(k=1), groups=["sales"])[0].also == ()
    assert workshop.find(question, Search(k=1), groups=["hr"])[0].also == ("hr/pay.md",)
    (workshop.documents / "also-pay.md").unlink()
    workshop.build(rules=read_metadata(rules))
    assert "hr/pay.md" not in workshop.found(question, Search(k=10), groups=["sales"])
    assert workshop.found(question, Search(k=1), groups=None) == ["hr/pay.md"]


def test_metadata_that_changes_changes_the_index_without_embedding(built: Workshop, tmp_path: Path) -> None:
    before = index_digest(built.index.manifest)
    rules = tmp_path / "rules.jsonl"
    rules.write_text('{"document": "*.md", "year": 2024}\n')
    built.build(rules=read_metadata(rules))
    assert built.embedder.passages == [] and index_digest(built.index.manifest) != before
    assert len(built.found("leave", Search(k=9), filter=parse_filter({"year": 2024}))) == 5


class ShortestFirst:
    """Prefers short passages."""

    def scores(self, query: str, passages: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([1 / len(passage) for passage in passages], dtype=np.float32)


def test_a_reranker_orders_the_candidates_anew(built: Workshop) -> None:
    hits = built.index.search(["company cars"], WordEmbedder(), Search(k=2), reranker=ShortestFirst())[0]  # type: ignore[arg-type]
    passages = sorted(content(built.index).values(), key=len)
    assert [passage_text(hit.chunk) for hit in hits] == passages[:2]
    assert hits[0].score == pytest.approx(1 / len(passages[0])) and hits[0].similarity is None


def test_hits_less_near_than_the_floor_are_left_out(built: Workshop) -> None:
    hits = built.find("electric company cars", Search(k=5))
    kept = built.find("electric company cars", Search(k=5, floor=hits[0].score))
    assert len(hits) == 5 and [hit.chunk for hit in kept] == [hits[0].chunk]


def test_a_passage_of_many_documents_names_some_of_them(workshop: Workshop) -> None:
    records = [{"_id": f"d{n}", "text": "All rights reserved by the company."} for n in range(300)]
    write(workshop.documents, {"corpus.jsonl": "".join(json.dumps(record) + "\n" for record in records)})
    workshop.build()
    (hit,) = workshop.find("all rights reserved", Search(k=1))
    assert hit.chunk.doc_id == "d0" and hit.also == tuple(f"d{n}" for n in range(1, 21))


@pytest.mark.parametrize("change", [{"language": "englisch"}, {"vectors": "hnws"}, {"near_duplicates": 1.5}])
def test_settings_that_make_no_sense_are_refused_before_anything_is_embedded(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(SETTINGS, **change)


@pytest.mark.parametrize("settings", [{"mode": "sparse"}, {"weight": 1.5}, {"k": 0}])
def test_a_search_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Search(**settings)


# The retriever


def retriever(built: Workshop, **search: Any) -> IndexRetriever:
    return IndexRetriever(index=built.index, embedder=WordEmbedder(), search=Search(**search))


def test_a_retriever_finds_nothing_where_nothing_is_near_enough(built: Workshop) -> None:
    near = retriever(built, k=1, min_score=0.5).hits(["company cars are electric", "parrots and pirates"])
    assert [[hit.chunk.doc_id for hit in hits] for hits in near] == [["cars.md"], []]


def test_a_score_of_just_the_floor_is_near_enough(built: Workshop) -> None:
    score = retriever(built, k=1).hits(["electric days"])[0][0].score
    assert len(retriever(built, k=1, min_score=score).hits(["electric days"])[0]) == 1


def test_the_floor_of_a_hybrid_search_is_a_similarity(built: Workshop) -> None:
    assert retriever(built, mode="rrf", k=1, min_score=0.4).hits(["company cars are electric"])[0]
    assert retriever(built, mode="rrf", k=1, min_score=0.4).hits(["a pirate is paid"])[0] == []
    assert nearness([]) == -1.0


def test_langchain_gets_documents_that_say_where_they_come_from(built: Workshop) -> None:
    document = retriever(built, k=1).invoke("cars are electric")[0]
    assert document.page_content == "Cars\n# Cars\n\nCompany cars are electric and are booked in Pebble."
    assert document.id == "cars.md#0" and document.metadata["doc_uri"] == "cars.md"
    assert document.metadata["citation"] == "cars.md, Cars"


# How a chunk is read

CHUNK = Chunk("a.md#0", "hr/a.md", "Leave", "Leave > Days", "thirty days\n", 0, 12)


@pytest.mark.parametrize(
    ("change", "passage"),
    [
        ({}, "Leave > Days\nthirty days"),
        ({"heading": ""}, "Leave\nthirty days"),
        ({"heading": "Leave"}, "Leave\nthirty days"),
        ({"heading": "Days"}, "Leave > Days\nthirty days"),
        ({"title": "", "heading": ""}, "thirty days"),
        ({"table_header": "a | b\n"}, "Leave > Days\na | b\nthirty days"),
    ],
)
def test_a_passage_is_read_with_its_title_heading_and_table_header(change: dict[str, str], passage: str) -> None:
    assert passage_text(replace(CHUNK, **change)) == passage


@pytest.mark.parametrize(
    ("change", "cited"),
    [
        ({}, "hr/a.md, Leave > Days"),
        ({"page": 3}, "hr/a.md, page 3"),
        ({"start_s": 65.2, "end_s": 80.0}, "hr/a.md, 1:05-1:20"),
        ({"start_s": 3700.0, "end_s": 3723.5}, "hr/a.md, 1:01:40-1:02:03"),
        ({"heading": ""}, "hr/a.md"),
    ],
)
def test_a_chunk_is_cited_by_the_place_a_reader_can_find(change: dict[str, Any], cited: str) -> None:
    assert citation(replace(CHUNK, **change)) == cited
