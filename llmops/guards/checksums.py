"""Check digits, by which a number of a kind is told from any other number. Each takes digits (and letters) without gaps."""

from collections.abc import Iterable

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25,
    24, 23,
), strict=True))  # fmt: skip


def _weighted(digits: str, weights: Iterable[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def is_luhn(digits: str) -> bool:
    """Payment cards: ISO/IEC 7812-1, annex B."""
    doubled = (int(digit) * (1 + i % 2) for i, digit in enumerate(reversed(digits)))
    return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """ISO 13616: the country and check digits moved to the end, letters as 10 to 35, modulo 97."""
    return 15 <= len(text) <= 34 and int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


def is_spanish_id(text: str) -> bool:
    """DNI and NIE: the letter is the number modulo 23; X, Y and Z of a NIE stand for 0, 1 and 2."""
    return _DNI[int(text[0].translate(str.maketrans("XYZ", "012")) + text[1:-1]) % 23] == text[-1]


def is_dutch_id(digits: str) -> bool:
    """BSN: the "eleven test" with weights 9 to 2 and -1."""
    return int(digits) > 0 and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def is_german_tax_id(digits: str) -> bool:
    """Steuer-ID: ISO/IEC 7064, MOD 11,10; of the first ten digits exactly one occurs two or three times."""
    counts = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if digits[0] == "0" or counts[-1] not in (2, 3) or counts[-2] != 1:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_french_id(digits: str) -> bool:
    """NIR, 15 digits: the last two are 97 less the others modulo 97; Corsican letters are left out."""
    return 97 - int(digits[:13]) % 97 == int(digits[13:])


def is_italian_id(text: str) -> bool:
    """Codice fiscale: the last letter is a sum over the others, weighted by their place, modulo 26 (D.M. 23/12/1976)."""
    even = sum(int(letter, 36) - 10 * letter.isalpha() for letter in text[1:15:2])
    return chr(ord("A") + (even + sum(_ODD[letter] for letter in text[0:15:2])) % 26) == text[15]


def is_polish_id(digits: str) -> bool:
    """PESEL: weights 1, 3, 7, 9 in turn, modulo 10; the middle digits are a month and a day."""
    month, day = int(digits[2:4]) % 20, int(digits[4:6])
    return 1 <= month <= 12 and 1 <= day <= 31 and _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def is_brazilian_id(digits: str) -> bool:
    """CPF: two check digits, each ten times a weighted sum modulo 11."""
    first = _weighted(digits[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted(digits[:10], range(11, 1, -1)) * 10 % 11 % 10
    return len(set(digits)) > 1 and digits[9:] == f"{first}{second}"


def is_portuguese_id(digits: str) -> bool:
    """NIF: weights 9 to 2, modulo 11."""
    rest = _weighted(digits[:8], range(9, 1, -1)) % 11
    return int(digits[8]) == (0 if rest < 2 else 11 - rest)
