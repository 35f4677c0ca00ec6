"""Recordings: what is said and when, by a Whisper model."""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

from llmops.documents.parsed import Draft, Parsed
from llmops.errors import DataError

SUFFIXES = (".wav", ".mp3", ".m4a", ".flac", ".ogg")
_MAX_HOURS = 12  # as samples, twelve hours are 2.8 GB


def parse_audio(data: bytes, speech_model: str | None, heard: Callable[[], None]) -> Parsed:
    """Transcribe a recording, a section a phrase. `heard` is called after each: a long recording takes its time.

    `speech_model` is a folder with a Whisper model in CTranslate2's format.

    Raises:
        DataError: faster-whisper is not installed, no model is given, or nothing is said.
    """
    try:
        import faster_whisper  # noqa: F401
    except ImportError as error:
        raise DataError("reading audio needs faster-whisper: pip install 'mlflow-llmops[audio]'.") from error
    if speech_model is None:
        raise DataError("reading audio needs a speech model, and none is given.")
    _check_length(data)
    phrases, info = _load(speech_model).transcribe(BytesIO(data), vad_filter=True)  # without it, silence is "heard"
    draft = Draft()
    for phrase in phrases:
        draft.place(start_s=round(phrase.start, 2), end_s=round(phrase.end, 2))
        draft.add(phrase.text.strip(), end="\n")
        heard()
    parsed = draft.parsed(metadata={"language": info.language, "duration_s": round(info.duration, 2)})
    if not parsed.text:
        raise DataError("no speech is heard in the recording.")
    return parsed


def _check_length(data: bytes) -> None:
    import av

    with av.open(BytesIO(data), mode="r") as container:
        if not container.streams.audio:
            raise DataError("the file holds no sound.")
        hours = (container.duration or 0) / av.time_base / 3600
    if hours > _MAX_HOURS:
        raise DataError(f"the recording is {hours:.0f} hours long, at most {_MAX_HOURS} are read. Cut it into parts.")


@cache
def _load(folder: str) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(folder, device="cpu", compute_type="int8")
