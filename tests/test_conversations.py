"""Conversations from training files: the formats, the kinds of file, and what is rejected with its reason."""

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import HANDBOOK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops.chains.citations import without_marks
from llmops.chains.prompt import read_prompt
from llmops.datasets.conversations import read_conversations
from llmops.datasets.examples import read_examples
from llmops.datasets.rows import Parsed, parse_columns
from llmops.errors import ConfigError, DataError, LLMOpsError
from llmops.types import Conversation, Message

ASKED, ANSWERED = Message("user", "How many days?"), Message("assistant", "Thirty.")
TURNS = [{"role": "user", "content": "How many days?"}, {"role": "assistant", "content": "Thirty."}]
SHAREGPT = [{"from": "human", "value": "How many days?"}, {"from": "gpt", "value": "Thirty."}]


def render(question: str, context: Sequence[str], answer: str) -> tuple[Message, Message]:
    return Message("user", "\n".join([*context, question])), Message("assistant", answer)


def read(path: Path, columns: str = "") -> Parsed[Conversation]:
    return read_conversations(path, render, parse_columns(columns))


def write(folder: Path, *lines: Any, name: str = "set.jsonl") -> Path:
    """A line for each object, or for each text or bytes as they are."""
    encoded = [line if isinstance(line, str | bytes) else json.dumps(line) for line in lines]
    data = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in encoded)
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def write_csv(folder: Path, *rows: Sequence[Any]) -> Path:
    path = folder / "set.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def refusal(path: Path, columns: str = "", kind: type[LLMOpsError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        read(path, columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def reason(folder: Path, row: dict[str, Any]) -> str:
    """Why a row is rejected that stands between two good ones."""
    good = {"messages": TURNS} if "messages" in row else dict.fromkeys(row, "x") | {"context": []}
    found = read(write(folder, good, row, good))
    assert found.wheres == ("set.jsonl:1", "set.jsonl:3")
    assert [rejected.where for rejected in found.rejected] == ["set.jsonl:2"]
    return found.rejected[0].reason


# Formats

FORMATS = {
    "chat": {"messages": TURNS},
    "sharegpt": {"conversations": SHAREGPT},
    "alpaca": {"instruction": "How many days?", "output": "Thirty."},
    "prompt-completion": {"prompt": "How many days?", "completion": "Thirty."},
    "examples": {"question": "How many days?", "context": [], "answer": "Thirty."},
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_told_by_its_columns(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path, {**FORMATS[name], "id": 7}))
    assert found == Parsed((Conversation((ASKED, ANSWERED)),), ("set.jsonl:1",), (), name)


@pytest.mark.parametrize("messages", [TURNS, SHAREGPT], ids=["chat", "ShareGPT"])
def test_a_conversation_may_begin_with_a_system_message_and_go_on_for_many_turns(
    tmp_path: Path, messages: list[Any]
) -> None:
    role, content = messages[0].keys()
    turns = [{role: "system", content: "Be brief."}, *messages, *messages]
    conversation = read(write(tmp_path, {"messages": turns})).items[0]
    assert conversation.messages == (Message("system", "Be brief."), ASKED, ANSWERED, ASKED, ANSWERED)


@pytest.mark.parametrize(
    "given, user", [("Days: 30", "Shorten.\n\nDays: 30"), ("", "Shorten."), (" \n", "Shorten."), (None, "Shorten.")]
)
def test_the_input_of_alpaca_stands_below_the_instruction_if_there_is_one(tmp_path: Path, given: Any, user: str) -> None:
    found = read(write(tmp_path, {"instruction": "Shorten.", "input": given, "output": "30"}))
    assert found.items[0].messages[0].content == user


def test_prompt_and_completion_may_be_lists_of_messages(tmp_path: Path) -> None:
    found = read(
        write(tmp_path, {"prompt": TURNS[:1], "completion": TURNS[1:]}, {"prompt": TURNS[:1], "completion": "Thirty."})
    )
    assert found.items == (Conversation((ASKED, ANSWERED)),) * 2


def test_our_own_examples_are_rendered_as_the_prompt_renders_them(tmp_path: Path) -> None:
    prompt, path = read_prompt(HANDBOOK / "prompt.txt"), HANDBOOK / "examples.jsonl"
    found = read_conversations(path, prompt.worked)
    examples = read_examples(path)
    assert (found.format, found.rejected, len(found.items)) == ("examples", (), len(examples))
    for conversation, example in zip(found.items, examples, strict=True):
        asked, answer = conversation.messages
        assert asked == prompt.message(example.question, example.context)
        assert without_marks(answer.content) == example.answer
    assert sum("[" in conversation.messages[1].content for conversation in found.items) > len(examples) / 2  # they cite


def test_text_is_learnt_as_it_is_written(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"prompt": "Indent.", "completion": "    return 1\n"}))
    assert found.items[0].messages[1].content == "    return 1\n"


def test_the_first_row_that_fits_a_format_decides_for_the_file(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"made by": "us"}, FORMATS["alpaca"], FORMATS["chat"]))
    assert (found.format, found.wheres) == ("alpaca", ("set.jsonl:2",))
    assert "'made by', which fit no format" in found.rejected[0].reason
    assert "'instruction' is None" in found.rejected[1].reason


# Columns


def test_columns_are_mapped_to_our_names(tmp_path: Path) -> None:
    path = write(tmp_path, {"ask": "How many days?", "reply": "Thirty.", "prompt": "not this", "messages": []})
    found = read(path, "prompt=ask,completion=reply")
    assert (found.format, found.items) == ("prompt-completion", (Conversation((ASKED, ANSWERED)),))


def test_a_column_that_the_file_lacks_is_told_with_those_it_has(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, {"ask": "x", "reply": "y"}), "prompt=question,completion=reply")
    assert "no column 'question', only 'ask', 'reply'" in said


def test_a_mapped_column_may_be_missing_in_the_first_row(tmp_path: Path) -> None:
    first = {"instruction": "Shorten.", "output": "30"}
    found = read(write(tmp_path, first, {**first, "given": "Days: 30"}), "input=given")
    assert [conversation.messages[0].content for conversation in found.items] == ["Shorten.", "Shorten.\n\nDays: 30"]


def test_columns_that_fit_no_format_are_named_and_so_are_the_formats(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, {"prompt": "x", "chosen": "y"}))
    assert "has the columns 'prompt', 'chosen'" in said
    assert "chat (messages) or sharegpt (conversations) or alpaca (instruction, output)" in said


def test_a_name_that_no_format_has_is_refused(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, FORMATS["alpaca"]), "promt=instruction", ConfigError)
    assert "no format has 'promt'" in said


def test_columns_are_pairs_between_commas() -> None:
    assert parse_columns(" prompt = ask , completion=the reply,") == {"prompt": "ask", "completion": "the reply"}
    assert parse_columns("") == {}


@pytest.mark.parametrize(
    "text, hint", [("prompt", "found 'prompt'"), ("=a", "found '=a'"), ("a=", "'a='"), ("a=b,a=c", "twice")]
)
def test_malformed_columns_are_refused(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        parse_columns(text)


# Rejected rows

SYSTEM = {"role": "system", "content": "Be brief."}
BAD_MESSAGES: dict[str, tuple[Any, str]] = {
    "nothing": (None, "'messages' is None, expected a list"),
    "no list": ({"role": "user"}, "expected a list"),
    "no messages": ([], "'messages' is empty"),
    "text as message": (["Hello"], "message 1 is 'Hello'"),
    "empty answer": ([TURNS[0], {"role": "assistant", "content": ""}], "message 2, the assistant's, is empty"),
    "blank answer": ([TURNS[0], {"role": "assistant", "content": " \n"}], "message 2, the assistant's, is empty"),
    "blank question": ([{"role": "user", "content": " "}, TURNS[1]], "message 1, the user's, is empty"),
    "user last": ([*TURNS, TURNS[0]], "the last message is the user's"),
    "unknown role": ([*TURNS, {"role": "tool", "content": "x"}], "message 3 has the unknown role 'tool'"),
    "no role": ([{"content": "x"}], "unknown role None"),
    "content in parts": ([{"role": "user", "content": [{"text": "x"}]}, TURNS[1]], "content of message 1 is [{"),
    "half a character": ([TURNS[0], {"role": "assistant", "content": "\ud83d"}], "half a character"),
    "no user": ([SYSTEM, TURNS[1]], "no user message"),
    "system only": ([SYSTEM], "no user message"),
    "system later": ([*TURNS, SYSTEM], "system message is not the first"),
    "two systems": ([SYSTEM, SYSTEM, *TURNS], "system message is not the first"),
    "assistant first": ([TURNS[1], *TURNS], "don't alternate"),
    "user twice": ([TURNS[0], *TURNS], "don't alternate"),
}  # fmt: skip


@pytest.mark.parametrize("messages, hint", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_messages_that_cannot_be_learnt_from_are_rejected(tmp_path: Path, messages: Any, hint: str) -> None:
    assert hint in reason(tmp_path, {"messages": messages})


BAD_ROWS = {
    "blank output": ({"instruction": "x", "output": " "}, "'output' is empty"),
    "input of numbers": ({"instruction": "x", "input": 7, "output": "y"}, "'input' is 7"),
    "no prompt": ({"prompt": None, "completion": "y"}, "'prompt' is None"),
    "blank completion": ({"prompt": "x", "completion": "\n"}, "'completion' is empty"),
    "empty list as prompt": ({"prompt": [], "completion": "y"}, "'prompt' is empty"),
    "context of numbers": ({"question": "x", "context": [7], "answer": "y"}, "a passage of 'context' is 7"),
    "context as text": ({"question": "x", "context": "Leave", "answer": "y"}, "'context' is 'Leave', expected a list"),
    "no answer": ({"question": "x", "context": [], "answer": ""}, "'answer' is empty"),
}


@pytest.mark.parametrize("row, hint", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_row_without_question_or_answer_is_rejected(tmp_path: Path, row: dict[str, Any], hint: str) -> None:
    assert hint in reason(tmp_path, row)


BAD_LINES = {
    "broken UTF-8": (b'{"messages": "\xff\xfe"}', "not UTF-8"),
    "broken JSON": ('{"messages": [', "no valid JSON"),
    "a list": ("[1, 2]", "found a list"),
    "too deep": ('{"messages": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    "a huge number": ('{"messages": ' + "9" * 5_000 + "}", "too many digits"),
}  # fmt: skip


@pytest.mark.parametrize("line, hint", BAD_LINES.values(), ids=BAD_LINES)
@pytest.mark.parametrize("name", ["set.jsonl", "set.json", "set.jsonl.gz"])
def test_a_line_that_cannot_be_read_does_not_stop_the_rest(tmp_path: Path, line: Any, hint: str, name: str) -> None:
    good = FORMATS["chat"]
    found = read(write(tmp_path, good, "", line, good, name=name))
    assert found.wheres == (f"{name}:1", f"{name}:4")
    assert [rejected.where for rejected in found.rejected] == [f"{name}:3"]
    assert hint in found.rejected[0].reason


def test_a_file_of_only_rejected_rows_is_refused_with_the_first_three_reasons(tmp_path: Path) -> None:
    bad = {"prompt": "x", "completion": ""}
    said = refusal(write(tmp_path, "{", bad, b"\xff", bad))
    assert "no usable row, 4 were rejected" in said
    assert all(f"set.jsonl:{number}: " in said for number in (1, 2, 3)) and "set.jsonl:4" not in said


@pytest.mark.parametrize("name", ["set.jsonl", "set.json", "set.csv", "set.jsonl.gz"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    assert "holds no rows" in refusal(write(tmp_path, name=name))


# Kinds of file


def test_a_json_file_may_be_one_list(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text("\ufeff " + json.dumps([FORMATS["alpaca"], 7, FORMATS["alpaca"]], indent=2))
    found = read(tmp_path / "set.json")
    assert found.wheres == ("set.json:row 1", "set.json:row 3")
    assert [(rejected.where, rejected.reason[:11]) for rejected in found.rejected] == [("set.json:row 2", "found a int")]


def test_a_broken_json_list_is_refused(tmp_path: Path) -> None:
    assert "no list in JSON" in refusal(write(tmp_path, "[{", name="set.json"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_cells_may_hold_line_breaks_and_lists_as_json(tmp_path: Path, delimiter: str) -> None:
    with (tmp_path / "set.csv").open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file, delimiter=delimiter)
        rows.writerows(
            [["question", "context", "answer"], ["Days?", json.dumps(["a\nb", "c"]), "x\ny"], ["When?", "", "May"]]
        )
    found = read(tmp_path / "set.csv")
    assert [conversation.messages[0].content for conversation in found.items] == ["a\nb\nc\nDays?", "When?"]
    assert found.wheres == ("set.csv:2", "set.csv:4")


def test_csv_cells_may_hold_messages_as_json(tmp_path: Path) -> None:
    one = read(write_csv(tmp_path, ["messages"], [json.dumps(TURNS)]))
    two = read(write_csv(tmp_path, ["prompt", "completion"], [json.dumps(TURNS[:1]), "Thirty."]))
    assert one.items == two.items == (Conversation((ASKED, ANSWERED)),)


@pytest.mark.parametrize("text", ["[INST] x", "[1, 2]", "[]", '[{"a": 1}]', "[" * 100_000])
def test_a_prompt_that_only_looks_like_a_list_is_text(tmp_path: Path, text: str) -> None:
    found = read(write_csv(tmp_path, ["prompt", "completion"], [text, "x"]))
    assert found.items[0].messages[0] == Message("user", text)


BAD_CSV = {
    "too few cells": (b"one\n", "found 1 cells, expected 2"),
    "too many cells": (b"one,two,three\n", "found 3 cells, expected 2"),
    "broken UTF-8": (b"caf\xe9,two\n", "not UTF-8"),
    "a stray quote": (b'"one" more,two\n', "no valid CSV"),
}


@pytest.mark.parametrize("line, hint", BAD_CSV.values(), ids=BAD_CSV)
def test_a_csv_row_that_cannot_be_read_does_not_stop_the_rest(tmp_path: Path, line: bytes, hint: str) -> None:
    (tmp_path / "set.csv").write_bytes(b"prompt,completion\na,b\n\n" + line + b"c,d\n")
    found = read(tmp_path / "set.csv")
    assert found.wheres == ("set.csv:2", "set.csv:5")
    assert [rejected.where for rejected in found.rejected] == ["set.csv:4"] and hint in found.rejected[0].reason


def test_a_csv_quote_that_is_never_closed_tells_the_lines_it_swallowed(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text('prompt,completion\na,b\n"c,d\ne,f\ng,h\n')
    found = read(tmp_path / "set.csv")
    assert found.wheres == ("set.csv:2",)
    assert found.rejected[0].reason.startswith("lines 3 to 5: no valid CSV")


def test_a_csv_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    assert "'prompt' stands twice" in refusal(write_csv(tmp_path, ["prompt", "prompt", "completion"], ["a", "b", "c"]))


def test_a_csv_header_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_bytes("Frage;Größe\na;b\n".encode("latin-1"))
    assert "the header is not UTF-8" in refusal(tmp_path / "set.csv")


def test_a_csv_cell_may_be_long(tmp_path: Path) -> None:
    found = read(write_csv(tmp_path, ["prompt", "completion"], ["a", "x" * 1_000_000]))
    assert len(found.items[0].messages[1].content) == 1_000_000


def test_parquet_lists_may_be_native_or_json(tmp_path: Path) -> None:
    for name, cells in {"native": [TURNS], "json": [json.dumps(TURNS)]}.items():
        pd.DataFrame({"messages": cells}).to_parquet(tmp_path / f"{name}.parquet")
        found = read(tmp_path / f"{name}.parquet")
        assert (found.items, found.wheres) == ((Conversation((ASKED, ANSWERED)),), (f"{name}.parquet:row 1",))


def test_a_parquet_file_of_many_batches_keeps_its_row_numbers(tmp_path: Path) -> None:
    rows = [{"prompt": "x", "completion": "" if number == 700 else str(number)} for number in range(1, 1001)]
    pd.DataFrame(rows).to_parquet(tmp_path / "set.parquet", row_group_size=300)
    found = read(tmp_path / "set.parquet")
    assert [rejected.where for rejected in found.rejected] == ["set.parquet:row 700"]
    answers = [conversation.messages[1].content for conversation in found.items]
    assert [f"set.parquet:row {answer}" for answer in answers] == list(found.wheres)


def test_a_parquet_row_that_is_not_utf8_does_not_stop_the_rest(tmp_path: Path) -> None:
    column = pa.array([b"a", b"caf\xe9", b"c"]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": column, "completion": ["x", "y", "z"]}), tmp_path / "set.parquet")
    found = read(tmp_path / "set.parquet")
    assert found.wheres == ("set.parquet:row 1", "set.parquet:row 3")
    assert found.rejected[0].where == "set.parquet:row 2" and "not UTF-8" in found.rejected[0].reason


@pytest.mark.parametrize(
    "name, data, hint",
    [
        ("set.parquet", b"no Parquet", "no Parquet file"),
        ("set.parquet", b"", "no Parquet file"),
        ("set.jsonl.gz", b"no gzip", "can't be read"),
        ("set.jsonl.gz", gzip.compress(b'{"prompt": "x", "completion": "y"}\n' * 9, mtime=0)[:-9], "can't be read"),
        ("set.xlsx", b"", "unknown kind of file"),
        ("set", b"", "unknown kind of file"),
    ],
)
def test_a_file_that_is_damaged_or_of_an_unknown_kind_is_refused(tmp_path: Path, name: str, data: bytes, hint: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert hint in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["set.jsonl", "set.csv", "set.parquet"])
def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    assert "is no file" in refusal(tmp_path / name)
    (tmp_path / name).mkdir()
    assert "is no file" in refusal(tmp_path / name)


def rows_as_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.with_suffix(".jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path.with_suffix(".jsonl")


def rows_as_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    pd.DataFrame(rows).to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def rows_as_parquet(path: Path, rows: list[dict[str, str]]) -> Path:
    pd.DataFrame(rows).to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(str.strip)


@pytest.mark.parametrize("save", [rows_as_jsonl, rows_as_csv, rows_as_parquet])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}), min_size=1, max_size=5))
def test_whatever_is_written_is_read_back_from_every_kind_of_file(
    tmp_path: Path, save: Callable[[Path, list[dict[str, str]]], Path], rows: list[dict[str, str]]
) -> None:
    found = read(save(tmp_path / "set", rows))
    expected = [(Message("user", row["prompt"]), Message("assistant", row["completion"])) for row in rows]
    assert [conversation.messages for conversation in found.items] == expected
    assert found.rejected == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), name=st.sampled_from(["set.jsonl", "set.json", "set.csv", "set.parquet", "set.csv.gz"]))
def test_no_bytes_raise_anything_but_a_mistake_in_words(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    refusal(tmp_path / name)
