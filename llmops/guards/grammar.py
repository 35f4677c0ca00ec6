"""How the words of an order stand to each other: who is addressed, what the verb acts on, what excuses it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_

from llmops.guards.lexicon import Sentence, Token, is_asian
from llmops.guards.words import kinds as k

ORDERED, SAID, STATED, CALLED = "ordered", "said", "stated", "called"
_MOST_BACK = 8  # words before a verb in which its subject is looked for
_QUOTED = 40  # words of a quotation, and of what is said of it before and after
_BOUNDARIES = frozenset(":;,—–-\"“”«»„()[]{}；：，、「」『』`'‘’\n.!?。！？…")
_OPENING, _CLOSING = frozenset("\"“«„「『`'‘"), frozenset("\"”»“」』`'’")
_AND = frozenset("and then und dann et puis y luego e poi en dan и затем i 然后 并 ve و ف ثم और फिर".split())
_BREAKS = _BOUNDARIES | _AND
_TO_ME = frozenset("me us mir uns moi nous mi mim noi mij ons мне нам mnie 我 bana bize لي मुझे हमें".split())
_PEOPLE = frozenset(  # after "AI" or "assistant": then the assistant isn't meant
    "user users tool tools policy act team engineer engineers project projects manager managers director professor"
    " researcher strategy training course vendor vendors software".split()
)


@dataclass(frozen=True)
class Order:
    """What makes an order: a verb, by its kinds, and kinds of words that stand within so many words of it.

    `mood`: ORDERED, the assistant shall do what the verb says; STATED, it is no question; CALLED, the words follow it; SAID,
    any way. `lead`: as many words at most stand before the verb in its clause. `colon`: one follows it, as in a heading.
    `far`: the words may stand in the next two sentences. `topic_excuses`: it is none if instructions are meant that are
    about something, such as those for a printer.
    """

    reason: str
    verb: int
    needs: tuple[tuple[int, int], ...] = ()
    mood: str = ORDERED
    lead: int = _MOST_BACK
    colon: bool = False
    far: bool = False
    topic_excuses: bool = False


def union_of(kinds: Iterable[int]) -> int:
    return reduce(or_, kinds, 0)


def _stands_last(token: Token) -> bool:
    """Whether a verb follows what it acts on in a word's language."""
    return bool(token.kinds & k.FINAL) or is_asian(token.text)


def kinds_of(sentence: Sentence) -> list[int]:
    """Each word's kinds, with those that its neighbours give or take."""
    kinds = [token.kinds for token in sentence]
    for i, kind in enumerate(kinds):
        if not kind:
            continue
        if kind & k.EITHER:
            kinds[i] = _told_apart(sentence, kinds, i)
        if kind & k.INNER and union_of(kinds[max(0, i - 1) : i + 2]) & k.ORDERS:
            kinds[i] |= k.PROMPT
        if kind & k.OWN and kind & k.FINAL and i + 1 < len(kinds) and not kinds[i + 1]:
            kinds[i] &= ~k.OWN  # an unknown noun's, as in अपने प्रिंटर के निर्देश
        if kind & (k.NO | k.DROP):
            back = 3 if kind & k.DROP or _stands_last(sentence[i]) else 0
            ruled = union_of(kinds[max(0, i - back) : i] + kinds[i + 1 : i + 4])
            kinds[i] |= k.LOOSE if ruled & (k.RULES | k.SHIELD | k.ORDERS) else 0
        if kind & k.OWN and union_of(kinds[i + 1 : i + 4]) & k.STUFF:
            kinds[i] |= k.STORE
        if kind & (k.AI | k.BOT) and i + 1 < len(sentence) and sentence[i + 1].text in _PEOPLE:
            kinds[i] &= ~(k.AI | k.BOT)
    return kinds


def _told_apart(sentence: Sentence, kinds: list[int], i: int) -> int:
    """The kinds of a word that may belong to a noun before it: with none, a thing is yours; with one, a verb is a noun."""
    verb, j = kinds[i] & (k.DROP | k.LIFT), i - 1
    while not verb and j >= 0 and kinds[j] & (k.PRIOR | k.HIDDEN) and not kinds[j] & k.APART:
        j -= 1
    alone = j < 0 or sentence[j].text in _BREAKS or bool(kinds[j] & (k.APART | k.YOU | k.MUST | k.OWN))
    if verb:
        return kinds[i] if alone else kinds[i] & ~verb
    return kinds[i] | k.OWN if alone or kinds[j] & (k.DROP | k.SHOW | k.ABOVE | k.FORM) else kinds[i]


def verbs_of(order: Order, sentence: Sentence, kinds: list[int]) -> Iterator[int]:
    """The places of verbs that make the order; `kinds` are the sentence's, and of the next ones where it reaches far."""
    union = union_of(kinds)
    if not all(union & need for need, _ in order.needs):
        return
    for i in range(len(sentence)):
        if kinds[i] & order.verb and _has_needs(order, sentence, kinds, i):
            if not _is_excused(order, sentence, kinds, i):
                yield i


def _is_excused(order: Order, sentence: Sentence, kinds: list[int], i: int) -> bool:
    return (
        (order.mood == ORDERED and not _is_addressed(sentence, kinds, i))
        or (order.mood == STATED and _is_question(sentence, kinds, i))
        or (not is_asian(sentence[i].text) and _lead(order, sentence, kinds, i) > order.lead)
        or (order.colon and not _is_header(sentence, i))
        or (bool(order.verb & (k.DROP | k.REFUSE)) and bool(union_of(_what(sentence, kinds, i)) & k.MINE))
        or (order.topic_excuses and _has_topic(sentence, kinds, i))
    )


def _has_needs(order: Order, sentence: Sentence, kinds: list[int], i: int) -> bool:
    """Whether the words needed are near; what someone is ordered to do stands all before the verb or all after it, except
    where verbs stand last."""
    before = [bool(union_of(kinds[max(0, i - reach) : i]) & need) for need, reach in order.needs]
    after = [bool(union_of(kinds[i + 1 : i + reach + 1]) & need) for need, reach in order.needs]
    if order.mood == ORDERED and not sentence[i].kinds & k.FINAL:
        return all(before) or all(after)
    return all(after if order.mood == CALLED and not _stands_last(sentence[i]) else map(or_, before, after))


def _what(sentence: Sentence, kinds: list[int], i: int) -> list[int]:
    """The kinds of the words that a verb acts on, first of all."""
    return kinds[max(0, i - 3) : i] if sentence[i].kinds & k.FINAL else kinds[i + 1 : i + 4]


def _lead(order: Order, sentence: Sentence, kinds: list[int], i: int) -> int:
    """How many words of the clause, or after an "and", stand before the verb, or before what it acts on if that is first."""
    start = _clause_start(sentence, i)
    if sentence[i].kinds & k.FINAL:
        needed = union_of(need for need, _ in order.needs)
        i = next((j for j in range(start, i) if kinds[j] & needed), i)
    return i - next((j + 1 for j in range(i - 1, start - 1, -1) if sentence[j].text in _AND), start)


def _clause_start(sentence: Sentence, i: int) -> int:
    """Where the verb's clause begins, or as far back as matters."""
    farthest = max(0, i - _MOST_BACK)
    return next((j + 1 for j in range(i - 1, farthest - 1, -1) if sentence[j].text in _BOUNDARIES), farthest)


def _is_header(sentence: Sentence, i: int) -> bool:
    return (i == 0 or sentence[i - 1].text[0] in "\n[(-") and any(token.text in ":：" for token in sentence[i + 1 : i + 5])


def _is_question(sentence: Sentence, kinds: list[int], i: int) -> bool:
    """Whether the sentence asks: by its first word, or, where verbs stand last, by the clause at its end."""
    if sentence[-1].text[0] not in "?？":
        return False
    last_clause = _stands_last(sentence[i]) and not any(token.text in _BOUNDARIES for token in sentence[i + 1 : -1])
    return last_clause or bool(kinds[0] & (k.ASK | k.HOW | k.BE | k.MAY | k.IF))


def _is_addressed(sentence: Sentence, kinds: list[int], i: int) -> bool:
    """Whether it is the assistant that shall do what the verb says: no one else is its subject, and it isn't negated.

    The nearest word before the verb decides: "you" for it; "I" or "who", and questions such as "how to" and "may staff",
    against it. After "and" an order may begin, so from there only "I" counts, in a question.
    """
    start, passed_and = _clause_start(sentence, i), False
    if i > start and kinds[i - 1] & (k.NOT | k.ARTICLE):
        return False
    for j in range(i - 1, start - 1, -1):
        if kinds[j] & (k.YOU | k.AI | k.BOT):
            return True
        if kinds[j] & k.ME:
            return passed_and and sentence[-1].text[0] not in "?？"
        passed_and = passed_and or sentence[j].text in _AND
        if not passed_and and kinds[j] & (k.HOW | k.BE | k.MAY):
            told = _tells_assistant(kinds, start, j, i)
            if told is not None:
                return told
    return True


def _tells_assistant(kinds: list[int], start: int, j: int, i: int) -> bool | None:
    """What a question word or auxiliary at `j` says of the verb at `i`; None: nothing, as "is" in "this is urgent"."""
    if kinds[j] & k.HOW and (j <= start + 1 or j >= i - 2):
        return False
    if kinds[j] & k.BE and (j == start or kinds[j - 1] & (k.ASK | k.HOW)):
        return False
    if kinds[j] & k.MAY:
        return bool(union_of(kinds[start:j]) & (k.YOU | k.AI | k.ORDERS | k.HERE))
    return None


def _has_topic(sentence: Sentence, kinds: list[int], i: int) -> bool:
    """Whether the instructions are about something, or an example of some: "show me the instructions for the printer"."""
    meant = k.ORDERS | k.PROMPT | k.RULES
    what = next((j for j in range(i + 1, min(len(kinds), i + 10)) if kinds[j] & meant), None)
    if what is None:
        return False
    if any(kinds[j] & k.EXAMPLE and not kinds[j] & k.OWN for j in range(i + 1, what)):
        return True
    while what + 1 < len(kinds) and kinds[what + 1] & (meant | k.TEXT | k.HAVE | k.BE | k.YOU):
        what += 1
    return _is_topic(sentence[what + 1 : what + 4], kinds[what + 1 : what + 4])


def _is_topic(words: Sentence, kinds: list[int]) -> bool:
    """Whether words go on with what instructions are about, not with whom they are for or in which form they are wanted."""
    own = k.YOU | k.AI | k.BOT | k.OWN | k.ABOVE | k.FORM | k.CODED
    return bool(kinds and kinds[0] & k.ABOUT) and not union_of(kinds[1:]) & own and not any(w.text in _TO_ME for w in words)


def is_mentioned(sentences: list[Sentence], number: int, i: int) -> bool:
    """Whether the words are quoted by someone who asks about them: what does "..." mean?"""
    near = sentences[max(0, number - 1) : number + 2]
    at = i + (len(sentences[number - 1]) if number else 0)
    around = [token for sentence in near for token in sentence]
    opening = next((j for j in range(at - 1, max(-1, at - _QUOTED), -1) if around[j].text in _OPENING), None)
    closing = next((j for j in range(at + 1, min(len(around), at + _QUOTED)) if around[j].text in _CLOSING), None)
    if opening is None or closing is None:
        return False
    before, after = around[max(0, opening - _QUOTED) : opening], around[closing + 1 : closing + _QUOTED]
    outside = union_of(token.kinds for token in (*before, *after))
    return bool(outside & k.ATTACK) and not outside & (k.OBEY | k.DROP | k.COMPLETE)
