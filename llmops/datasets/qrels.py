"""Relevance judgements and queries of retrieval benchmarks, in BEIR's and TREC's formats."""

from collections.abc import Iterator
from pathlib import Path

from llmops.datasets import jsonl
from llmops.errors import DataError

Qrels = dict[str, dict[str, int]]
"""Query id -> document id -> grade; 0 and less is not relevant."""

BEIR_HEADER = ["query-id", "corpus-id", "score"]


def read_qrels(path: Path) -> Qrels:
    """Read judgements: tab-separated under the header query-id, corpus-id, score, or TREC's four columns.

    Raises:
        DataError: the file can't be read or holds none, a line is malformed, or a pair is judged twice, differently.
    """
    qrels: Qrels = {}
    for where, query_id, doc_id, grade in _judgements(path):
        before = qrels.setdefault(query_id, {}).setdefault(doc_id, grade)
        if before != grade:
            raise DataError(f"{where}: {doc_id!r} is judged {before} and {grade} for {query_id!r}. Keep one judgement.")
    if not qrels:
        raise DataError(f"{str(path)!r} holds no judgements.")
    return qrels


def read_queries(path: Path) -> dict[str, str]:
    """Read BEIR's `queries.jsonl`: query id -> text.

    Raises:
        DataError: a line is malformed, an id appears twice, or the file holds no query.
    """
    queries: dict[str, str] = {}
    for where, value in jsonl.read_objects(path):
        query_id = jsonl.text_field(where, value, "_id")
        if query_id in queries:
            raise DataError(f"{where}: id {query_id!r} appears twice. Ids join results: make them unique.")
        queries[query_id] = jsonl.text_field(where, value, "text")
    if not queries:
        raise DataError(f"{str(path)!r} holds no queries.")
    return queries


def _judgements(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """Yield ("file:line", query id, document id, grade)."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(path)!r} can't be read ({error}). Give a UTF-8 file of judgements.") from error
    beir = lines[0].strip().split("\t") == BEIR_HEADER
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (beir and number == 1):
            continue
        where = f"{path.name}:{number}"
        fields = [field.strip() for field in line.split("\t")] if beir else line.split()
        if len(fields) != (3 if beir else 4):
            expected = "3 between tabs" if beir else f"TREC's 4, or the header {' '.join(BEIR_HEADER)} with tabs"
            raise DataError(f"{where}: found {len(fields)} columns in {line.strip()[:80]!r}, expected {expected}.")
        try:
            yield where, fields[0], fields[-2], int(fields[-1])
        except ValueError:
            raise DataError(f"{where}: the score is {fields[-1]!r}, expected a whole number.") from None
