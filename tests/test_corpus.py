"""Plain text for continued pretraining: files, folders and rows, and what is rejected with its reason."""

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import HANDBOOK

from llmops.datasets.corpus import read_texts
from llmops.datasets.rows import Parsed
from llmops.datasets.tables import RejectedRow
from llmops.errors import ConfigError, DataError


def test_a_text_file_is_one_text(tmp_path: Path) -> None:
    (tmp_path / "leave.md").write_bytes("\ufeff# Leave\r\n\r\nThirty días.\r\n".encode())
    assert read_texts(tmp_path / "leave.md") == Parsed(("# Leave\n\nThirty días.\n",), ("leave.md",), (), "files")


def test_a_folder_is_read_with_its_folders_in_name_order(tmp_path: Path) -> None:
    (tmp_path / "hr").mkdir()
    for name in ("b.txt", "hr/leave.md", "a.TXT", ".hidden.txt"):
        (tmp_path / name).write_text(f"This is {name}.")
    found = read_texts(tmp_path)
    assert found.wheres == ("a.TXT", "b.txt", "hr/leave.md")
    assert found.items == tuple(f"This is {where}." for where in found.wheres)


def test_files_of_a_folder_that_cannot_be_read_do_not_stop_the_rest(tmp_path: Path) -> None:
    files = {"a.txt": b"Thirty days.", "b.txt": b"caf\xe9", "c.txt": b" \n", "d.pdf": b"%PDF", "e.txt": b"Five."}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = read_texts(tmp_path)
    assert found.items == ("Thirty days.", "Five.")
    assert found.rejected == (
        RejectedRow("b.txt", "not UTF-8 (byte 3). Save it as UTF-8."),
        RejectedRow("c.txt", "empty, expected text."),
        RejectedRow("d.pdf", "neither .txt nor .md, so not read. Convert it to text, or remove it."),
    )


def test_the_text_files_of_the_handbook_are_read_and_its_others_are_told() -> None:
    found = read_texts(HANDBOOK / "documents")
    assert {Path(where).suffix for where in found.wheres} == {".md", ".txt"}
    assert {Path(rejected.where).suffix for rejected in found.rejected} == {".html", ".pdf"}


def test_rows_have_a_text(tmp_path: Path) -> None:
    rows = ['{"text": "One."}', '{"text": ""}', '{"text": "\\ud83d"}', '{"title": "x"}', '{"text": "Two.\\n"}']
    (tmp_path / "set.jsonl").write_bytes("\n".join(rows).encode() + b'\n{"text": "\xff"}\n')
    found = read_texts(tmp_path / "set.jsonl")
    assert (found.items, found.wheres) == (("One.", "Two.\n"), ("set.jsonl:1", "set.jsonl:5"))
    hints = ["'text' is empty", "half a character", "'text' is None", "not UTF-8"]
    assert [rejected.where for rejected in found.rejected] == [f"set.jsonl:{line}" for line in (2, 3, 4, 6)]
    assert all(hint in rejected.reason for hint, rejected in zip(hints, found.rejected, strict=True))


@pytest.mark.parametrize("name", ["set.csv", "set.parquet"])
def test_the_column_of_the_text_may_be_named(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"body": ["One.", "Two."], "text": ["no", "no"]})
    if name.endswith("csv"):
        frame.to_csv(tmp_path / name, index=False)
    else:
        frame.to_parquet(tmp_path / name)
    assert read_texts(tmp_path / name, {"text": "body"}).items == ("One.", "Two.")


@pytest.mark.parametrize("name, data", [("set.txt", b""), ("set.md", b"\xff"), ("set.jsonl", b'{"text": " "}')])
def test_a_file_without_a_usable_text_is_refused_with_the_reason(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"no usable row, 1 were rejected. {name}"):
        read_texts(tmp_path / name)


def test_an_empty_folder_or_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "set.jsonl").touch()
    for path in (tmp_path / "empty", tmp_path / "set.jsonl"):
        with pytest.raises(DataError, match="holds no rows"):
            read_texts(path)


@pytest.mark.parametrize("name", ["missing", "missing.txt", "missing.jsonl"])
def test_a_missing_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_texts(tmp_path / name)


def test_other_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text(json.dumps({"content": "x"}))
    with pytest.raises(DataError, match=r"has the columns 'content', expected text \(text\)"):
        read_texts(tmp_path / "set.jsonl")
    with pytest.raises(DataError, match="no column 'body', only 'content'"):
        read_texts(tmp_path / "set.jsonl", {"text": "body"})


def test_columns_mean_nothing_for_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match="text without columns"):
        read_texts(tmp_path, {"text": "body"})
