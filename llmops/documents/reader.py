"""Files -> documents, read in a process of their own, so that no file can stop or swell this one."""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from llmops.documents import audio
from llmops.documents.child import Child
from llmops.documents.folder import File, Rejected, scan
from llmops.documents.worker import FORMATS
from llmops.errors import DataError, LLMOpsError
from llmops.types import Document, Section, Table

_LARGE = 20_000_000  # bytes; after such a file the process goes, as its memory is in pieces


@dataclass(frozen=True)
class Limits:
    """What one file may need: its size (of CSV and JSON lines: a record's), seconds without a result, and memory."""

    file_mb: int = 100
    seconds: int = 300
    memory_mb: int = 4096


class Reader:
    """Reads files one after the other.

    `speech_model` finds the folder of a Whisper model in CTranslate2's format; it is called when a recording is met.
    """

    def __init__(self, limits: Limits = Limits(), speech_model: Callable[[], Path] | None = None) -> None:
        self.digest_read: str | None = None
        """The sha256 of the bytes of the last file, or None if it is worth another try: it may be read the next time."""
        self._limits = limits
        self._speech_model = speech_model
        self._idle: dict[bool, Child] = {}  # recordings have a process of their own, without a memory limit

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self._idle:
            self._idle.popitem()[1].stop()

    def read(self, file: File) -> Iterator[Document | Rejected]:
        """Yield the documents of a file, as they are asked for; what can't be read is rejected, never an error."""
        self.digest_read = None
        spoken = file.name.lower().endswith(audio.SUFFIXES)
        child: Child | None = None
        done = False
        try:
            request = self._request(file, spoken)
            child = self._idle.pop(spoken, None)
            if child is not None and not child.alive():
                child.stop()
                child = None
            child = child or Child()
            for answer in child.ask(request):
                if "document" in answer:
                    yield _unpacked(answer["document"])
                elif "rejected" in answer:
                    yield Rejected(file.name, answer["rejected"])
                elif "end" in answer:
                    self.digest_read, done = answer["end"], True
        except LLMOpsError as error:
            yield Rejected(file.name, str(error))
        finally:
            if child is not None and done and file.size <= _LARGE and spoken not in self._idle:
                self._idle[spoken] = child
            elif child is not None:
                child.stop()

    def _request(self, file: File, spoken: bool) -> dict[str, Any]:
        model = str(self._speech_model()) if spoken and self._speech_model else None
        request = {"path": os.path.abspath(file.path), "name": file.name, "speech_model": model, **asdict(self._limits)}
        return request | ({"memory_mb": None} if spoken else {})


def _unpacked(fields: dict[str, Any]) -> Document:
    metadata = {name: tuple(value) if isinstance(value, list) else value for name, value in fields["metadata"].items()}
    sections = tuple(Section(**section) for section in fields["sections"])
    tables = tuple(Table(**table) for table in fields["tables"])
    return Document(**fields | {"sections": sections, "tables": tables, "metadata": metadata})


def read_documents(folder: Path, limits: Limits = Limits()) -> tuple[list[Document], list[Rejected]]:
    """Read every file below `folder`, in name order. A bad file is reported, never fatal; hidden files are ignored.

    Raises:
        DataError: `folder` does not exist, or no file in it could be read.
    """
    files, rejected = scan(folder)
    with Reader(limits) as reader:
        found = [document for file in files for document in reader.read(file)]
    documents = [document for document in found if isinstance(document, Document)]
    rejected += [file for file in found if isinstance(file, Rejected)]
    if not documents:
        reasons = "; ".join(f"{file.doc_id}: {file.reason}" for file in rejected[:3]) or "it holds no files"
        raise DataError(f"no readable document in {str(folder)!r} ({reasons}). Formats read: {', '.join(FORMATS)}.")
    return documents, rejected
