"""How documents are read, split and stemmed, as digests: when they change, what was made the old way is made again."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llmops import digests, documents

_READERS = (
    "markdown-it-py", "beautifulsoup4", "lxml", "charset-normalizer", "PyYAML", "pypdf", "python-docx", "python-pptx",
    "openpyxl", "faster-whisper", "datasketch", "tokenizers",
)  # fmt: skip
_STEMMERS = ("bm25s", "PyStemmer")
_HERE = Path(__file__).parent


def reading_digest(*settings: object) -> str:
    """Digest what decides a document's chunks and passages: our code, the libraries it uses, and `settings`."""
    code = [*Path(documents.__path__[0]).glob("*.py"), _HERE / "tokens.py", _HERE / "passage.py"]
    return _digest(code, _READERS, [repr(setting) for setting in settings])


def words_digest() -> str:
    """Digest what decides the words of a passage."""
    return _digest([_HERE / "lexical.py"], _STEMMERS, [])


def _digest(code: list[Path], libraries: tuple[str, ...], settings: list[str]) -> str:
    files = {path.name: digests.of_file(path) for path in sorted(code)}
    return digests.of_data([files, {name: _version(name) for name in libraries}, settings])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
