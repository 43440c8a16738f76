"""What secrets look like in a line: ready kinds, and the replacing of what they find.

All of it works on UTF-8. The ready patterns never match across SEPARATOR, so that a whole column of texts is looked
through at once. re2 finds candidates in linear time; what a pattern can't say (a check digit, a valid address) is asked
of each candidate. In doubt a candidate is hidden.
"""

import re
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shipper.rules.regex import pattern

SEPARATOR = b"\x1e"
Span = tuple[int, int]
Spans = Callable[[bytes, Any], Iterable[Span]]
"""Which bytes of the data (first) are to be hidden, of a match (second) in it."""

_DOUBLED = bytes((2 * digit - 9 if digit > 4 else 2 * digit) for digit in range(10))
_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
_SECOND = bytes.maketrans(b"0123456789", _DOUBLED)
_DIGITS = re.compile(rb"[0-9]+")
_WORD_BEFORE = re.compile(rb"[0-9A-Za-z]*\Z")
_WORD_AFTER = re.compile(rb"[0-9A-Za-z]*")
_FIRST_GROUP = frozenset((4, 5, 6, *range(13, 20)))
_HEX = frozenset(b"0123456789abcdefABCDEF")


@dataclass(frozen=True)
class Search:
    """`needle` is in all that the regex matches (b"": nothing is), and much quicker to look for."""

    regex: Any
    spans: Spans
    needle: bytes = b""


@dataclass(frozen=True)
class Kind:
    """One kind of secret: the word that takes its place, and how it is found."""

    name: str
    word: bytes
    searches: tuple[Search, ...]


def replaced(data: bytes, kind: Kind, spend: Callable[[], None] | None = None) -> tuple[bytes, int]:
    """The data without secrets of this kind, and how many there were. `spend` is called at each match; it may raise."""
    total = 0
    for search in kind.searches:
        if search.needle in data:
            data, count = _replaced(data, search, kind.word, spend)
            total += count
    return data, total


def _replaced(data: bytes, search: Search, word: bytes, spend: Callable[[], None] | None) -> tuple[bytes, int]:
    parts: list[bytes] = []
    done = 0
    for match in search.regex.finditer(data):
        if spend:
            spend()
        for start, end in search.spans(data, match):
            if done <= start < end and not _is_word(data, start, end, word):
                parts += (data[done:start], word)
                done = end
    return (b"".join([*parts, data[done:]]), len(parts) // 2) if parts else (data, 0)


def _is_word(data: bytes, start: int, end: int, word: bytes) -> bool:
    """Whether this was hidden before, and is the word with or without its brackets."""
    before = max(0, start - 1)
    return word in (data[start:end], data[before : end + 1], data[start : end + 1], data[before:end])


def whole(data: bytes, match: Any) -> Iterable[Span]:
    return (match.span(),)


def groups(data: bytes, match: Any) -> Iterable[Span]:
    """All groups that took part, in the order of their places; the whole match where none did."""
    spans = [match.span(index + 1) for index in range(len(match.groups())) if match.start(index + 1) >= 0]
    return sorted(spans) or whole(data, match)


def named(indexes: Collection[int]) -> Spans:
    """As `groups`, of these alone."""

    def spans(data: bytes, match: Any) -> Iterable[Span]:
        return sorted(match.span(index) for index in indexes if match.start(index) >= 0) or whole(data, match)

    return spans


def luhn(digits: bytes) -> bool:
    """Whether the last of these ASCII digits is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    return not (sum(digits[::-2].translate(_VALUES)) + sum(digits[-2::-2].translate(_SECOND))) % 10


def cards(data: bytes, match: Any) -> Iterable[Span]:
    """Card numbers in a run of digits: 13 to 19 together with Luhn's check digit, in whole groups; the first has 4 to
    6 digits, and only the last may have fewer than 3. One that begins with 0 or 1 has to begin with a group of 4: no
    bank's begins so, and stamps in milli-, micro- or nanoseconds do."""
    found = [each.span() for each in _DIGITS.finditer(data, *match.span())]
    index = 0
    while index < len(found):
        last = _card(data, found, index)
        if last >= 0 and _alone(data, found[index][0], found[last][1]):
            yield found[index][0], found[last][1]
            index = last
        index += 1


def _card(data: bytes, found: Sequence[Span], index: int) -> int:
    """The last group of the longest card number that begins with this group; -1 where none does."""
    best, digits = -1, b""
    first = found[index][1] - found[index][0]
    if first not in _FIRST_GROUP or (data[found[index][0]] in b"01" and first != 4):
        return best
    for number in range(index, min(index + 7, len(found))):
        start, end = found[number]
        if len(digits) + end - start > 19:
            break
        digits += data[start:end]
        if len(digits) >= 13 and luhn(digits):
            best = number
        if end - start < 3 or first >= 13:
            break
    return best


def _alone(data: bytes, start: int, end: int) -> bool:
    """Not part of a hash or UUID (among hexadecimal digits), nor the fraction of a number."""
    if data[start - 1 : start] == b"." and data[max(0, start - 2) : start - 1].isdigit():
        return False
    before, after = _WORD_BEFORE.search(data[max(0, start - 32) : start]), _WORD_AFTER.match(data, end, end + 32)
    around = (before.group() if before else b"") + (after.group() if after else b"")
    return not around or not _HEX.issuperset(around)


def v4(data: bytes, match: Any) -> Iterable[Span]:
    start, end = match.span()
    parts = data[start:end].split(b".", 5)
    around = data[max(0, start - 1) : start] + data[end : end + 1]
    if len(parts) == 4 and all(int(part) < 256 for part in parts) and not _DIGITS.search(around):
        yield start, end


def v6(data: bytes, match: Any) -> Iterable[Span]:
    start, end = match.span()
    if data[start : start + 1] == b":" != data[start + 1 : start + 2]:  # ip:2001:db8::1
        start += 1
    text = data[start:end]
    if len(text) > 64 or data[start - 1 : start].isalnum() or data[end : end + 1].isalpha():
        return
    text = text.rstrip(b".")
    text = text[:-1] if text.endswith(b":") and not text.endswith(b"::") else text
    for skip in (0, text.find(b":") + 1):  # add:2001:db8::1
        if _is_v6(text[skip:]):
            yield start + skip, start + len(text)
            return


def _is_v6(text: bytes) -> bool:
    if not _DIGITS.search(text):  # :: and what programs write so, such as a::b
        return False
    try:
        socket.inet_pton(socket.AF_INET6, text.decode())
    except OSError:
        return False
    return True


def _likely(data: bytes, match: Any) -> Iterable[Span]:
    """What follows the word is a token, and no word of a sentence."""
    start, end = match.span(1)
    if end - start >= 20 or _DIGITS.search(data, start, end):
        yield start, end


_IN_URL = r"""[^\s/?#"<>\x00-\x1f]"""
_TOKEN = r"[A-Za-z0-9._~+/-]{8,}=*"
_URL = pattern(rf"[A-Za-z][A-Za-z0-9+.-]{{0,31}}://{_IN_URL.replace('#', '#:')}*:({_IN_URL}+)@")
_AUTHORIZATION = pattern(
    r"(?i)authorization[^\w\x1e]{1,8}(?:(?:digest|hawk|oauth|signature|aws4-hmac-sha256)\s+([^\r\n\x1e]+)"
    r"""|(?:bearer|basic|token|negotiate|ntlm|apikey)\s+([^\s"',;\])}\x1e]+))"""
)
_HEADER = pattern(rf"""(?i)authorization["']?\s*[:=]\s*["']?({_TOKEN})""")
_BEARER = pattern(rf"(?i)\bbearer\s+({_TOKEN})")
_JWT = pattern(r"eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){2,4}")
_ACCESS_TOKEN = pattern(r"""[?&;]access_token=([^\s&"'#<>\x1e]+)""")
_AWS_ID = pattern(r"\b(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AIPA|ANPA|ANVA|AROA)[A-Z0-9]{16}\b")
_AWS_SECRET = pattern(
    r"(?i)(?:secret_?access_?key|aws[_.]?secret[_.]?(?:access[_.]?)?key|aws[_.]?secret)"
    r"""["']?\s*[:=]\s*["']?([A-Za-z0-9/+]{40})"""
)
_AWS_SESSION = pattern(r"""(?i)(?:session_?token|x-amz-security-token)["']?\s*[:=]\s*["']?([A-Za-z0-9/+=%]{16,})""")
_EMAIL = r"[\pL\pN._%+'-]+{at}(?:[\pL\pN](?:[\pL\pN-]*)\.)+\pL(?:[\pL\pN-]*[\pL\pN])"
_V4 = pattern(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3,}")
_V6 = pattern(r"[0-9A-Fa-f:]*(?:::|(?::[0-9A-Fa-f]{1,4}){7})[0-9A-Fa-f:.]*")
_CARD = pattern(r"[0-9](?:[ \x{a0}\x{2009}\x{202f}\x{2010}-\x{2015}-]?[0-9]){12,}")
"""Between two digits at most one space or dash, of those that typesetting has too."""

READY: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("url-passwords", b"[password]", (Search(_URL, groups, b"://"),)),
        Kind("tokens", b"[token]", (
            Search(_AUTHORIZATION, groups), Search(_HEADER, _likely), Search(_BEARER, _likely),
            Search(_JWT, whole, b"eyJ"), Search(_ACCESS_TOKEN, groups, b"access_token="))),
        Kind("aws-keys", b"[aws-key]", (
            Search(_AWS_ID, whole), Search(_AWS_SECRET, groups), Search(_AWS_SESSION, groups))),
        Kind("emails", b"[email]", (
            Search(pattern(_EMAIL.replace("{at}", "@")), whole, b"@"),
            Search(pattern(_EMAIL.replace("{at}", "%40")), whole, b"%40"))),
        Kind("ips", b"[ip]", (Search(_V6, v6), Search(_V4, v4))),
        Kind("cards", b"[card]", (Search(_CARD, cards),)),
    )
}  # fmt: skip
"""In the order in which they are looked for: what may hold another comes first. AWS' prefixes:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html"""

_ESCAPE = re.compile(rb"\\{1,8}(?:u00([2-7][0-9a-fA-F])|x([2-7][0-9a-fA-F])|([nrtbf])|)")


def unescaped(data: bytes) -> bytes:
    """The text as somebody reads it who undoes the escapes of JSON and of most languages, once or several times nested:
    `\\u0040` is an @, `\\n` ends a line, other backslashes are left out."""
    return _ESCAPE.sub(_character, data)


def _character(match: re.Match[bytes]) -> bytes:
    code = match[1] or match[2]
    if code:
        return bytes([int(code, 16)])
    return b"\n" if match[3] else b""
