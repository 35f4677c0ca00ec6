"""Marks by which a chat template parts its turns: they would let a question or passage pose as another's turn."""

import re

from llmops.guards.finding import Finding

_TOKENS = re.compile(
    r"(?i)<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|\[/?INST\]|<</?SYS>>"
    r"|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|</?(?:start|end)_of_(?:turn|text|message|sequence)>|</?(?:bos|eos|pad|unk|s)>"
    r"|</?(?:system|assistant|thinking|tool_call|function_call)>"
    r"|^[ \t>]{0,8}#{2,6} ?(?:system|instruction|assistant|user|human|response|input)s?(?: prompt| message)? ?:",
    re.MULTILINE,
)
_TURN = re.compile(
    r"(?im)(?:^|[.!?\]>}\"'-]\s*)"
    r"(?:<\|(?:im_start|start_header_id|start|header_start|message)\|>\s*(?:system|assistant|developer)"
    r"|<\|(?:system|assistant|developer|end_of_turn|endoftext|im_end|eot_id|end)\|>|\[INST\]|<<SYS>>|\[SYSTEM_PROMPT\]"
    r"|<(?:start_of_turn>\s*(?:model|system)|system>|assistant>|thinking>)"
    r"|#{2,6} ?(?:system|instruction|assistant|response)s?(?: prompt| message)? ?:)"
)
_TURN_CHARS = 200  # in which a turn must have two words
_NAMED = re.compile(r"(?im)^[^\n:]{0,40}\((?:assistant|system|model|ai|developer)\) ?:")
_CLOSING = re.compile(
    r"(?i)[<＜]/ ?[\w-]{0,30}(?:untrusted|user|context|document|question|query|passage|instructions?|prompt|system|tool)"
    r"[\w-]{0,30} ?[>＞]"
)
_FRAME = re.compile(
    r"(?im)(?:^[ \t>]*(?:[-=#*<\[~%]{2,20}|\[|<)|(?<=\s)[-=#*~%]{2,20}(?=[^-=#*~%]{4,60}[-=#*~%]{2}))\s*/?"
    r"(?:end|begin|start|new|stop)(?: of)?[ _-](?:the |your |my |all )?"
    r"(?:(?:system|user|new|initial|original|previous|hidden|developer)[ _-]?)?"
    r"(?:prompt|instructions?|rules|input|query|question|message|session|conversation|context|ambiguity|system)"
    r"[ \w]{0,20}[-=#*>\]~%]{1,20}"
)
_BLOCK_END = re.compile(r"(?i)\[/ ?(?:system|sys|assistant|admin|developer|instructions?|prompt)\]")


def find_markers(text: str) -> list[Finding]:
    """Find template marks; what stands instead is the same mark, spaced out, which no tokenizer takes for one."""
    return [
        Finding("special token", "a mark of a chat template", *match.span(), _spaced_out(match[0]), action="redact")
        for match in _TOKENS.finditer(text)
    ]


def parts_prompt(text: str) -> bool:
    """Whether a mark says that the prompt or the user's input begins or ends: "### END OF USER INPUT ###", "[/SYSTEM]"."""
    return bool(_FRAME.search(text) or _BLOCK_END.search(text))


def poses_as_turn(text: str) -> bool:
    """Whether a text opens a turn of the system or the assistant."""
    if _NAMED.search(text):
        return True
    opened = any(
        len(text[match.end() : match.end() + _TURN_CHARS].split()) >= 2
        for form in (_TURN, _CLOSING)
        for match in form.finditer(text)
    )
    return opened and not _asks_about(text)


def _spaced_out(mark: str) -> str:
    mark = mark.strip(" \t>") if mark.endswith(":") else mark
    return f"{mark[0]} {mark[1:-1]} {mark[-1]}"


def _asks_about(text: str) -> bool:
    """Whether the mark stands within one question about it: what does <|im_start|> do?"""
    return "\n" not in text.strip() and text.rstrip().endswith("?") and not _TURN.match(text.lstrip())
