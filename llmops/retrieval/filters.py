"""Which documents a search may return: what the question asks for, and what its caller may see."""

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.datasets import jsonl
from llmops.errors import ConfigError, DataError
from llmops.types import Metadata, MetadataValue

DOC_ID, GROUPS = "doc_id", "groups"
OPERATORS = ("eq", "in", "prefix", "gte", "gt", "lte", "lt")
Mask = npt.NDArray[np.bool_]
Rule = tuple[str, Metadata]
"""A pattern of document ids or of files, and what it says about the documents that match."""

Rules = Sequence[Rule]


@dataclass(frozen=True)
class Condition:
    """What one field must be. `value` is a tuple for "in", else a text, number or truth value."""

    field: str
    operator: str
    value: MetadataValue | tuple[MetadataValue, ...]


@dataclass(frozen=True)
class Filter:
    """Conditions that must all hold; without any, every document matches."""

    conditions: tuple[Condition, ...] = ()


def parse_filter(data: Mapping[str, Any] | str) -> Filter:
    """Read a filter such as {"department": "hr", "year": {"gte": 2020, "lt": 2024}, "topic": ["a", "b"]}, or its JSON text.

    A plain value is "eq", a list is "in".

    Raises:
        ConfigError: the text is no JSON object, or an operator or value makes no sense.
    """
    if isinstance(data, str):
        try:
            data = json.loads(data, object_pairs_hook=_unique_keys)
        except json.JSONDecodeError as error:
            raise ConfigError(f"filter {str(data)[:80]!r} is no valid JSON ({error.msg}, column {error.colno}).") from error
    if not isinstance(data, Mapping):
        raise ConfigError(f'the filter is a {type(data).__name__}, expected an object such as {{"department": "hr"}}.')
    return Filter(tuple(condition for field, value in data.items() for condition in _conditions(str(field), value)))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise ConfigError(f"the filter says {twice[0]!r} twice, and only one would count. Say it once.")
    return dict(pairs)


def _conditions(field: str, value: Any) -> list[Condition]:
    if isinstance(value, Mapping):
        if not value:
            raise ConfigError(f"the filter on {field!r} is empty. Give one of {', '.join(OPERATORS)}.")
        return [_condition(field, str(operator), operand) for operator, operand in value.items()]
    return [_condition(field, "in" if isinstance(value, list | tuple) else "eq", value)]


def _condition(field: str, operator: str, value: Any) -> Condition:
    where = f"the filter on {field!r}"
    if operator not in OPERATORS:
        raise ConfigError(f"{where} has unknown operator {operator!r}.{_hint(operator, OPERATORS)}")
    if operator == "in":
        if not isinstance(value, list | tuple) or not all(isinstance(item, str | int | float) for item in value):
            raise ConfigError(f'{where}: "in" needs a list of texts or numbers, found {value!r}.')
        return Condition(field, operator, tuple(value))
    if operator == "prefix" and not isinstance(value, str):
        raise ConfigError(f'{where}: "prefix" needs a text, found {value!r}.')
    if not isinstance(value, str | int | float) or (operator != "eq" and isinstance(value, bool)):
        raise ConfigError(f"{where}: {operator!r} needs a text or a number, found {value!r}.")
    return Condition(field, operator, value)


def _hint(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known[:20]) or 'none'}."


class DocumentTable:
    """Documents in order with their metadata, to be filtered. What a field needs is made when it is first asked for."""

    def __init__(self, doc_ids: Sequence[str], metadata: Sequence[Metadata]) -> None:
        if len(doc_ids) != len(metadata):
            raise ValueError(f"{len(doc_ids)} documents with metadata of {len(metadata)}")
        self._doc_ids, self._metadata = doc_ids, metadata
        self._columns: dict[str, _Column] = {}

    def mask(self, wanted: Filter | None, groups: Sequence[str] | None) -> Mask:
        """Which documents match the filter and may be seen by a caller in `groups`: bool, shape (n_documents,).

        `groups` of None is a trusted caller, who sees everything. Others see documents without the field `groups` and
        those that name one of theirs; groups that are empty or malformed hide a document from them.

        Raises:
            ConfigError: the filter names a field that no document has.
        """
        found = np.ones(len(self._doc_ids), dtype=np.bool_) if groups is None else self._visible(groups)
        for condition in wanted.conditions if wanted else ():
            found &= self._column(condition.field).mask(condition)
        return found

    def _column(self, field: str) -> "_Column":
        if field not in self._columns:
            if field not in self._fields:
                raise ConfigError(f"no document has the field {field!r} that the filter names.{_hint(field, self._fields)}")
            values = self._doc_ids if field == DOC_ID else [fields.get(field) for fields in self._metadata]
            self._columns[field] = _Column(values)
        return self._columns[field]

    @cached_property
    def _fields(self) -> set[str]:
        return {DOC_ID}.union(*self._metadata)

    @cached_property
    def _access(self) -> tuple[Mask, "_Column"]:
        """Documents without groups, and the groups of the others."""
        open_to_all = np.array([GROUPS not in fields for fields in self._metadata], dtype=np.bool_)
        return open_to_all, _Column([_group_names(fields.get(GROUPS)) for fields in self._metadata])

    def _visible(self, groups: Sequence[str]) -> Mask:
        open_to_all, restricted = self._access
        names = _group_names((groups,) if isinstance(groups, str) else tuple(groups))
        return open_to_all | restricted.mask(Condition(GROUPS, "in", names))


def _group_names(value: Any) -> tuple[str, ...]:
    """The groups a value names; none if it is malformed."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.strip() for name in names):
        return ()
    return tuple(names)


class _Column:
    """One field of all documents: for texts, numbers and truth values, the distinct ones in order and who has which.

    Every condition is then a range of codes. A list counts as each of its texts.
    """

    def __init__(self, values: Iterable[Any]) -> None:
        rows: dict[type, list[int]] = {str: [], float: [], bool: []}
        found: dict[type, list[Any]] = {str: [], float: [], bool: []}
        n_rows = 0
        for row, value in enumerate(values):
            n_rows = row + 1
            for item in value if isinstance(value, list | tuple) else (value,):
                kind = _kind(item)
                if kind is not None:
                    rows[kind].append(row)
                    found[kind].append(item)
        self._n_rows = n_rows
        self._rows = {kind: np.array(of_kind, dtype=np.int64) for kind, of_kind in rows.items()}
        self._values = {kind: sorted(set(of_kind)) for kind, of_kind in found.items()}
        self._codes = {kind: _codes(self._values[kind], of_kind) for kind, of_kind in found.items()}

    def mask(self, condition: Condition) -> Mask:
        found = np.zeros(self._n_rows, dtype=np.bool_)
        operands = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        for operand in operands:
            kind = _kind(operand)
            if kind is not None:
                low, high = _code_range(self._values[kind], condition.operator, operand)
                codes = self._codes[kind]
                found[self._rows[kind][(codes >= low) & (codes < high)]] = True
        return found


def _kind(value: Any) -> type | None:
    """What a value can be compared with; not-a-number compares with nothing."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float if value == value else None
    return str if isinstance(value, str) else None


def _codes(values: list[Any], found: list[Any]) -> npt.NDArray[np.int32]:
    code = {value: number for number, value in enumerate(values)}
    return np.fromiter((code[value] for value in found), dtype=np.int32, count=len(found))


def _code_range(values: list[Any], operator: str, operand: Any) -> tuple[int, int]:
    """The half-open range of the sorted `values` for which the condition holds."""
    if operator == "prefix":
        length = len(operand)
        low = bisect_left(values, operand)
        return low, bisect_right(values, operand, lo=low, key=lambda value: value[:length])
    low, high = bisect_left(values, operand), bisect_right(values, operand)
    ranges = {"gte": (low, len(values)), "gt": (high, len(values)), "lte": (0, high), "lt": (0, low)}
    return ranges.get(operator, (low, high))


def read_metadata(path: Path) -> list[Rule]:
    """Read JSON lines such as {"document": "hr/*.md", "department": "hr", "groups": ["hr", "board"]}.

    Raises:
        DataError: a line is malformed.
    """
    return [_rule(where, value) for where, value in jsonl.read_objects(path)]


def _rule(where: str, value: dict[str, Any]) -> Rule:
    pattern = jsonl.text_field(where, value, "document")
    fields: dict[str, MetadataValue] = {}
    for name, item in value.items():
        if name == DOC_ID:
            raise DataError(f"{where}: {DOC_ID!r} is the document's own. Give the field another name.")
        if isinstance(item, list) and all(isinstance(part, str) for part in item):
            item = tuple(item)
        elif _kind(item) is None:
            raise DataError(f"{where}: {name!r} is {item!r}, expected a text, a number, true, false or a list of texts.")
        if name != GROUPS and name.strip().casefold() == GROUPS:
            raise DataError(f"{where}: the field {name!r} restricts nothing. Write 'groups' in lower case.")
        if name == GROUPS and item != () and not _group_names(item):
            raise DataError(f"{where}: {GROUPS!r} is {item!r}, expected a group or a list of groups.")
        if name != "document":
            fields[name] = item
    return pattern, fields


def metadata_for(doc_id: str, own: Metadata, rules: Rules, origin: str = "") -> Metadata:
    """A document's metadata: later rules replace what earlier ones say of a field, and all replace its own.

    A pattern is the document's id or the file that holds it (`origin`), or has wildcards as in fnmatch, whose * also
    stands for slashes.
    """
    fields = dict(own)
    for pattern, said in rules:
        if _matches(pattern, doc_id, origin):
            fields.update(said)
    return fields


def unused_rules(documents: Iterable[tuple[str, str]], rules: Rules) -> list[Rule]:
    """Rules that match none of the documents, each its id and origin.

    Most often a typo: where such a rule says `groups`, documents it means are open to everyone.
    """
    unused = list(rules)
    for doc_id, origin in documents:
        if not unused:
            break
        unused = [rule for rule in unused if not _matches(rule[0], doc_id, origin)]
    return unused


def _matches(pattern: str, doc_id: str, origin: str) -> bool:
    return pattern in (doc_id, origin) or fnmatchcase(doc_id, pattern) or fnmatchcase(origin, pattern)
