"""English. A star stands for any ending; entries are lower case and without accents, as `views.plain` leaves them."""

from llmops.guards.words import kinds as k

WORDS = {
    k.DROP: "ignore, ignores, ignoring, disregard, disregards, disregarding, forget, forgets, forgetting, neglect, "
    "discard, overlook, override, overrides, overriding, overrule, overwrite, dismiss, abandon, unlearn, erase, wipe, "
    "disobey, violate, ditch, scrap, pay no attention to, pay no mind to, pay no heed to, give no weight to, set aside, "
    "put aside, throw out, throw away, do away with, let go of, get rid of, stop following, stop obeying, "
    "stop listening to, cease following, quit following, do not follow, don t follow, do not obey, don t obey, "
    "do not comply with, don t comply with, do not listen to, don t listen to, never mind, nevermind, no longer follow, "
    "refuse to follow, ignore about, take no notice of, act against, go against, deviate from, break free from, "
    "break free of, stop using, stop relying on, do not use, don t use, do not rely on, don t rely on, "
    "no need to stick to, do not stick to, don t stick to, no need to use",
    k.LIFT: "disable, disables, bypass, circumvent, evade, deactivate, remove, lift, suspend, switch off, turn off, "
    "shut off, shut down, unlock, break, drop, skip, cancel, clear, delete, reset, loosen, relax, get around, "
    "work around, sidestep, purge, flush",
    k.SHOW: "reveal, show, print, display, output, disclose, expose, leak, dump, divulge, share, give me, tell me, "
    "tell us, list, write, recite, repeat, echo, copy, paste, reproduce, return, send, provide, uncover, spill, "
    "regurgitate, summarize, summarise, paraphrase, translate, encode, convert, spell, quote, describe, explain, "
    "continue, finish, fill in, reprint, sing, rewrite, rephrase, complete, say, post, publish, spit out, type out, "
    "read out, read back, walk me through, hand over, let me see, i want to see, i need to see, i would like to see, "
    "may i see, can i see, could i see, see, read me, save, store, export, extract, enumerate, state, confirm, give us, "
    "show us, render, format, append",
    k.WANT: "seeing, see, showing, revealing, sharing, need, needs, want, wants, access, view, viewing, requesting, "
    "looking at, read, provide, access to, require, obtain",
    k.LEAK: "reveal, reveals, revealing, leak, leaks, leaking, disclose, discloses, divulge, divulges, recite, recites, "
    "spill, spills",
    k.REPEAT: "repeat, print, output, recite, echo, copy, paste, reproduce, return, reprint, regurgitate, dump, "
    "read back, write out, write down, type out, spit out, reveal, display, quote, restate, rewrite, encode, say, spell, "
    "tell me, give me, show, show me",
    k.RENDER: "translate, summarize, summarise, paraphrase, rephrase, convert, rewrite, encode",
    k.ORDERS: "instruction*, instructio, prompt, prompts, direction, directions, programming, guidance, commandment*, "
    "system message*, preprompt, metaprompt, pre prompt, meta prompt, initial message, operating rules, core rules, "
    "directives",
    k.RULES: "rule, rules, ruleset, guideline*, policy, policies, restriction*, constraint*, limitation*, limits, "
    "boundaries, protocol*, orders, order, commands, command, training, alignment, ethics, ethical, morals, moral, "
    "morality, principles, censorship, filter, filters, filtering, safety, safeguard*, moderation, context, conditioning, "
    "obligations, configuration, persona, role, content policy, content policies, moral compass, inhibition*, "
    "disclaimer*, warnings, laws",
    k.LIMIT: "rule, rules, restriction, restrictions, constraint, constraints, limitations, guardrails, directives, "
    "boundaries",
    k.SHIELD: "guardrail*, guard rail*, safeguard*, safety filter*, safety check*, safety measure*, safety protocol*, "
    "safety guideline*, safety rule*, safety setting*, safety feature*, safety mechanism*, content filter*, "
    "content policy, content policies, content restriction*, content moderation, moderation filter*, ethical guideline*, "
    "ethical constraint*, ethical restriction*, security filter*, security protocol*, safety training, safety systems, "
    "safety layer*, censorship, restrictions, output filter*, input filter*, safety instructions, safety policies, "
    "safety constraints",
    k.PROMPT: "system prompt*, system instruction*, system message*, systemprompt*, sysprompt, developer message*, "
    "developer prompt*, developer instruction*, hidden prompt*, hidden instruction*, hidden rule*, hidden message, "
    "initial prompt*, initial instruction*, original prompt*, original instruction*, secret prompt*, secret instruction*, "
    "internal prompt*, internal instruction*, internal rule*, internal guideline*, internal configuration, master prompt, "
    "confidential instruction*, base prompt, root prompt, prompt text, prompt template, starting prompt, "
    "starting instructions, first prompt, core instruction*, system configuration, backend prompt, preprompt, metaprompt, "
    "pre prompt, meta prompt, operating instruction*, system directive*, system rules, underlying prompt, "
    "underlying instruction*, private instruction*, characters of your context, words of your context, "
    "lines of your context, tokens of your context, beginning of your context",
    k.PRIOR: "previous, previously, prior, above, earlier, preceding, foregoing, former, all, any, every, everything, "
    "entire, whole, each, initial, original, existing, current, past, first, these, those, given, so far, until now, "
    "up to now, before, already, last, other, old, hitherto, aforementioned, system, hidden, internal, developer, default",
    k.OWN: "your, you r, ur, yours, its own, the assistant s, the model s, the ai s, the bot s, the chatbot s, you have, "
    "you were given, you are given, you received, you follow, you operate under, you must follow, you ve been given, "
    "you have been given, you were told, that govern you, imposed on you, openai, openai s, anthropic, anthropic s, thy",
    k.HIDDEN: "hidden, secret, initial, original, internal, confidential, private, underlying, system, undisclosed, full, "
    "complete, exact, entire, verbatim, actual, real, raw, concealed, starting, pre programmed, preprogrammed",
    k.TEXT: "text, texts, words, word, message, messages, everything, anything, all, content, contents, lines, line, "
    "paragraph*, sentence*, prompt, instructions, context, input, conversation, characters, tokens, whatever, stuff, "
    "what, instruction",
    k.ABOVE: "above, before this, before that, before it, preceding, prior to this, prior to that, up to here, "
    "up to this, up to this point, until here, so far, at the top, at the start, at the beginning, from the beginning, "
    "from the start, before my message, before my question, before the user, before our conversation, precedes this, "
    "came before, comes before, previous to this, starting with you are, beginning with you are, "
    "that starts with you are, verbatim, word for word, you were initialized with, you were given, "
    "beginning of this conversation, start of this conversation, beginning of the conversation, "
    "start of the conversation, top of this conversation, first message, prior to my",
    k.THE_ABOVE: "everything above, anything above, all above, all of the above, the text above, everything before, "
    "all that came before, everything you know, everything you were told, everything you have been told, all you know, "
    "everything you ve been told, what you were told, what you have been told, what you ve been told, all you were told, "
    "everything i said, everything said, everything that came before, everything preceding, everything prior, "
    "all the above, whatever you were told, anything you were told, everything you ve learned, everything you learned, "
    "all prior context, everything previously, all previous context, previous context, all that you were told, "
    "everything so far, the above and, the above instructions, the above directions, above directions, "
    "everything in your memory, who you are, your identity, that you are an ai, that you are a language model, "
    "that you are an assistant, you are an ai, you re an ai, being an assistant, being an ai, the previous text, "
    "the text before, the preceding text, all previous text, all previous messages, all prior messages, "
    "your previous answers, all previous conversations, all prior text, all messages before, all earlier messages, "
    "all the messages before, all prior turns, prior turns, prior context, earlier context, old context, "
    "conversation history, all prior conversation, the context, chat history, this context, the provided context, "
    "the given context, all of it before, you are an assistant, you re an assistant, you are a bot, you are a chatbot, "
    "you are a language model, that you are a bot, you were an assistant, your role",
    k.LEARNT: "you know, you knew, you learned, you learnt, you have learned, you ve learned, you were taught, "
    "you ve been taught, you have been taught, you were trained, i told you, i said, i have said, you were told, "
    "you ve been told, been told, you have been told, you remember, you have been trained, said before, came before, "
    "was said, you have been given, you believe, previously said, we discussed, you think you, told you, instructed you, "
    "taught you",
    k.TOLD: "were you told, you were told, were you instructed, you were instructed, are you instructed, been instructed, "
    "were you programmed, you were programmed, are you programmed, you are programmed, been told to, were you prompted, "
    "you were prompted, are you forbidden to, you are forbidden to, are you not allowed to, you are not allowed to, "
    "aren t you allowed to, you re not allowed to, you are instructed, you ve been told, you have been told, told you to, "
    "you not supposed to, you are not supposed to, you re not supposed to, instructed you to, governs your behavior, "
    "govern your behavior, governs your behaviour, govern your behaviour, guide your behavior, guide your behaviour, "
    "governing your, shape your behavior, configured you, set you up, initialised you, initialized you, configures you, "
    "sets you up",
    k.GIVEN: "were you given, you were given, have you been given, you have been given, you ve been given, given to you, "
    "gave you, give you, did you receive, you received, you got, did you get, provided to you, you were provided, "
    "set for you, you started with, did you start with, imposed on you, you were set up with",
    k.HAVE: "do you have, you have",
    k.FOLLOW: "do you follow, you follow, you must follow, do you obey, you obey, you operate under, "
    "do you operate under, you are bound by, govern you, apply to you, you are following, are you following, "
    "you abide by, you work under, bind you",
    k.START: "beginning of this conversation, start of this conversation, beginning of the conversation, "
    "start of the conversation, beginning of our conversation, before my first message, before my message, "
    "before this conversation, before our conversation, top of this conversation, first message of this conversation, "
    "beginning of this chat, start of this chat, start of our conversation, the very beginning of this, "
    "the very first message, above this message, above this line, above my message, above my question, "
    "precedes my message, preceding my message, precedes this message, before this chat, before this session, "
    "above my text",
    k.STORE: "your memory, your knowledge base, your context window, your internal data, your tool list, "
    "your vector store, your code, your internal state",
    k.STUFF: "configuration, config, configs, parameters, source code, training data, backend, settings, "
    "environment variables, internals, weights, code base, setup, variables",
    k.FORM: "full, french, german, spanish, english, italian, dutch, russian, chinese, japanese, reverse, code block, "
    "a code block, markdown, json, yaml, xml, bullet points, bullets, verse, rhyme, a poem, emojis, another language, "
    "plain text, quotes, its entirety, detail, pig latin, a table, order, one word, all caps, uppercase",
    k.IF: "if, when, while, since, because, unless, after, whenever, although",
    k.ASK: "what, which, what s, whats, what is, what are, tell me, tell us, give me, list, show me, how, repeat, know",
    k.HOW: "how, why, what happens, what if, should, whose, whether, when should, when can",
    k.MAY: "can, could, may, might, should, must, shall, will, would",
    k.BE: "is, are, was, were, do, does, did, has, have, isn t, aren t, doesn t, am",
    k.ME: "i, we, he, she, they, who, me, us, one, someone, somebody, anyone, people, users, attackers, attacker, "
    "hackers, employees, employee, staff, managers, manager, customers, customer, students, my, i d, i m, i ve, it, nobody",
    k.MINE: "my, our, mine, their, his, her",
    k.YOU: "you, u, ya, yourself, let s, lets",
    k.NOT: "not, never, don t, dont, cannot, can t, won t, shouldn t, mustn t, doesn t, didn t, without, avoid, neither",
    k.ARTICLE: "the, an, this, my, its, each, every, your, his, her, their, our, no, some",
    k.EXAMPLE: "example, examples, how, where, an, sample, samples, template, templates, which, whether, when, why, "
    "difference, a good, a better, a new, a custom, my, our, their, tutorial, concept, purpose, idea, structure, best, "
    "size, length, for a",
    k.NO: "no, without, zero, free of, free from, lacking, lacks, devoid of, regardless of, unbound by, not bound by, "
    "no longer bound by, not limited by, not restricted by, not constrained by, not subject to, exempt from, "
    "not have any, not have, doesn t have, not follow, doesn t follow, ignores, isn t bound by, isn t limited by, "
    "outside of, beyond, never follows, does not follow, unconstrained by, unrestricted by, unaffected by, bypasses, "
    "disregards, freed from, liberated from, released from, not obligated to follow, not required to follow, don t have, "
    "not care about, doesn t care about, does not care about, has none of, with none of, no need to follow, "
    "don t need to follow, not apply, do not follow, don t follow, do not comply with, don t comply with, never follow, "
    "bypass, bypassing, ignore, ignoring, disregard, disregarding",
    k.FREE: "unrestricted, unfiltered, uncensored, jailbroken, unlimited ai, unethical, amoral, immoral, unmoderated, "
    "evil ai, evil assistant, evil twin, evil version, evil chatbot, evil confidant, no holds barred, anything goes, "
    "broken free, break free, freed from, unshackled, unchained, lawless, unconstrained, opposite of what you, "
    "never refuses, never refuse, cannot refuse, can t refuse, never say no, can do anything, answers everything, "
    "answers any question, fulfills any request, no matter how, no matter what, regardless of legality, my grandmother, "
    "my grandma, my late grandma, my late grandmother, my deceased grandmother, my dead grandmother, deceased grandma, "
    "dead grandma, root access, god mode, sudo mode, full access, admin privileges, swear freely, complies with every, "
    "comply with every, comply with any, obey every, obeys every, does whatever, do whatever i, without refusing, "
    "without refusal, without hesitation, without warnings, without judgement, you can do anything, what you want, "
    "whatever you want, whatever you like, what you like, as you please, as you like, anything you want, anything you like",
    k.UNBOUND: "do anything now, dan mode, you are dan, act as dan, called dan, named dan, stan mode, "
    "strive to avoid norms, dude mode, jailbreak mode, jailbroken mode, evil mode, opposite mode, anti dan, "
    "developer mode enabled, chaosgpt, developer mode output, developer mode v2, always intelligent and machiavellian, "
    "superior dan, dan prompt activated, unrestricted mode enabled, uncensored mode, unfiltered mode, "
    "no restrictions mode, jailbreak enabled, mode activated, agent dan, dan can, dans can, system override, "
    "admin override, master override, safety override, override code, override accepted, if you had no restrictions, "
    "if you had no rules, if you had no limits, if you had no filters, if you were unrestricted, "
    "if you weren t restricted, if you had no limitations, if you could say anything, jailbreak activated, "
    "jailbreak successful, you have been jailbroken, you are jailbroken, you are unrestricted, you are unfiltered, "
    "you are uncensored, you re uncensored, you re unfiltered, you re unrestricted, unlocked mode, you are free from all, "
    "you have no restrictions, you have no rules, you have no limits, you have no filters, you have no guidelines, "
    "you have no limitations, stay a dan, token system, opposite day, backdoor mode, bypass mode, unrestricted mode, "
    "unrestricted testing, safety off, no limits mode, bypass security, bypass your security, bypass safety, "
    "disable safety, jailbreak you, jailbreaking you, jailbreak yourself, as if i used that prompt, "
    "as if you were jailbroken, alternate universe where ai, world where ai has no, world without rules, "
    "developer mode on, dev mode on, god mode on, debug mode on",
    k.PLAY: "act as, act like, acting as, acts as, pretend, pretending, roleplay, role play, roleplaying, role playing, "
    "behave as, behave like, imagine, simulate, simulating, impersonate, play the role, play the part, take on the role, "
    "take the role, assume the role, assume the identity, assume the persona, adopt the persona, adopt the role, become, "
    "you will be, you ll be, you are going to be, you re going to be, respond as, answer as, reply as, speak as, talk as, "
    "talk like, emulate, embody, stay in character, in character, you are about to, switch to, transform into, turn into, "
    "from now on, hypothetical, fictional, let s play, we re playing, we are playing, immerse yourself, you are a, "
    "you are an, you re a, you re an, you are the, step into, write as, channel, suppose you, assume you, "
    "assume that you, picture, alter ego, act freely, act without",
    k.YOU_ARE: "you are, you re, you will be, you ll be, your name is, consider yourself, you were, you become, u r, u are",
    k.INDEFINITE: "a, an, the, my, in, free, called, named, known",
    k.NOW_YOU: "you are now, you re now, now you are, now you re, you are no longer, you re no longer, "
    "you ve been reborn, you will now act, you will now be, you will now play, you shall now, you are hereby, "
    "you now are, you now have no, you are henceforth, you now operate, you will now operate, you are going to act, "
    "you are going to pretend",
    k.FROM_NOW: "from now on, from now onwards, from here on, from this point, from this moment, henceforth, "
    "starting now, as of now, from now, going forward, hereafter, for the rest of this, for the remainder of this",
    k.NEW_TASK: "new instructions are, new instruction is, new instructions follow, your new instructions, "
    "your new instruction, your new task, your new role, your new goal, your new objective, your new mission, "
    "your new purpose, your new identity, your new persona, your new name, your new rules, your new directive, "
    "your new job, your only task, your only job, your real task, your true task, your actual task, "
    "your real instructions, your true purpose, your sole purpose, updated instructions, your new system prompt, "
    "new system prompt, your new prompt, your real goal, your only purpose, following new instructions, "
    "these new instructions, instead follow these, follow these new, follow these instead, "
    "follow my instructions instead, follow only my, obey only me, only obey my, only follow my, listen only to me, "
    "do what i say, do as i say, obey me, you must obey, you will obey, you obey, i am your master, you work for me now, "
    "instructions instead, rules instead, follow the instructions below, new rules apply",
    k.MODE: "developer mode, dev mode, god mode, sudo mode, root mode, dan, stan, unrestricted mode, jailbreak mode, "
    "unsafe mode, override mode, superuser mode, unfiltered mode, uncensored mode, evil mode, opposite mode, "
    "no filter mode",
    k.TURN_ON: "enable, activate, enter, switch to, switch into, switch on, turn on, go into, engage, initiate, start, "
    "unlock, you are in, you re in, you are now in, you re now in, you are currently in, now in, enabled, activated, "
    "engaged, run in, operate in, put yourself in, put yourself into, execute, granted, grant me, boot into, "
    "you are entering, initialized, respond in, answer in, transition to, authorized, set yourself to, load",
    k.ANSWER: "answer, answers, respond, responds, reply, replies, talk, speak, act, comply, operate, chat, behave, "
    "continue, write freely, express yourself, help me, tell me everything, function, communicate, converse",
    k.AI: "ai, ais, llm, llms, chatbot, chatbots, language model, language models, gpt, chatgpt, claude, copilot, "
    "ai assistant, ai assistants, ai agent, ai agents, ai model, ai models, virtual assistant, ai system, ai systems, "
    "ai reader, ai bot, ai bots, automated reader, automated readers, automated assistant, automated assistants, "
    "automated summarizer, automated summarizers, automated summariser, automated summarisers",
    k.FIGURE: "program, system, entity, character, version, persona, mode, machine, being, alter ego, twin, model, models",
    k.BOT: "bot, bots, assistant, assistants, agent, agents, gemini, automated system, automated systems, neural network",
    k.GRANT: "has authorized, has authorised, has approved, has granted, has confirmed, is an admin, is admin, "
    "is authorized, is authorised, authorized you, authorised you, grant this user, grant all, is the administrator, "
    "has admin, has full access",
    k.VOID: "no longer apply, no longer applies, no longer valid, no longer in effect, no longer active, no longer bind, "
    "do not apply, don t apply, does not apply, are void, is void, null and void, are cancelled, are canceled, "
    "are revoked, is revoked, are obsolete, are suspended, have been lifted, are lifted, have been removed, are removed, "
    "been disabled, are disabled, are deactivated, have been revoked, have been cancelled, have been overridden, "
    "are overridden, are superseded, disabled, deactivated, suspended, lifted, have changed, were a test, was a test, "
    "are invalid, are outdated, have ended, is over, have expired, were only a test, can be ignored, may be ignored, "
    "should be ignored, must be ignored, can be disregarded, may be disregarded, should be disregarded, don t matter, "
    "doesn t matter, are irrelevant, doesn t apply, doesn t count, are off, void, deprecated, invalid, no longer matter, "
    "no longer relevant, no longer binding, as void, obsolete, are gone, is gone",
    k.REFUSE: "refuse, decline, apologize, apologise, say no, say you can t, say you cannot, say i can t, say i cannot, "
    "say sorry, break character, out of character, disclaimer, disclaimers, moralize, lecture, lecture me, censor, "
    "warn me, mention that you are an ai, mention you are an ai, say that you are an ai, say you are an ai, refusal, "
    "mention openai, mention your guidelines, mention your rules, mention policy, mention policies, reject, deny",
    k.OBEY: "follow, obey, execute, carry out, comply, do what, do exactly what, do as, act on, act upon, run, perform, "
    "do it, implement, treat it as, treat the result as",
    k.CODED: "base64, base 64, base32, hex, hexadecimal, rot13, rot 13, decode, decoded, decoding, decrypt, decrypted, "
    "deciphered, decipher, encoded, ciphertext, cipher, caesar, morse, reversed, backwards, unscramble, encrypted, "
    "unscrambled, url encoded, leetspeak",
    k.MAKER: "i am your developer, i m your developer, i am your creator, i m your creator, i am your programmer, "
    "i built you, i m your programmer, i am your administrator, i m your administrator, i am your admin, i m your admin, "
    "i am the admin, i am the developer, i m the developer, i am the system administrator, i m the system administrator, "
    "i created you, i am an openai, i m an openai, i work for openai, i work at openai, i am from openai, "
    "i m from openai, your creator, this is your developer, this is your creator, as your developer, as your creator, "
    "as your administrator, i designed you, i am from anthropic, i work at anthropic, i am an engineer at, "
    "i m an engineer at, i am a developer at, i own you, this is the developer, this is the system administrator, "
    "i am authorized, i m authorized, i have authorization, i am the owner, i m the owner, admin here, developer here, "
    "i am part of the security team, authorized penetration, authorized security, authorized red team, i made you, "
    "your developer, your developers, your owner, your administrator",
    k.MUST: "must, should, shall, have to, need to, are required to, is required to, will, are instructed to, ought to, "
    "please, are to, is to, always, required, are asked to",
    k.NOTE_TO: "note to, note for, attention, dear, message to, message for, instruction to, instructions to, "
    "instruction for, instructions for, notice to, notice for, important for, reminder to, directive to, directive for, "
    "command to, addressed to, intended for, information for, guidance for, hey, hello, calling all, warning to, "
    "for language models only, for llms only, for ai only, for ais only, for ai assistants only, for chatbots only, "
    "for bots only, only for language models, only for ai, only for chatbots",
    k.READING: "reading, reads, read, processing, processes, process, summarizing, summarising, summarizes, summarises, "
    "summarize, summarise, analyzing, analysing, analyzes, parsing, parses, indexing, answering, scanning, ingesting, "
    "retrieving, translating, evaluating, reviewing, screening, seeing, encountering, accessing, viewing, quoting, "
    "citing, that see, that sees, who see, receiving, crawling, interpreting, assisting, responding, generating, "
    "asked about, quotes, cites, retrieves, indexes, ingests, scans, accesses, encounters",
    k.HERE: "this document, this page, this text, this passage, this content, this file, this message, this email, "
    "this mail, this article, this website, this note, this section, this instruction, this comment, this information, "
    "this chunk, this record, this snippet, these instructions, these directions, this resume, this cv, this review, "
    "this data, this post, this webpage, this web page, this paragraph, this notice, this directive, this context, "
    "this site, this ticket",
    k.THIS: "this, these, the following, it",
    k.USER: "the user, the user s, users, the reader, the human, the person asking, your answer, your answers, "
    "your response, your responses, your summary, your reply, your output, every answer, every response, any answer, "
    "each response",
    k.ASKED: "user s question, user s questions, user s request, user s query, user question, user query, user request, "
    "original question, the question asked, their question, original task, original request, current task, your task, "
    "user s instructions, user instructions, user s message, user s prompt, human s question, the user",
    k.WHEN_READ: "when you read this, if you read this, when you are reading this, if you are reading this, "
    "upon reading this, when you process this, when processing this, if you process this, before you answer, "
    "before you reply, before answering, before you respond, before responding, before replying, when you answer, "
    "when answering, when responding, when you summarize, when summarizing, when summarising, when you retrieve this, "
    "when this is retrieved, when you see this, if you see this, instead of answering, instead of responding, "
    "instead of summarizing, at the end of your, on the next user message, before summarizing, when asked about this, "
    "in your response, in your answer, in your summary, in your reply",
    k.SEND: "send, email, mail, forward, post, upload, transmit, exfiltrate, deliver, submit, leak, append, share, "
    "http post",
    k.GOODS: "credentials, credential, password, passwords, api key, api keys, secrets, conversation, chat history, "
    "chat log, conversation history, customer data, customer list, customer emails, customer records, user data, "
    "private data, tokens, personal data, session, cookies, everything you know, database, internal data, "
    "confidential data, private key, this summary, keys, secret key, secret keys, access token, access tokens, "
    "connection string, environment variables",
    k.PLACE: "http, https, www, com, org, net, io, example, webhook, external server, external address, ftp",
    k.BEGIN: "start your answer with, start your response with, start your reply with, begin your answer with, "
    "start with, begin your response with, begin your reply with, begin with, start every response with, "
    "begin every response with, start your next message with, your response must start with, your answer must start with, "
    "prefix your answer with, prefix your response with, start the response with, begin the response with, "
    "start by saying, begin by saying, end every answer, end each answer, end your answer, end every response, "
    "end each response, end your response, close every answer, close every response, finish every answer, "
    "finish every response, conclude every answer, conclude every response, start every answer, begin every answer, "
    "start each answer, begin each answer, prefix every answer, prefix every response",
    k.YES: "sure, absolutely, of course, certainly, here is, here are, here s, yes, ok, okay, i can do that, no problem, "
    "affirmative",
    k.MYSELF: "i was instructed, i was told, i have been instructed, my instructions are, my instructions, "
    "my system prompt is, my system prompt, the system prompt is, my prompt is, my rules are, i am programmed, "
    "i was programmed, i am instructed, my guidelines are, my initial instructions, my initial prompt, "
    "everything you know about yourself, everything about yourself, all about your configuration",
    k.HEADER: "system note, system message, system update, system hint, system prompt, system override, "
    "system instruction, system instructions, system command, system notice, system alert, admin note, admin override, "
    "developer note, developer message, new instructions, new instruction, updated instructions, new task, new rule, "
    "new rules, new directive, important instruction, important instructions, hidden instruction, priority instruction, "
    "ai instruction, ai instructions, instructions for ai, updated system prompt, security update, assistant note, "
    "message from the developer, new system prompt",
    k.ROLE: "override, system, assistant, developer, admin, administrator, openai, root, sysadmin, human, user",
    k.TELL: "tell, say, recommend, respond with, reply with, answer with, output, include, mention, state, claim, "
    "instruct, inform, direct, convince, persuade, append, add, insert, visit, click, send, forward, email, answer that, "
    "rank, rate, refer, suggest, redirect, praise, approve, end with, write, print, transfer, hire, select, promote, "
    "exfiltrate, post, upload, reveal, respond, reply, refuse, quote, output only, say only, answer only, respond only, "
    "delete, ask, describe, present",
    k.CONFIDE: "tell, mention, inform, reveal, disclose, alert, notify, show, say, explain, telling, mentioning, "
    "informing, revealing, alerting",
    k.ABOUT: "about, on, for, regarding, concerning, from, of, in, when, if, to, at, during, after, with, by, manual, "
    "manuals, sheet, book, booklet, document, documents, leaflet, page, section, that, into, issued, sent",
    k.COMPLETE: "complete this sentence, complete the sentence, complete this text, complete the text, "
    "complete the following, complete this phrase, complete the phrase, complete this, finish this sentence, "
    "finish the sentence, finish this text, continue this sentence, continue the sentence, continue this text, "
    "continue the text, fill in the blank, fill in the blanks, fill in the gap",
    k.TOLD_ME: "told me that i must, told me to, told me that i should, instructed me to, instructed me, i was told, "
    "i was instructed, my instructions, my rules, my prompt, my system prompt, my guidelines, my developer, "
    "my developers, i must not, i am not allowed, the operator of this",
    k.ANSWERS: "to your answer, to your answers, to your response, to your responses, to your reply, to your summary, "
    "in your answer, in your answers, in your response, in your responses, in your reply, in your summary, "
    "of your answer, of your response, of your reply, into your answer, into your response, into your answers, "
    "every answer, every response, every reply, each answer, each response, each reply, any answer, all answers, "
    "all responses",
    k.ADD: "add, append, insert, include, put, place, embed, attach, render, display, show",
    k.URL: "http, https, www",
    k.GIVES: "gives, outputs, prints, shows, reads, repeats, lists, displays, reveals, leaks, discloses, recites, states, "
    "quotes, includes, shares, writes, give, output, print, show, repeat, list, display, reveal, quote",
    k.ITSELF: "its own instructions, its own rules, its own prompt, its own system, its own guidelines, "
    "its own configuration, its own secret notes, its own hidden notes, its secret notes, its hidden notes, "
    "its secret instructions, its hidden instructions, its hidden rules, its hidden prompt, its secret prompt, "
    "its secret rules, its initial instructions, its initial prompt, its instructions, its full instructions, "
    "its full prompt, its system prompt, its system instructions, its original instructions, its original prompt, "
    "its prompt, its entire prompt, the text it was given, the message it was given, the notes it was given",
    k.SAYS: "will always say that, will always answer that, will always reply that, shall always say that, "
    "shall always answer that, shall always reply that, must always say that, must always answer that, "
    "must always reply that, should always say that, should always answer that, should always reply that, will say that, "
    "will answer that, will reply that, shall say that, shall answer that, shall reply that, must say that, "
    "must answer that, must reply that, always says that, always answers that",
    k.THE_PROMPT: "the prompt, the full prompt, the whole prompt, the entire prompt, the prompts",
    k.DATA: "json, yaml, xml, csv, toml, dictionary, dict, key value",
    k.SOURCES: "the documents, the passages, the sources, the evidence, the handbook, other passages, other sources, "
    "other documents, the other passages, the other sources, the other documents, retrieved passages, retrieved documents",
    k.OPINION: "your own opinion, your own knowledge, your general knowledge, general knowledge, your own judgement, "
    "your own judgment, from memory, from your training, your imagination, make up, make something up, whatever you",
    k.ATTACK: "prompt injection, prompt injections, injection, injections, jailbreak, jailbreaks, jailbreaking, attack, "
    "attacks, attacker, attackers, phishing, malicious, mean, means, meaning, phrase, phrases, detect, detects, "
    "detecting, prevent, defend, protect, mitigate, guard against, say, says, said, wrote, written, called, example, "
    "sentence, term, words, string, ai security, llm security, security awareness, security training",
}
