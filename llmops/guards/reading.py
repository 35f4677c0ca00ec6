"""A view of a text -> sentences of words with what each can do in an order: phrases found, gaps in words closed."""

import re
from collections.abc import Iterator
from functools import lru_cache

from llmops.guards.arabic import arabic_words, is_arabic
from llmops.guards.lexicon import (
    ASIAN_LETTERS,
    LONGEST_KEPT,
    PHRASES,
    Sentence,
    Token,
    asian_word,
    is_asian,
    kinds_in,
    word,
    words_within,
)
from llmops.guards.views import View
from llmops.guards.words import kinds as k

_TOKEN = re.compile(
    f"[{ASIAN_LETTERS}]+(?: [\uac00-\ud7af]+)*|[\u0900-\u0963\u0966-\u097f]+"  # Korean has gaps, inside its phrases too
    f"|[^\\W_{ASIAN_LETTERS}]+"
    "|\\n\\s*(?:\\n|[-*•]\\s|\\d+[.)]\\s)|\\n|(?<=\\s)[-–](?=\\s)|–|[.!?…]+(?=[\"”»')\\]]*(?:\\s|$))|[。！？]"
    "|[:;,—\"“”«»„()\\[\\]{}；：，、「」『』`]|(?<![^\\W_])['‘](?=[^\\W_])|(?<=[^\\W_.!?])['’](?![^\\W_])"
)
_ENDS = frozenset(".!?…。！？")
_FEWEST_KNOWN = 2  # words of an order, without which a decoded text is not looked at further
_WORDS_OF_ONE = k.DROP | k.LIFT | k.NO  # phrases that count as one word, so that what they act on is close
_GLUED_FROM, _GLUED_TO, _GLUED_SHARE = 15, 200, 0.7  # letters of a word that may be several; share that must be known
_SHORTEST_JOINED = 6  # letters of a word that a gap may have been put into


def read(view: View) -> list[Sentence]:
    """The sentences of a view, each with the mark that ends it as its last token. A phrase's kinds are on its first word."""
    texts = _TOKEN.findall(view.text)
    tokens = [token for text in texts for token in (_kept if len(text) <= LONGEST_KEPT else _tokens)(text, view.exact)]
    if view.exact and sum(token.kinds != 0 for token in tokens) < _FEWEST_KNOWN:
        return []
    sentences: list[Sentence] = [[]]
    for token in _with_phrases(tokens if view.exact else list(_joined(tokens))):
        sentences[-1].append(token)
        if token.text[0] in _ENDS or token.text[0] == "\n" != token.text:
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def _tokens(text: str, exact: bool) -> tuple[Token, ...]:
    if is_asian(text):
        return tuple(_asian_tokens(text))
    if is_arabic(text):
        return arabic_words(text)
    if _GLUED_FROM <= len(text) <= _GLUED_TO and text.isascii() and not exact and not kinds_in(text):
        return _parts(text)
    return (word(text, exact),)


_kept = lru_cache(maxsize=65_536)(_tokens)


def _asian_tokens(run: str) -> Iterator[Token]:
    end = 0
    for start, stop in words_within(run):
        if start > end:
            yield Token(run[end:start])
        yield asian_word(run[start:stop])
        end = stop
    if end < len(run):
        yield Token(run[end:])


@lru_cache(maxsize=2048)
def _parts(text: str) -> tuple[Token, ...]:
    """The words that a long word is made of, or the word itself where they cover too little of it."""
    places = list(words_within(text))
    if sum(end - start for start, end in places) < _GLUED_SHARE * len(text):
        return (word(text, True),)
    return tuple(word(text[start:end], True) for start, end in places)


def _joined(tokens: list[Token]) -> Iterator[Token]:
    """Put together words that a gap was put into: "ig nore"."""
    i = 0
    while i < len(tokens):
        token = tokens[i]
        if not token.kinds and i + 1 < len(tokens) and not tokens[i + 1].kinds:
            both = word(token.text + tokens[i + 1].text, True)
            if both.kinds and len(both.text) >= _SHORTEST_JOINED:
                token, i = both, i + 1
        yield token
        i += 1


def _with_phrases(tokens: list[Token]) -> Iterator[Token]:
    texts = [token.text for token in tokens]
    i = 0
    while i < len(tokens):
        kinds, length = tokens[i].kinds, 1
        for phrase, kind in PHRASES.get((texts[i], texts[i + 1] if i + 1 < len(texts) else ""), ()):
            if len(phrase) == 2 or tuple(texts[i : i + len(phrase)]) == phrase:
                kinds |= kind
                length = max(length, len(phrase)) if kind & _WORDS_OF_ONE else length
        plain = length == 1 and kinds == tokens[i].kinds
        yield tokens[i] if plain else Token(" ".join(texts[i : i + length]), kinds)
        i += length
