"""Metadata filters and access control."""

import json
import operator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.errors import ConfigError, DataError
from llmops.retrieval.filters import DocumentTable, Filter, metadata_for, parse_filter, read_metadata, unused_rules
from llmops.types import Metadata

DOCUMENTS: dict[str, dict[str, Any]] = {
    "hr/leave.md": {"department": "hr", "year": 2023, "topic": ("leave", "pay"), "draft": False, "valid": "2024-05-01"},
    "hr/joining.md": {"department": "hr", "year": 2020, "topic": ("probation",), "draft": True},
    "it/laptops.md": {"department": "it", "year": 2021.5, "topic": "hardware"},
    "it/phones.md": {"department": "it", "year": "2022"},
    "note.txt": {},
}
COMPARE = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt, "eq": operator.eq}
VALUES = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, float("nan"), True, False]), st.text("ab", max_size=3))
FIELDS = st.fixed_dictionaries({}, optional={"x": st.one_of(VALUES, st.lists(st.text("ab", max_size=3)).map(tuple))})


def matching(data: Any, documents: dict[str, dict[str, Any]] = DOCUMENTS, groups: list[str] | None = None) -> list[str]:
    mask = DocumentTable(list(documents), list(documents.values())).mask(parse_filter(data), groups)
    return [doc_id for doc_id, found in zip(documents, mask, strict=True) if found]


def visible(metadata: Metadata, groups: list[str] | None) -> bool:
    return bool(DocumentTable(["d"], [metadata]).mask(None, groups)[0])


def kind(value: Any) -> type:
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float


def holds(found: Any, op: str, wanted: Any) -> bool:
    """What a condition means, one value at a time."""
    if isinstance(found, tuple):
        return any(holds(item, op, wanted) for item in found)
    if op == "in":
        return any(holds(found, "eq", item) for item in wanted)
    if kind(found) is not kind(wanted):
        return False
    return found.startswith(wanted) if op == "prefix" else bool(COMPARE[op](found, wanted))


def rules(folder: Path, *lines: Any) -> Any:
    path = folder / "metadata.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return read_metadata(path)


@pytest.mark.parametrize(("data", "expected"), [
    ({}, list(DOCUMENTS)),
    ({"department": "hr"}, ["hr/leave.md", "hr/joining.md"]),
    ({"department": "hr", "year": 2020}, ["hr/joining.md"]),
    ({"doc_id": {"prefix": "it/"}}, ["it/laptops.md", "it/phones.md"]),
    ({"doc_id": "note.txt"}, ["note.txt"]),
    ({"year": {"gte": 2020, "lt": 2022}}, ["hr/joining.md", "it/laptops.md"]),
    ({"year": {"gt": 2020}}, ["hr/leave.md", "it/laptops.md"]),
    ({"year": {"lte": "2022"}}, ["it/phones.md"]),
    ({"valid": {"gte": "2024-01-01"}}, ["hr/leave.md"]),
    ({"topic": "pay"}, ["hr/leave.md"]),
    ({"topic": ["pay", "hardware"]}, ["hr/leave.md", "it/laptops.md"]),
    ({"topic": {"prefix": "prob"}}, ["hr/joining.md"]),
    ({"topic": []}, []),
    ({"draft": True}, ["hr/joining.md"]),
    ({"draft": 1}, []),
    ({"department": 7}, []),
    ('{"department": {"in": ["it"]}, "year": {"gt": 0}}', ["it/laptops.md"]),
])  # fmt: skip
def test_documents_match_when_all_conditions_hold(data: Any, expected: list[str]) -> None:
    assert matching(data) == expected


@given(documents=st.lists(FIELDS, min_size=1, max_size=6), op=st.sampled_from([*COMPARE, "prefix", "in"]), data=st.data())
def test_a_condition_means_the_same_for_a_table_as_for_each_document(
    documents: list[dict[str, Any]], op: str, data: st.DataObject
) -> None:
    documents = [*documents, {"x": "last"}]
    ordered = VALUES.filter(lambda value: not isinstance(value, bool))
    operands = {"prefix": st.text("ab", max_size=2), "in": st.lists(VALUES, max_size=3), "eq": VALUES}
    wanted = data.draw(operands.get(op, ordered))
    found = DocumentTable([str(n) for n in range(len(documents))], documents).mask(parse_filter({"x": {op: wanted}}), None)
    assert found.tolist() == ["x" in fields and holds(fields["x"], op, wanted) for fields in documents]


@pytest.mark.parametrize(("data", "message"), [
    ('{"a": ', "no valid JSON"),
    ("[1]", "found|list"),
    ('{"year": {"lt": 1}, "year": {"lt": 9}}', "'year' twice"),
    ({"year": {"gtee": 1}}, "'gtee'.*Did you mean 'gte'"),
    ({"year": {}}, "'year' is empty"),
    ({"year": None}, "found None"),
    ({"year": {"gt": True}}, "found True"),
    ({"year": {"prefix": 20}}, '"prefix" needs a text'),
    ({"year": {"in": "2020"}}, '"in" needs a list'),
    ({"year": [None]}, '"in" needs a list'),
    ({"year": {"eq": [1]}}, "found \\[1\\]"),
])  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_filter(data)


def test_a_misspelt_field_is_refused_and_not_just_empty() -> None:
    with pytest.raises(ConfigError, match="'departmnt'.*Did you mean 'department'"):
        matching({"departmnt": "hr"})


@pytest.mark.parametrize(("metadata", "seen_by_hr", "seen_by_nobody"), [
    ({}, True, True),
    ({"groups": "hr"}, True, False),
    ({"groups": ("board", "hr")}, True, False),
    ({"groups": ["hr"]}, True, False),
    ({"groups": "board"}, False, False),
    ({"groups": "hr, board"}, False, False),
    ({"groups": "HR"}, False, False),
    ({"groups": ()}, False, False),
    ({"groups": ""}, False, False),
    ({"groups": None}, False, False),
    ({"groups": 7}, False, False),
    ({"groups": True}, False, False),
    ({"groups": ("hr", 7)}, False, False),
    ({"groups": {"hr": True}}, False, False),
])  # fmt: skip
def test_groups_decide_who_sees_a_document(metadata: Any, seen_by_hr: bool, seen_by_nobody: bool) -> None:
    assert visible(metadata, ["hr", "staff"]) == seen_by_hr
    assert visible(metadata, []) == seen_by_nobody
    assert visible(metadata, None)


def test_a_group_name_is_not_taken_apart_and_a_blank_one_opens_nothing() -> None:
    assert not visible({"groups": ("h", "r")}, "hr")  # type: ignore[arg-type]
    assert not visible({"groups": ("", " ")}, ["", " "])


GROUPS = st.one_of(st.none(), st.sampled_from(["a", "b", ""]), st.lists(st.sampled_from(["a", "b", "c"])).map(tuple))
SHARED = st.fixed_dictionaries({"x": st.sampled_from("pq")}, optional={"groups": GROUPS})
ASKED = st.sampled_from([{"groups": "a"}, {"x": "p"}, {"doc_id": {"gte": ""}}, {}])


@given(documents=st.lists(SHARED, min_size=1, max_size=8), caller=st.lists(st.sampled_from(["a", "b", "d"])), asked=ASKED)
def test_a_filter_never_shows_what_groups_hide(documents: list[Any], caller: list[str], asked: Any) -> None:
    table = DocumentTable([str(n) for n in range(len(documents))], [*documents[:-1], {**documents[-1], "groups": "z"}])
    wanted = parse_filter(asked)
    assert (table.mask(wanted, caller) == (table.mask(wanted, None) & table.mask(Filter(), caller))).all()
    assert not table.mask(wanted, caller)[-1]


def test_later_rules_replace_earlier_ones_and_the_documents_own_metadata(tmp_path: Path) -> None:
    found = rules(
        tmp_path,
        {"document": "hr/*", "department": "hr", "groups": ["hr", "board"], "pages": 3},
        "",
        {"document": "hr/pay/*.md", "groups": "board", "topic": ["pay"]},
    )
    own: Metadata = {"groups": ("everyone",), "author": "Ann", "department": "?"}
    assert metadata_for("hr/pay/scale.md", own, found) == {
        "author": "Ann", "department": "hr", "pages": 3, "groups": "board", "topic": ("pay",),
    }  # fmt: skip
    assert metadata_for("hr/leave.md", {}, found)["groups"] == ("hr", "board")
    assert metadata_for("it/leave.md", own, found) == own


def test_a_pattern_is_also_the_plain_name_of_a_document(tmp_path: Path) -> None:
    found = rules(tmp_path, {"document": "scan[1].pdf", "year": 2020})
    assert metadata_for("scan[1].pdf", {}, found) == {"year": 2020}
    assert metadata_for("SCAN[1].pdf", {}, found) == {}


def test_a_pattern_is_also_one_of_files_for_the_records_in_them(tmp_path: Path) -> None:
    found = rules(tmp_path, {"document": "hr/*", "groups": ["hr"]}, {"document": "hr/people.csv", "year": 2024})
    assert metadata_for("4983", {}, found, "hr/people.csv") == {"groups": ("hr",), "year": 2024}
    assert metadata_for("4983", {}, found, "it/people.csv") == metadata_for("4983", {}, found) == {}
    assert metadata_for("hr/4983", {}, found, "it/people.csv") == {"groups": ("hr",)}


def test_rules_that_match_neither_a_document_nor_its_file_are_found(tmp_path: Path) -> None:
    found = rules(tmp_path, {"document": "hr/*"}, {"document": "rh/*", "groups": "hr"}, {"document": "rh/*", "year": 1},
                  {"document": "4983", "year": 2})  # fmt: skip
    documents = [("4983", "hr/people.csv"), ("note.txt", "note.txt")]
    assert unused_rules(documents, found) == [("rh/*", {"groups": "hr"}), ("rh/*", {"year": 1})]
    assert unused_rules([], found) == found
    assert unused_rules(iter(documents), found[:1]) == []


@pytest.mark.parametrize(("line", "message"), [
    ("{", "metadata.jsonl:2: no valid JSON"),
    ({"pattern": "hr/*"}, "metadata.jsonl:2: 'document' is None"),
    ({"document": "hr/*", "doc_id": "x"}, "metadata.jsonl:2: 'doc_id'"),
    ({"document": "hr/*", "year": None}, "metadata.jsonl:2: 'year' is None"),
    ({"document": "hr/*", "years": [2020]}, "metadata.jsonl:2: 'years'"),
    ({"document": "hr/*", "groups": 7}, "metadata.jsonl:2: 'groups' is 7"),
    ({"document": "hr/*", "groups": ""}, "metadata.jsonl:2: 'groups' is ''"),
    ({"document": "hr/*", "Groups": ["hr"]}, "metadata.jsonl:2: the field 'Groups'.*Write 'groups' in lower case"),
])  # fmt: skip
def test_a_bad_rule_is_refused_with_its_line(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rules(tmp_path, {"document": "*", "groups": []}, line)
