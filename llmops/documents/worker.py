"""The child process that reads files: a hostile one can at worst kill it, or be killed with it.

    python -m llmops.documents.worker

Reads a request a line, answers with a line for each document, then one with the digest of the bytes it read. All JSON.
"""

import hashlib
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmops.documents import audio, office, records
from llmops.documents.folder import Rejected, open_regular, why
from llmops.documents.html import parse_html
from llmops.documents.parsed import Parsed, one_line
from llmops.documents.pdf import parse_pdf
from llmops.documents.text import SAMPLE, clean, parse_markdown, parse_text
from llmops.errors import DataError
from llmops.types import Document

OUT_OF_MEMORY = 77  # the exit status
PARSERS: dict[str, Callable[[bytes], Parsed]] = {
    ".md": parse_markdown, ".markdown": parse_markdown, ".txt": parse_text, ".html": parse_html, ".htm": parse_html,
    ".pdf": parse_pdf, ".docx": office.parse_docx, ".pptx": office.parse_pptx, ".xlsx": office.parse_xlsx,
}  # fmt: skip
STREAMS: dict[str, Callable[[io.BufferedReader, str, int], Iterator[Document | Rejected | Parsed]]] = {
    ".csv": records.read_csv, ".tsv": records.read_csv, ".jsonl": records.read_jsonl, ".jsonl.gz": records.read_jsonl,
}  # fmt: skip
_PASSING = (OSError, ImportError)  # errors that may be gone next time, though the file is the same
FORMATS = (*PARSERS, *STREAMS, *audio.SUFFIXES)


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what parsers print goes where their warnings go
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_memory(request["memory_mb"])

        def answer(fields: dict[str, Any], seconds: int = request["seconds"]) -> None:
            signal.alarm(0)
            answers.write(json.dumps(fields, ensure_ascii=False).encode(errors="replace") + b"\n")
            answers.flush()
            signal.alarm(seconds + 5)  # in case the parent that would end us is gone

        answer({"begun": True})
        try:
            answer({"end": _read(request, answer)})
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        signal.alarm(0)


def _limit_memory(megabytes: int | None) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = hard if megabytes is None else megabytes * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _read(request: dict[str, Any], answer: Callable[[dict[str, Any]], None]) -> str | None:
    """Answer with what is in a file; returns the digest of its bytes unless it may be read otherwise another time."""
    try:
        with open_regular(request["path"]) as file:
            bytes_read = _Hashed(file)
            try:
                for found in _documents(bytes_read, request, lambda: answer({"alive": True})):
                    answer({"rejected": found.reason} if isinstance(found, Rejected) else {"document": _packed(found)})
            except DataError as error:
                answer({"rejected": str(error)})
                if _may_pass(error, request):
                    return None
            return bytes_read.digest()
    except OSError as error:
        answer({"rejected": why(error)})
    return None


def _may_pass(error: DataError, request: dict[str, Any]) -> bool:
    """Whether it is not the file's fault: the disk failed, or a package or the speech model is missing or damaged."""
    spoken = request["name"].lower().endswith(audio.SUFFIXES)
    of_model = spoken and (request["speech_model"] is None or type(error.__cause__) is RuntimeError)
    return of_model or isinstance(error.__cause__, _PASSING)


def _documents(file: "_Hashed", request: dict[str, Any], alive: Callable[[], None]) -> Iterator[Document | Rejected]:
    name, max_bytes = request["name"], request["file_mb"] * 1_000_000
    suffix = next((known for known in FORMATS if name.lower().endswith(known)), None)
    if suffix is None:
        raise DataError(f"format {Path(name).suffix or '(none)'!r} is not read. Formats read: {', '.join(FORMATS)}.")
    data = b"" if suffix in STREAMS else _whole(file, max_bytes)
    try:
        if suffix in STREAMS:
            results = STREAMS[suffix](io.BufferedReader(file, SAMPLE), name, max_bytes)
        elif suffix in audio.SUFFIXES:
            results = iter([audio.parse_audio(data, request["speech_model"], alive)])
        else:
            results = iter([PARSERS[suffix](data)])
        for result in results:
            yield _document(result, name, file.digest()) if isinstance(result, Parsed) else result
    except (DataError, MemoryError):
        raise
    except RecursionError as error:
        raise DataError("it is nested too deeply to be read. Export it again.") from error
    except Exception as error:  # parsers meet damaged files with almost any
        said = one_line(f"{type(error).__name__}: {error}").removesuffix(":")
        raise DataError(f"it can't be read as {suffix} ({said:.150}). Export it again.") from error


def _whole(file: "_Hashed", max_bytes: int) -> bytes:
    size = file.size()
    data = b"" if size > max_bytes else file.read(max_bytes + 1)
    if max(size, len(data)) > max_bytes:
        raise DataError(f"{max(size, len(data)) / 1e6:,.0f} MB are above the limit of {max_bytes / 1e6:,.0f} MB. Split it.")
    return data


def _document(parsed: Parsed, name: str, digest: str) -> Document:
    if not parsed.text.strip():
        raise DataError("the document holds no text. Remove it, or give a version with text.")
    title = one_line(clean(parsed.title))[:300] or Path(name).stem
    sections = [replace(section, heading=clean(section.heading)) for section in parsed.sections]
    return Document(
        name, title, clean(parsed.text), tuple(sections), digest, name, tuple(parsed.tables), parsed.metadata
    )  # fmt: skip


def _packed(document: Document) -> dict[str, Any]:
    places = {"sections": [vars(each) for each in document.sections], "tables": [vars(each) for each in document.tables]}
    return vars(document) | places


class _Hashed(io.RawIOBase):
    """A file that digests what is read of it."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto(buffer) or 0
        self._sha256.update(memoryview(buffer)[:size])
        return size

    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def digest(self) -> str:
        """The sha256 of the file, whose rest is read now."""
        while self.read(SAMPLE):
            pass
        return self._sha256.hexdigest()


if __name__ == "__main__":
    main()
