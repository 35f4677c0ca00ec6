"""Which sentences of an answer the shown passages don't support.

A sentence is supported when the passages hold every number and name in it and at least `min_support` of its content words
(lexical containment: Broder 1997, on words cut to six letters). That finds what was made up from nothing; it doesn't find a
sentence that puts the passages' own words together wrongly.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmops.guards.finding import Finding

_STEM = 6  # letters by which forms of a word are taken for one
_WORD = re.compile(r"\d+(?:[.,'\u00a0\u202f]\d+)*|[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+")
_CITED = re.compile(r"\[[\d, ]+\]")  # the mark of a passage: no number of the sentence's own
_LISTED = re.compile(r"^\s*(?:[-*•]\s*)?\d{1,2}[.)]\s")  # "2. ": no number of the sentence's own
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {
    name: str(value) for value, name in enumerate(f"two three four five six seven eight nine {_TEENS}".split(), start=2)
}
_NUMBERS |= {name: str(10 * value) for value, name in enumerate(_TENS.split(), start=2)}
# Words that say nothing of the matter, those included with which a bot speaks of its documents.
_EMPTY = frozenset(
    "a an the and or but nor if then than as at by for from in into of off on onto out over per to up with within "
    "without about after before between during under until i you he she it we they me him her us them my your his its "
    "our their this that these those here there is am are was were be been being do does did done doing have has had "
    "having can could may might must shall should will would not no yes so such very also just only any all both each "
    "either every few more most much many other some same own too again once who whom whose which what when where why "
    "how answer answers question context document documents passage passages text according provided information "
    "mentioned states stated say says said know don doesn isn sorry find found based given one however therefore der "
    "die das den dem des ein eine einen einem einer und oder aber wenn als auf aus bei bis für im mit nach von vor zu "
    "zum zur ist sind war waren wird werden hat haben kann können muss müssen soll sollen darf nicht kein keine auch "
    "nur es er sie wir ihr ich le la les un une du de d l et ou mais si que qui dans en sur pour par avec sans est sont "
    "était il elle nous vous ils ne pas el los las y o pero con sin por para del al son era se lo su sus gli e di da "
    "non che sono è os dos em na um uma não é são het een van op met voor niet zijn wordt je".split()
)
_GERMAN = frozenset("der die das den dem des ein eine und ist sind nicht im mit für zu auf von wird werden bei".split())


@dataclass(frozen=True)
class Evidence:
    """What passages hold: the stems of their words, and their numbers."""

    stems: frozenset[str]
    numbers: frozenset[str]


def evidence_in(passages: Iterable[str]) -> Evidence:
    words = [word for passage in passages for word in _words(passage)]
    return Evidence(
        frozenset(_stem(word) for word in words), frozenset(value for word in words if (value := _number(word)) is not None)
    )


def find_unsupported(sentence: str, evidence: Evidence, min_support: float) -> list[Finding]:
    """The sentence itself as a finding, or nothing: the evidence supports it, or it has no content words."""
    reason = _lacking(_LISTED.sub("", _CITED.sub("", sentence)), evidence, min_support)
    if reason is None:
        return []
    start = len(sentence) - len(sentence.lstrip())
    return [Finding("unsupported", reason, start, len(sentence.rstrip()), "[unsupported statement removed]")]


def _lacking(sentence: str, evidence: Evidence, min_support: float) -> str | None:
    words = _words(sentence)
    numbers = [value for word in words if (value := _number(word)) is not None]
    if any(number not in evidence.numbers for number in numbers):
        return "a number stands in no passage"
    if any(_stem(name) not in evidence.stems for name in _names(sentence)):
        return "a name stands in no passage"
    content = [word for word in words if _number(word) is None and word.casefold() not in _EMPTY and _says_much(word)]
    held = sum(_stem(word) in evidence.stems for word in content)
    if content and held < min_support * len(content):
        return f"passages hold {held} of {len(content)} content words"
    return None


def _says_much(word: str) -> bool:
    return len(word) > 1 or word >= "\u3040"  # the t of "don't" says nothing, a Chinese character does


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text))


def _stem(word: str) -> str:
    return word.casefold()[:_STEM]


def _number(word: str) -> str | None:
    """A number in one way of writing: 1,000 as 1000, 07 as 7, 2.50 as 2.5, thirty as 30."""
    if not word[0].isdigit():
        return _NUMBERS.get(word.casefold())
    parts: Sequence[str] = re.split(r"[.,'\u00a0\u202f]", word)
    if len(parts) > 1 and len(parts[-1]) != 3:
        whole, part = "".join(parts[:-1]), parts[-1].rstrip("0")
        return (whole.lstrip("0") or "0") + (f".{part}" if part else "")
    return "".join(parts).lstrip("0") or "0"


def _names(sentence: str) -> list[str]:
    """Capitalised words that a sentence doesn't begin with; of German none, where every noun has a capital."""
    words = re.findall(r"(?<=[^\W_][ ,])[^\W\d_]{2,}", sentence)
    if any(word in _GERMAN for word in words):
        return []
    return [word for word in words if word[0].isupper() and word.casefold() not in _EMPTY]
