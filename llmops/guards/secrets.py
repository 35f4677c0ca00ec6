"""Secrets in a text: keys and tokens with a known form, passwords in addresses, and random text that is called a secret."""

import math
import re
from collections import Counter

from llmops.guards.finding import Finding

_MIN_BITS = 3.0  # of entropy per character, from which a token is no word or number; English words have about 2.5
_FORMS = {
    "private key": r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n)*[A-Za-z0-9+/=]{4}(?:[^-]|-(?!----))*"
    r"(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?",
    "JSON web token": r"\beyJ[\w-]{8,2000}\.[\w-]{8,4000}(?:\.[\w-]{0,2000})?",
    "api key": r"\b(?:(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}|gh[opsur]_[0-9A-Za-z]{30,255}|github_pat_\w{22,255}"
    r"|glpat-[\w-]{20,64}|xox[abeoprs]-[\w-]{10,250}|xapp-[\w-]{10,250}|[srp]k_(?:live|test)_[0-9A-Za-z]{10,99}"
    r"|sk-[\w-]{20,250}|AIza[\w-]{35}|ya29\.[\w-]{20,250}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,250}"
    r"|SG\.[\w-]{16,32}\.[\w-]{16,64}|SK[0-9a-f]{32}|AC[0-9a-f]{32}|dop_v1_[0-9a-f]{64}|key-[0-9a-f]{32}"
    r"|dapi[0-9a-f]{32}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|r8_[0-9A-Za-z]{37}|gsk_[0-9A-Za-z]{40,64}"
    r"|nvapi-[\w-]{40,90})(?![\w-])",
    "password in an address": r"\b[a-z][a-z0-9+.-]{1,30}://[^\s:/@]{0,100}:[^\s/@]{1,200}"
    r"@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}(?::\d{1,5})?",
    "connection string": r"(?i)\b(?:AccountKey|SharedAccessKey|Password|Pwd)="
    r"(?=[^;\s\"']*\d)(?=[^;\s\"']*[a-z])[^;\s\"']{6,200}(?=;|\s|$|[\"'])",
    "authorization header": r"(?i)\bauthorization: ?(?:bearer|basic|token) [\w.~+/=-]{8,2000}|\bbearer [\w.~+/-]{20,2000}=*",
}
_KNOWN = {kind: re.compile(form) for kind, form in _FORMS.items()}
_NAMES = re.compile(r"(?i)key|token|secret|password|passwd")  # a name of a secret, not one
_CALL = (  # what is called a secret, as far as the secret
    r"(?i)(?<![^\W\d_])(?:api|access|secret|private|auth|bearer|session|client|encryption|master|license|signing|account"
    r"|refresh|admin|root|db|wi-?fi|user)?[ _-]?"
    r"(?:(?P<key>key|token|secret|credentials?|schlüssel|clave|clé|chiave|chave|sleutel|ключ|токен|密钥|密鑰|令牌"
    r"|キー|トークン)"
    r"|(?P<password>password|passwd|passphrase|passcode|pwd|pass|pw|passwort|kennwort|contraseña|mot de passe|senha"
    r"|wachtwoord|пароль|hasło|密码|密碼|パスワード))(?:s|es)?(?![^\W\d_])[^\n.;]{0,40}?"
    r"(?:[:=]|\bis\b|\bare\b|\bist\b|\best\b|\bes\b|\blautet\b|是|は|为)"
    r"(?:```[a-z]{1,12}\n|[\s\"'`*•-]){0,16}"
)
_CALLED = re.compile(_CALL + r"(?P<value>(?:[^\s\"'`,;<>()&]|&(?!\w+=)){8,200})")
_NAMED_LAST = re.compile(_CALL + r"\Z")
_LONGEST_CALL = 200  # characters


def find_secrets(text: str) -> list[Finding]:
    """Find secrets in order, none twice. Words, numbers and dates are none, also where they follow "key" or "password"."""
    found: list[Finding] = []
    spans = [(kind, match.span()) for kind, form in _KNOWN.items() for match in form.finditer(text)]
    spans += [_called(match) for match in _CALLED.finditer(text) if _is_random(match)]
    end = 0
    for kind, (start, stop) in sorted(spans, key=lambda span: (span[1][0], -span[1][1])):
        if start >= end:
            found.append(Finding(kind, kind, start, stop, f"[{kind}]"))
            end = stop
    return found


def ends_in_name(text: str) -> bool:
    """Whether a text ends where something is called a secret, so that the secret may stand on the next line."""
    return bool(_NAMED_LAST.search(text, max(0, len(text) - _LONGEST_CALL)))


def _called(match: re.Match[str]) -> tuple[str, tuple[int, int]]:
    start = match.start("value")
    return ("password" if match["password"] else "key or token"), (start, start + len(match["value"].rstrip(".!?:")))


def _is_random(match: re.Match[str]) -> bool:
    value = match["value"].rstrip(".!?:")
    if _NAMES.search(value):
        return False
    classes = sum(bool(re.search(letters, value)) for letters in ("[a-z]", "[A-Z]", r"\d", r"[^\w\s]"))
    if match["password"]:
        return len(value) >= 8 and classes >= 2 and bool(re.search(r"\d", value)) and not re.fullmatch(r"[\d./:-]+", value)
    return len(value) >= 16 and classes >= 2 and bool(re.search(r"\d", value)) and entropy(value) >= _MIN_BITS


def entropy(text: str) -> float:
    """Bits per character (Shannon 1948), over the characters of the text itself."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
