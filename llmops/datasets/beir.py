"""Questions of retrieval benchmarks in BEIR's layout (Thakur et al. 2021): they name documents, and no answers."""

from pathlib import Path

from llmops.datasets.qrels import read_qrels, read_queries
from llmops.errors import DataError
from llmops.types import Question

_QUERIES, _QRELS, _SPLIT = "queries.jsonl", "qrels", "test.tsv"


def find_beir(path: Path) -> tuple[Path, Path] | None:
    """The queries and judgements of a BEIR folder, of its queries.jsonl, or of one of its qrels; None of anything else.

    The judgements are those of the split "test" unless a file of them is named, or there is no other.

    Raises:
        DataError: there are none, or several and none for "test".
    """
    if path.is_dir() and (path / _QUERIES).is_file():
        return path / _QUERIES, _find_split(path / _QRELS)
    if path.name == _QUERIES and (path.parent / _QRELS).is_dir():
        return path, _find_split(path.parent / _QRELS)
    queries = path.parent.parent / _QUERIES
    return (queries, path) if path.parent.name == _QRELS and path.is_file() and queries.is_file() else None


def _find_split(folder: Path) -> Path:
    splits = sorted(folder.glob("*.tsv"))
    if folder / _SPLIT in splits:
        return folder / _SPLIT
    if len(splits) != 1:
        found = ", ".join(split.name for split in splits) or "none"
        raise DataError(f"{str(folder)!r} holds {found}, expected {_SPLIT} or one file. Name the file of judgements to use.")
    return splits[0]


def read_beir(queries: Path, qrels: Path) -> list[Question]:
    """The queries that are judged to have a relevant document, with these documents, best first.

    Raises:
        DataError: a file is malformed, or a judged query is not there.
    """
    texts, questions = read_queries(queries), []
    for query_id, grades in read_qrels(qrels).items():
        relevant = sorted((name for name, grade in grades.items() if grade > 0), key=lambda name: -grades[name])
        if query_id not in texts:
            raise DataError(f"{qrels.name} judges {query_id!r}, which {queries.name} doesn't hold. Give files that match.")
        if relevant:
            questions.append(Question(query_id, texts[query_id], documents=tuple(relevant)))
    return questions
