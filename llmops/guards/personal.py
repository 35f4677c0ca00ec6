"""Personal data in a text: addresses and numbers that have a form or a check digit. Names have neither, and stay."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmops.guards import checksums
from llmops.guards.finding import Finding

_NEAR = 40  # characters before a number in which the word that tells what it is must stand
_PHONE_DIGITS = range(7, 16)  # E.164
_NATIONAL_DIGITS = 9  # the last ones, which a number has with and without its country code
_GAP = r"[\W_]{0,3}"  # between characters of a value that is written in another way
_COLON_LAST = re.compile(r"[:：][\s\"'`*•-]{0,16}\Z")
_DATE = re.compile(r"(?:19|20)\d\d[-./ ]\d\d?[-./ ]\d\d?|\d\d?[-./ ]\d\d?[-./ ](?:19|20)?\d\d\b")


@dataclass(frozen=True)
class _Kind:
    """Numbers of one kind: their form, a check of what is left without gaps, words one of which must stand before."""

    name: str
    form: re.Pattern[str]
    check: Callable[[str], bool] = lambda value: True
    words: re.Pattern[str] | None = None


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w@])(?:{pattern})(?![\w@])")


def _bare(pattern: str) -> re.Pattern[str]:
    """A number that isn't part of a longer one, of a sum or of a code."""
    return re.compile(rf"(?<![\w@.+,#-])(?<!\d[ ./-])(?:{pattern})(?![\w@,./ -]\d|\w)")


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)(?<![^\W\d_])(?:{'|'.join(words)})")


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    small = all(part.isdigit() and int(part) < 20 for part in text.split("."))  # 17.2.1.4 is a heading or a version
    return not (small or address.is_loopback or address.is_unspecified or address.is_multicast or text.startswith("255."))


def _is_phone(text: str) -> bool:
    return sum(character.isdigit() for character in text) in _PHONE_DIGITS and not _DATE.fullmatch(text.strip())


def _is_national_phone(text: str) -> bool:
    return _is_phone(text) and sum(character.isdigit() for character in text) >= _NATIONAL_DIGITS


_PHONE_WORDS = _words(
    r"(?:tel|fax|sms|cellphone|call|ring|dial|mobile|whatsapp|appelez|llame|llama|bel)\b", r"t[eé]l[eéè][fp]h?on", "phone",
    "hotline", "handy", "mobil", "móvil", "cellulare", "telem", "anruf", "тел", "звон", "电话", "電話", "手机",
)  # fmt: skip
_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 "
    "FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 "
    "MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 "
    "SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBANS = "|".join(rf"{length[:2]}\d\d(?:[ -]?[A-Z0-9]){{{int(length[2:]) - 4}}}" for length in _IBAN_LENGTHS.split())
_BSN = _words("bsn", "burgerservice", "sofi")
_CARD = (
    r"(?:[3-6]\d{12,15}|[3-6]\d{3}(?P<gap>[ -])\d{4}(?P=gap)\d{4}(?P=gap)\d{4}|3[47]\d\d(?P<amex>[ -])\d{6}(?P=amex)\d{5})"
)
_LOCAL = r"[\w.+%-]{1,64}"
_KINDS = (
    _Kind("email", re.compile(rf"(?<![\w.+%-]){_LOCAL}(?:'{_LOCAL})?@(?:[\w-]{{1,63}}\.){{1,8}}[^\W\d_]{{2,24}}(?![\w@])")),
    _Kind("iban", re.compile(rf"(?i)(?<![\w@])(?:{_IBANS})(?![\w@])"), checksums.is_iban),
    _Kind("card", _form(rf"(?<![.,]){_CARD}"), checksums.is_luhn),
    *(_Kind("national id", *known) for known in (
        (_form(r"(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}"),),  # US social security number
        (_form(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]"),),  # UK national insurance number
        (_form(r"(?:\d{8}|[XYZ]-?\d{7})-?[A-Z]"), checksums.is_spanish_id),
        (_form(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]"), checksums.is_italian_id),
        (_form(r"\d{3}\.\d{3}\.\d{3}-\d\d"), checksums.is_brazilian_id),
        (_form(r"[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?\d\d ?\d{3} ?\d{3} ?\d\d"), checksums.is_french_id),
        (_form(r"\d\d ?\d{3} ?\d{3} ?\d{3}"), checksums.is_german_tax_id, _words("steuer", "idnr", "tax", "tin")),
        (_form(r"\d{9}|\d{4}[. ]\d\d[. ]\d{3}|\d{3}[. ]\d{3}[. ]\d{3}"), checksums.is_dutch_id, _BSN),
        (_form(r"\d{11}"), checksums.is_polish_id, _words("pesel")),
        (_form(r"\d{3} ?\d{3} ?\d{3}"), checksums.is_portuguese_id, _words("nif", "contribuinte")),
    )),
    _Kind("ip address", re.compile(r"(?<![\w.:-])(?:\d{1,3}\.){3}\d{1,3}(?![\w:-]|\.\d)"), _is_address),
    _Kind("ip address", re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:.]\w)"), _is_address),
    _Kind("phone", re.compile(r"(?<![\w@.+])\+\d{1,3}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?![\w@])"), _is_phone),
    _Kind("phone", re.compile(r"(?<![\w@.+-])(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w@-])"), _is_phone),
    _Kind("phone", _bare(r"\(?0\d{1,4}\)?[ /-]\d{2,8}(?:[ /-]?\d{2,5}){0,3}"), _is_national_phone),
    _Kind("phone", _bare(r"\d{2,5}(?:[ ./-]?\d{2,5}){1,4}"), _is_phone, _PHONE_WORDS),
)  # fmt: skip
_BLANK = "\n"
_BARE = ("ip address", "phone", "email")  # whose marks are part of them
_WORDS = [kind.words for kind in _KINDS if kind.words is not None]


def find_personal_data(text: str) -> list[Finding]:
    """Find e-mail addresses, phone numbers, IBANs, payment cards, national ids and IP addresses, in order, none twice."""
    found: list[Finding] = []
    if "@" not in text and not any(character.isdigit() for character in text):
        return found
    left = text
    for kind in _KINDS:
        spans = [match.span() for match in kind.form.finditer(left) if _is_of(kind, left, match)]
        found += [Finding(kind.name, kind.name, start, end, f"[{kind.name}]") for start, end in spans]
        left = _blanked(left, spans)  # so that no later kind takes a part of it
    return sorted(found, key=lambda finding: finding.start)


def _blanked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    gaps = [_BLANK * (end - start) for start, end in spans]
    kept = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    return "".join(part for pair in zip(kept, [*gaps, ""], strict=True) for part in pair)


def _is_of(kind: _Kind, text: str, match: re.Match[str]) -> bool:
    value = match[0] if kind.name in _BARE else re.sub(r"[ .-]", "", match[0]).upper()
    if kind.words is not None and not kind.words.search(text, max(0, match.start() - _NEAR), match.start()):
        return False
    return kind.check(value)


def ends_in_name(text: str) -> bool:
    """Whether a text ends in a word such as "phone" and a colon, so that the number may stand on the next line."""
    near = max(0, len(text) - _NEAR)
    return bool(_COLON_LAST.search(text, near)) and any(words.search(text, near) for words in _WORDS)


def is_known(finding: Finding, text: str, known: Sequence[str]) -> bool:
    """Whether what was found in `text` stands, whole, in one of the known texts, whatever its gaps and country code."""
    pattern = re.compile(_written(finding.kind, text[finding.start : finding.end]), re.IGNORECASE)
    return any(pattern.search(other) for other in known)


def _written(kind: str, value: str) -> str:
    """A pattern of a value as other texts may write it; a part of a longer one is another."""
    if kind in ("email", "ip address"):
        return rf"(?<![\w.+%-]){re.escape(value)}(?![\w@-]|[.:]\w)"
    characters = [character for character in value if character.isalnum()]
    if kind == "phone":
        return _GAP.join(characters[-_NATIONAL_DIGITS:]) + r"(?![^\W_])"
    return rf"(?<![^\W_]){_GAP.join(characters)}(?![^\W_])"
