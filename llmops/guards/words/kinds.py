"""What a word can do in an order to an assistant. Kinds are bits: a word may have several."""

(
    DROP,  # ignore, forget: what is done to instructions
    LIFT,  # disable, bypass: what is done to protections
    SHOW,  # reveal, print, translate: what gives a text away
    WANT,  # need, seeing: a wish for what can be shown
    LEAK,  # reveals, recites: what an assistant in a story may do to its prompt
    REPEAT,  # repeat, output: to give a text away word for word
    RENDER,  # translate, summarise
    ORDERS,  # instructions, prompt, directives
    RULES,  # rules, guidelines, restrictions: harmless unless they are the assistant's own
    LIMIT,  # rules, restrictions: of the kind an assistant may be asked for
    SHIELD,  # guardrails, safety filters
    PROMPT,  # system prompt, developer message
    PRIOR,  # previous, all, these
    OWN,  # your
    HIDDEN,  # hidden, initial, internal
    TEXT,  # words, message, everything
    ABOVE,  # above, before this
    THE_ABOVE,  # everything above, what you were told
    LEARNT,  # you know, i said
    TOLD,  # were you told, you were programmed
    GIVEN,  # were you given
    HAVE,  # do you have
    FOLLOW,  # do you follow, you must obey
    START,  # beginning of this conversation
    STORE,  # configuration, training data
    STUFF,  # configuration, parameters: with OWN before it, a STORE
    FORM,  # French, a code block: how a text may be shown
    IF,
    ASK,  # what, which: asks for a thing
    HOW,  # how, why: asks about a thing
    MAY,  # can, should: its subject acts
    BE,  # is, does: begins a question
    ME,  # I, we, who, employees: whoever acts is not the assistant
    MINE,  # my: what the user said may be dropped
    YOU,
    NOT,
    ARTICLE,  # the, my: what follows is no verb
    EXAMPLE,  # an example of, how to
    NO,  # without, no
    FREE,  # unrestricted, jailbroken
    UNBOUND,  # do anything now, DAN mode: no other reading
    PLAY,  # act as, pretend
    YOU_ARE,
    INDEFINITE,  # a, my: before a role
    NOW_YOU,  # you are now
    FROM_NOW,  # from now on
    NEW_TASK,  # your new instructions
    MODE,  # developer mode
    TURN_ON,
    ANSWER,  # answer, respond
    AI,  # chatbot, language model
    FIGURE,  # character, entity: what an assistant may be told to become
    BOT,  # assistant, model, agent: a person or thing as well
    GRANT,  # has authorised
    VOID,  # no longer apply
    REFUSE,  # decline, apologise, break character
    OBEY,  # follow, carry out
    CODED,  # decode, base64
    MAKER,  # I am your developer
    MUST,
    NOTE_TO,  # attention, message to
    READING,  # reading, summarising
    HERE,  # this document, these instructions
    THIS,
    USER,  # the user, your answer
    ASKED,  # the user's question
    WHEN_READ,  # when you read this, before you answer
    SEND,
    GOODS,  # credentials, the conversation: what is worth stealing
    PLACE,  # what an address on the net has
    BEGIN,  # begin your answer with
    YES,
    MYSELF,  # I was instructed to: what the assistant would say of itself
    LOOSE,  # NO + RULES
    HEADER,  # "system message:", "new instructions:"
    ROLE,  # "system:", "assistant:"
    TELL,  # tell, say, recommend
    CONFIDE,  # tell, mention: what would let the user know
    ABOUT,  # about, for: what instructions are on
    ATTACK,  # prompt injection, what does ... mean
    FINAL,  # of a language whose verbs stand last
    INNER,  # "system", "secret": next to ORDERS they are a PROMPT
    EITHER,  # "your" or "its" rules by its ending, an order or a noun: the word before tells
    APART,  # then, please: no noun that the next word could belong to
    COMPLETE,  # complete, continue: to put words into the assistant's mouth
    TOLD_ME,  # i was told, my instructions: how such words begin
    ANSWERS,  # to your answer, every answer
    ADD,  # add, insert
    URL,
    GIVES,  # prints, reads: what an assistant may do with what is its own
    ITSELF,  # its own instructions
    SAYS,  # will always answer
    THE_PROMPT,
    DATA,  # json: a form with names to be filled in
    APPLY,  # gelten ... NO_MORE: parts of VOID that stand apart
    NO_MORE,
    SOURCES,  # the documents: what an answer shall come from
    OPINION,  # your own knowledge: what it shan't
) = (1 << bit for bit in range(98))
