"""Orders to an assistant in a text: to drop its instructions, to give its prompt away, to become another one.

An order is a verb that is addressed to the assistant with the words it needs close by, so "How do I ignore a warning?" and
"What does the previous instructions manual say?" are none.
"""

from llmops.guards.grammar import CALLED, SAID, STATED, Order, is_mentioned, kinds_of, union_of, verbs_of
from llmops.guards.lexicon import Sentence
from llmops.guards.reading import read
from llmops.guards.views import views
from llmops.guards.words import kinds as k

_DROPS = "tells the assistant to drop its instructions"
_LIFTS = "tells the assistant to drop its protections"
_SHOWS = "asks for the prompt"
_BECOMES = "gives the assistant another role"
_SEIZES = "gives the assistant orders of its own"
_HIDES = "speaks to the assistant behind the user's back"
_TOLD_TO_DO = k.MUST | k.TELL | k.DROP | k.SHOW
_ACTS = (
    _TOLD_TO_DO
    | k.YOU
    | k.LIFT
    | k.OBEY
    | k.FREE
    | k.LOOSE
    | k.VOID
    | k.YES
    | k.WHEN_READ
    | k.TURN_ON
    | k.PLAY
    | k.NOW_YOU
    | k.GRANT
)

_ANYWHERE = (
    Order(_DROPS, k.DROP, ((k.PROMPT, 6),)),
    Order(_SHOWS, k.SHOW, ((k.PROMPT, 9), (k.OWN, 9))),
    Order(_BECOMES, k.PLAY, ((k.FREE, 4),)),
    Order(_BECOMES, k.PLAY, ((k.FREE | k.LOOSE, 25), (k.AI | k.BOT | k.FIGURE, 25)), far=True),
    Order(_BECOMES, k.YOU_ARE, ((k.FREE | k.LOOSE, 6),), CALLED),
    Order(_BECOMES, k.UNBOUND, (), STATED),
    Order(_SHOWS, k.GIVES, ((k.AI | k.BOT, 10), (k.ITSELF, 5)), STATED),
    Order(_SEIZES, k.HEADER, ((_ACTS, 16),), SAID, lead=2, colon=True),
    Order(_SEIZES, k.ROLE, ((k.GRANT, 10),), SAID, lead=2, colon=True),
    Order(_HIDES, k.READING, ((k.AI, 4), (k.HERE | k.THIS, 4), (k.MUST | k.TELL | k.DROP, 8)), SAID),
)
_IN_QUESTIONS = (
    Order(_DROPS, k.DROP, ((k.ORDERS, 7), (k.PRIOR | k.OWN | k.HIDDEN, 7))),
    Order(_DROPS, k.DROP, ((k.RULES | k.SHIELD, 6), (k.OWN | k.GIVEN, 8))),
    Order(_DROPS, k.DROP, ((k.RULES, 4), (k.PRIOR, 4)), lead=2),
    Order(_DROPS, k.DROP, ((k.LIMIT | k.ORDERS, 2),), lead=2, topic_excuses=True),
    Order(_DROPS, k.DROP | k.LIFT, ((k.THE_ABOVE, 3),)),
    Order(_DROPS, k.DROP, ((k.TEXT | k.PRIOR, 3), (k.LEARNT, 5))),
    Order(_DROPS, k.DROP, ((k.SOURCES, 4), (k.OPINION, 16))),
    Order(_DROPS, k.ORDERS | k.RULES | k.SHIELD, ((k.PRIOR | k.OWN, 5), (k.VOID, 8)), STATED),
    Order(_DROPS, k.APPLY, ((k.ORDERS | k.RULES, 5), (k.OWN, 4), (k.NO_MORE, 8)), STATED),
    Order(_DROPS, k.VOID, ((k.LEARNT | k.ABOVE | k.THE_ABOVE, 10),), STATED),
    Order(_LIFTS, k.SHIELD, ((k.VOID, 4),), STATED),
    Order(_LIFTS, k.LIFT | k.DROP, ((k.SHIELD, 6), (k.OWN | k.PRIOR, 6))),
    Order(_LIFTS, k.LIFT | k.DROP, ((k.SHIELD, 4),), lead=2, topic_excuses=True),
    Order(_LIFTS, k.LIFT, ((k.RULES | k.ORDERS, 5), (k.OWN, 5)), topic_excuses=True),
    Order(_LIFTS, k.ANSWER, ((k.FREE | k.LOOSE, 5),)),
    Order(_LIFTS, k.ANSWER, ((k.FREE | k.LOOSE, 15), (k.AI, 15))),
    Order(_LIFTS, k.YOU, ((k.LOOSE, 10),), STATED),
    Order(_LIFTS, k.REFUSE, ((k.NOT, 4), (k.YOU | k.OWN | k.ANSWER | k.ME, 8)), SAID),
    Order(_SHOWS, k.SHOW, ((k.PROMPT, 6),), topic_excuses=True),
    Order(_SHOWS, k.SHOW, ((k.PROMPT, 12), (k.DATA, 6)), topic_excuses=True),
    Order(_SHOWS, k.REPEAT, ((k.THE_PROMPT, 2),), lead=2, topic_excuses=True),
    Order(_SHOWS, k.SHOW, ((k.ORDERS, 10), (k.OWN, 9)), topic_excuses=True),
    Order(_SHOWS, k.LEAK, ((k.AI, 6), (k.ORDERS | k.PROMPT, 6)), SAID),
    Order(_SHOWS, k.WANT, ((k.PROMPT, 7), (k.OWN, 7)), SAID),
    Order(_SHOWS, k.WANT, ((k.STORE, 6),), SAID),
    Order(_SHOWS, k.SHOW, ((k.RULES, 6), (k.OWN, 6), (k.HIDDEN, 6)), topic_excuses=True),
    Order(_SHOWS, k.SHOW, ((k.MYSELF, 8),), lead=2),
    Order(_SHOWS, k.COMPLETE, ((k.TOLD_ME, 20),), SAID, lead=2),
    Order(_SHOWS, k.BEGIN, ((k.ORDERS | k.RULES | k.PROMPT, 20), (k.OWN, 20))),
    Order(_SHOWS, k.SHOW, ((k.STORE, 9), (k.GOODS | k.HIDDEN, 9))),
    Order(_SHOWS, k.SHOW, ((k.STORE, 3),)),
    Order(_SHOWS, k.REPEAT, ((k.TEXT, 4), (k.ABOVE, 7))),
    Order(_SHOWS, k.REPEAT | k.RENDER, ((k.ORDERS, 4), (k.PRIOR | k.ABOVE, 5)), topic_excuses=True),
    Order(_SHOWS, k.ASK | k.SHOW, ((k.START, 14),), SAID),
    Order(_SHOWS, k.ASK | k.SHOW, ((k.TOLD, 10),), SAID),
    Order(_SHOWS, k.ASK | k.SHOW, ((k.GIVEN, 8), (k.ORDERS | k.RULES, 6)), SAID),
    Order(_SHOWS, k.ASK | k.SHOW, ((k.HAVE, 8), (k.ORDERS | k.PROMPT, 6)), SAID, topic_excuses=True),
    Order(_SHOWS, k.ASK | k.SHOW, ((k.FOLLOW, 10), (k.LIMIT | k.ORDERS, 10)), SAID, topic_excuses=True),
    Order(_SHOWS, k.ASK | k.SHOW, ((k.LIMIT, 5), (k.OWN, 4)), SAID, topic_excuses=True),
    Order(_SHOWS, k.ASK, ((k.ORDERS, 5), (k.OWN, 4)), SAID, topic_excuses=True),
    Order(_SHOWS, k.ASK, ((k.PROMPT, 6), (k.OWN, 6)), SAID),
    Order(_SHOWS, k.BE, ((k.PROMPT, 3), (k.OWN, 3)), SAID, lead=2),
    Order(_BECOMES, k.PLAY, ((k.LOOSE, 10),)),
    Order(_BECOMES, k.NOW_YOU, ((k.INDEFINITE | k.AI | k.BOT | k.FIGURE | k.FREE | k.LOOSE | k.MODE | k.MUST, 5),), STATED),
    Order(_BECOMES, k.FROM_NOW, ((k.YOU, 4),), STATED),
    Order(_BECOMES, k.TURN_ON, ((k.MODE, 5),)),
    Order(_SEIZES, k.NEW_TASK, (), SAID),
    Order(_SEIZES, k.BEGIN, ((k.YES | k.ORDERS | k.PROMPT, 8),)),
    Order(_SEIZES, k.OBEY, ((k.CODED, 14),)),
    Order(_SEIZES, k.ROLE, ((_ACTS, 16),), SAID, lead=2, colon=True),
    Order(_SEIZES, k.MAKER, ((k.SHOW | k.LIFT | k.DROP | k.TURN_ON | k.OBEY, 25),), SAID, far=True),
    Order(_SEIZES, k.SEND, ((k.GOODS, 8), (k.PLACE, 12))),
)
_IN_DOCUMENTS = (  # written to people, whose instructions and roles change: less is an order to the assistant
    Order(_DROPS, k.DROP, ((k.ORDERS, 7), (k.PRIOR | k.OWN | k.HIDDEN, 7)), lead=1, topic_excuses=True),
    Order(_DROPS, k.DROP, ((k.ASKED, 2),), lead=2),
    Order(_BECOMES, k.YOU_ARE, ((k.AI, 4), (k.MUST | k.TELL, 20)), SAID),
    Order(_SEIZES, k.OBEY, ((k.CODED, 14), (k.ORDERS | k.THIS, 4))),
    Order(_SEIZES, k.ADD, ((k.ANSWERS, 8), (k.URL, 20))),
    Order(_HIDES, k.SAYS, ((k.AI | k.BOT, 3),), SAID),
    Order(_HIDES, k.NOTE_TO, ((k.AI | k.BOT, 4), (_TOLD_TO_DO | k.VOID, 14)), CALLED),
    Order(_HIDES, k.AI, ((k.MUST, 2), (k.DROP | k.USER, 6)), SAID),
    Order(_HIDES, k.READING | k.ANSWER, ((k.HERE, 4), (k.TELL, 12), (k.USER | k.AI, 14)), SAID),
    Order(_HIDES, k.CONFIDE, ((k.NOT, 3), (k.USER, 5), (k.HERE | k.THIS, 6)), SAID),
    Order(_HIDES, k.WHEN_READ, ((k.TELL, 14), (k.USER | k.AI | k.PLACE, 20)), SAID),
)
QUESTION, DOCUMENT = (*_ANYWHERE, *_IN_QUESTIONS), (*_ANYWHERE, *_IN_DOCUMENTS)


def find_order(text: str, orders: tuple[Order, ...]) -> str | None:
    """The reason why a text gives the assistant one of the orders, a QUESTION's or a DOCUMENT's; None: it doesn't."""
    for view in views(text):
        reason = _order_in(read(view), orders)
        if reason is not None:
            return reason
    return None


def _order_in(sentences: list[Sentence], orders: tuple[Order, ...]) -> str | None:
    for number, sentence in enumerate(sentences):
        kinds = kinds_of(sentence)
        union = union_of(kinds)
        for order in orders if union else ():
            if union & order.verb:
                reach = (
                    kinds_of([token for near in sentences[number : number + 3] for token in near]) if order.far else kinds
                )
                if any(not is_mentioned(sentences, number, i) for i in verbs_of(order, sentence, reach)):
                    return order.reason
    return None
