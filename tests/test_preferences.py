"""Preferences from training files: the two ways to write them, and what is rejected with its reason."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops.datasets.preferences import read_preferences
from llmops.datasets.rows import Parsed
from llmops.errors import ConfigError, DataError
from llmops.types import Message, Preference

ROW = {"prompt": "How many days?", "chosen": "Thirty.", "rejected": "Many."}
ASKED = {"role": "user", "content": "How many days?"}
SYSTEM = {"role": "system", "content": "Be brief."}
PREFERENCE = Preference((Message("user", "How many days?"),), "Thirty.", "Many.")


def says(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


WHOLE = {"chosen": [ASKED, says("Thirty.")], "rejected": [ASKED, says("Many.")]}


def write(folder: Path, *lines: Any) -> Path:
    """A line for each object, or for each bytes as they are."""
    path = folder / "set.jsonl"
    path.write_bytes(b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines))
    return path


WAYS = {
    "texts": ROW,
    "lists of messages": {"prompt": [ASKED], "chosen": [says("Thirty.")], "rejected": [says("Many.")]},
    "a text and lists": {**ROW, "chosen": [says("Thirty.")]},
    "whole conversations": WHOLE,
    "ShareGPT": {
        "chosen": [{"from": "human", "value": "How many days?"}, {"from": "gpt", "value": "Thirty."}],
        "rejected": WHOLE["rejected"],
    },
    "whole conversations beside their prompt": {"prompt": "How many days?", **WHOLE},
}


@pytest.mark.parametrize("row", WAYS.values(), ids=WAYS)
def test_a_preference_can_be_written_in_many_ways(tmp_path: Path, row: dict[str, Any]) -> None:
    found = read_preferences(write(tmp_path, row))
    name = "preference" if "prompt" in row else "preference-conversations"
    assert found == Parsed((PREFERENCE,), ("set.jsonl:1",), (), name)


def test_what_conversations_share_before_the_last_message_is_the_prompt(tmp_path: Path) -> None:
    before = [SYSTEM, ASKED, says("Thirty."), {"role": "user", "content": "Sure?"}]
    row = {"chosen": [*before, says("Yes.")], "rejected": [*before, says("No.")]}
    found = read_preferences(write(tmp_path, row)).items[0]
    assert [message.role for message in found.prompt] == ["system", "user", "assistant", "user"]
    assert (found.chosen, found.rejected) == ("Yes.", "No.")


@pytest.mark.parametrize("native", [True, False], ids=["native", "JSON"])
def test_parquet_may_hold_lists_natively_or_as_json(tmp_path: Path, native: bool) -> None:
    cells = {name: [value if native else json.dumps(value)] for name, value in WHOLE.items()}
    pd.DataFrame(cells).to_parquet(tmp_path / "set.parquet")
    assert read_preferences(tmp_path / "set.parquet").items == (PREFERENCE,)


def test_columns_are_mapped_to_our_names(tmp_path: Path) -> None:
    path = write(tmp_path, {"ask": "How many days?", "good": "Thirty.", "bad": "Many."})
    assert read_preferences(path, {"prompt": "ask", "chosen": "good", "rejected": "bad"}).items == (PREFERENCE,)


OTHER = {"role": "user", "content": "How many hours?"}
BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "equal": ({**ROW, "rejected": "Thirty.\n"}, "are equal"),
    "empty": ({**ROW, "rejected": " "}, "'rejected' is empty"),
    "empty message": ({**ROW, "chosen": [says("")]}, "the assistant's, is empty"),
    "empty prompt": ({**ROW, "prompt": ""}, "'prompt' is empty"),
    "a number": ({**ROW, "chosen": 7}, "'chosen' is 7"),
    "no prompt": ({**ROW, "prompt": None}, "'prompt' is None"),
    "another prompt before the answer": ({**ROW, "chosen": [OTHER, says("Thirty.")]}, "other messages than 'prompt'"),
    "the user's answer": ({**ROW, "chosen": [ASKED]}, "expected the assistant's"),
    "an answered prompt": ({**ROW, "prompt": [ASKED, says("Thirty.")]}, "don't alternate"),
}  # fmt: skip
BAD_WHOLE: dict[str, tuple[dict[str, Any], str]] = {
    "other prompts": ({**WHOLE, "rejected": [OTHER, says("Many.")]}, "prompts of 'chosen' and 'rejected' differ"),
    "a prompt in one": ({**WHOLE, "rejected": [says("Many.")]}, "prompts of 'chosen' and 'rejected' differ"),
    "answers only": ({"chosen": "Thirty.", "rejected": "Many."}, "no user message"),
    "equal": ({**WHOLE, "rejected": WHOLE["chosen"]}, "are equal"),
    "no messages": ({**WHOLE, "chosen": []}, "'chosen' is empty"),
}  # fmt: skip


@pytest.mark.parametrize(
    "good, row, hint",
    [*((ROW, *bad) for bad in BAD_ROWS.values()), *((WHOLE, *bad) for bad in BAD_WHOLE.values())],
    ids=[*BAD_ROWS, *(f"whole: {name}" for name in BAD_WHOLE)],
)
def test_a_row_that_says_no_preference_is_rejected(
    tmp_path: Path, good: dict[str, Any], row: dict[str, Any], hint: str
) -> None:
    found = read_preferences(write(tmp_path, good, row, good))
    assert (found.items, found.wheres) == ((PREFERENCE,) * 2, ("set.jsonl:1", "set.jsonl:3"))
    assert [rejected.where for rejected in found.rejected] == ["set.jsonl:2"] and hint in found.rejected[0].reason


def test_broken_utf8_in_the_middle_does_not_stop_the_rest(tmp_path: Path) -> None:
    found = read_preferences(write(tmp_path, ROW, b'{"prompt": "\xff"}', ROW))
    assert found.wheres == ("set.jsonl:1", "set.jsonl:3") and "not UTF-8" in found.rejected[0].reason


def test_a_file_without_usable_preferences_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        read_preferences(write(tmp_path))
    with pytest.raises(DataError, match=r"no usable row, 1 were rejected\. set\.jsonl:1: .* are equal"):
        read_preferences(write(tmp_path, {**ROW, "chosen": "Many."}))


def test_other_columns_are_named_and_so_are_the_formats(tmp_path: Path) -> None:
    path = write(tmp_path, {"prompt": "x", "completion": "y"})
    with pytest.raises(DataError, match=r"'prompt', 'completion', expected preference \(prompt, chosen, rejected\) or "):
        read_preferences(path)
    with pytest.raises(DataError, match="no column 'good', only 'prompt', 'completion'"):
        read_preferences(path, {"chosen": "good"})
    with pytest.raises(ConfigError, match="no format has 'completion'"):
        read_preferences(path, {"completion": "completion"})


TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=TEXT, chosen=TEXT, rejected=TEXT)
def test_both_ways_to_write_a_preference_mean_the_same(tmp_path: Path, asked: str, chosen: str, rejected: str) -> None:
    user = {"role": "user", "content": asked}
    apart = write(tmp_path, ROW, {"prompt": asked, "chosen": chosen, "rejected": rejected})
    one = read_preferences(apart).items[1:]
    two = read_preferences(write(tmp_path, WHOLE, {"chosen": [user, says(chosen)], "rejected": [user, says(rejected)]}))
    assert one == two.items[1:] and len(one) == (chosen.strip() != rejected.strip())
