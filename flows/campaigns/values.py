"""What a value of a payload may be: cleaned of what no mail can show, and bounded by what one can. Pure."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, EmailStr, Field, StringConstraints

from flows.campaigns.model import normalised

MAX_LIST, MAX_NAME, MAX_TEXT, MAX_PROSE = 20, 100, 200, 2000
MAX_COMPOSED = 4 * MAX_PROSE  # a longer text fits no field, however it is composed
# Between these a time can be shown in any time zone.
FIRST_YEAR, LAST_YEAR = 1970, 2200
_INSTANT = re.compile(r"(\d{4})-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_DAY = len("2025-12-01")
# Neither a user before the host nor an address of digits, and nothing that could end an attribute in HTML.
_WEB = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9](?::\d{1,5})?"
    r"(?:[/?#][\w.~:/?#@!$&()*+,;=%\[\]-]*)?",
    re.IGNORECASE | re.ASCII,
)
# What a mail program would make a link of, wherever it stands; of one letter (`t.co/x`) before a short end alone.
_LINK = re.compile(
    r"https?:|[a-z][a-z0-9+.-]*:[/\\]{2}|\bwww\.|\b\d{1,3}(?:\.\d{1,3}){3}\b"
    r"|(?:\b[\w-]{2,}\.(?:[^\W\d_]{2,}|xn--[\w-]+)|\b[^\W\d_]\.[^\W\d_]{2,3})[/?#:]\S"
)
_BARE_DOMAIN = re.compile(r"(?<=[^\s.])\.(?=[^\W\d_]{2})")
_SPACES = frozenset({"Zs", "Zl", "Zp"})
# Half a character (JSON's "\ud800" alone) is among them: no mail can hold it.
_IGNORED = frozenset("\u034f\u17b4\u17b5")
# Selectors of variants, where they follow nothing that has any.
_SELECTORS = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_STRAY = re.compile(rf"(?<![^\s{_SELECTORS}])[{_SELECTORS}]+")
_INVISIBLE = frozenset({"Cf", "Co", "Cn", "Cs"})
# Unicode counts these as letters and signs, and nothing is seen of them.
_BLANK = frozenset("\t\u115f\u1160\u2800\u3164\uffa0")
# What a browser takes for the dot of a domain.
_DOTS = str.maketrans({"\u3002": ".", "\uff61": "."})
DEEPEST = 5


def _shown(text: str) -> str:
    """Without characters that nothing shows; those that break a line or steer a terminal stay, to be refused."""
    kept = (one for one in text if unicodedata.category(one) not in _INVISIBLE and one not in _IGNORED)
    return _STRAY.sub("", "".join(kept))


def _composed(text: str, form: Literal["NFC", "NFKC"] = "NFC") -> str:
    """A text in one of Unicode's forms; one that will be refused as it is: marks in 62 KB of it take seconds."""
    return unicodedata.normalize(form, text) if len(text) <= MAX_COMPOSED else text


def line(value: Any) -> Any:
    """A text as one line: NFC, single blanks of whatever kind, nothing invisible; anything but a text as it is."""
    if not isinstance(value, str):
        return value
    blanks = "".join(" " if unicodedata.category(one) in _SPACES or one in _BLANK else one for one in value)
    return _composed(re.sub(" +", " ", _shown(blanks)).strip(" "))


def prose(value: Any) -> Any:
    """A text of several lines, without what nothing shows."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(one for one in _shown(text) if one in "\n\t" or unicodedata.category(one) != "Cc")
    return _composed(kept).strip()


def is_empty(value: Any, depth: int = DEEPEST) -> bool:
    """Whether a value says nothing: null, a text of blanks, an object without a key, a list of those."""
    if isinstance(value, list):
        return depth > 0 and all(is_empty(one, depth - 1) for one in value)
    return value is None or value == {} or (isinstance(value, str) and not line(value).strip())


def _without_link(text: str) -> str:
    if _has_link(text):
        raise ValueError("must not carry a link")
    return text


def _has_link(text: str) -> bool:
    return bool(_LINK.search(_lettered(unicodedata.normalize("NFKC", text).translate(_DOTS).casefold())))


def _lettered(text: str) -> str:
    """A text of the same length, with a letter for each sign of other alphabets that a domain may have."""
    return "".join(map(_letter, text))


def _letter(sign: str) -> str:
    kind = unicodedata.category(unicodedata.normalize("NFKC", sign)[0])
    return "a" if not sign.isascii() and (kind[0] in "LM" or kind == "So") else sign


def _of_a_person(value: Any) -> Any:
    """A name in which no mail program finds a domain: `Dr.Anna` as `Dr. Anna`."""
    found = line(value)
    # One that is too long is refused, and not searched before: that takes four times as long in twice the text.
    if not isinstance(found, str) or len(found) > MAX_NAME or _has_link(found):
        return found
    dots = "".join("." if unicodedata.normalize("NFKC", one).translate(_DOTS) == "." else one for one in found)
    ends = {match.end() for match in _BARE_DOMAIN.finditer(_lettered(dots))}
    return "".join(f"{one} " if place in ends else one for place, one in enumerate(dots, 1))


def _instant(text: str) -> str:
    found = _INSTANT.fullmatch(text)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        found = None
    if not found:
        raise ValueError("is not an ISO 8601 date or time, such as 2025-12-01T10:00:00Z")
    if not FIRST_YEAR <= int(found[1]) <= LAST_YEAR:
        raise ValueError(f"is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    return text


def _written(value: Any) -> Any:
    """A date or time as ISO 8601 writes it: `t`, `z` and a blank between day and time are understood."""
    found = line(value)
    return re.sub(r"(?<=\d)[Tt ](?=\d)", "T", found).replace("z", "Z") if isinstance(found, str) else found


def _timed(text: str) -> str:
    if len(text) == _DAY:
        raise ValueError("is a date without a time")
    return text


def _web(text: str) -> str:
    if not _WEB.fullmatch(text):
        raise ValueError("is not the http(s) address of a page")
    return text


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is not a number")  # noqa: TRY004 - a validator's error
    return _composed(line(value), "NFKC") if isinstance(value, str) else value


def _yes(value: bool) -> bool:
    if not value:
        raise ValueError("is not true")
    return value


def _listed(value: Any) -> Any:
    return [one for one in value if not is_empty(one)] if isinstance(value, list) else value


def option(kind: str) -> Any:
    """The type of a field that takes one of some words (`High|Medium|Low`), however they are capitalised."""
    words = {word.casefold(): word for word in kind.split("|")}

    def find(value: Any) -> Any:
        found = line(value)
        return words.get(found.casefold(), found) if isinstance(found, str) else found

    return Annotated[Literal[tuple(kind.split("|"))], BeforeValidator(find)]


def _one_line(limit: int) -> StringConstraints:
    # A control character would end a header or a subject.
    return StringConstraints(min_length=1, max_length=limit, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")


Text = Annotated[str, BeforeValidator(line), _one_line(MAX_TEXT), AfterValidator(_without_link)]
_Plain = Annotated[str, BeforeValidator(line), _one_line(MAX_TEXT)]
_Written = Annotated[str, BeforeValidator(_written), _one_line(MAX_TEXT), AfterValidator(_instant)]
TYPES: dict[str, Any] = {
    "address": Annotated[EmailStr, BeforeValidator(line), Field(max_length=MAX_TEXT), AfterValidator(normalised)],
    "name": Annotated[str, BeforeValidator(_of_a_person), _one_line(MAX_NAME), AfterValidator(_without_link)],
    "text": Text,
    "prose": Annotated[str, BeforeValidator(prose), StringConstraints(min_length=1, max_length=MAX_PROSE)],
    "texts": Annotated[list[Text], BeforeValidator(_listed), Field(min_length=1, max_length=MAX_LIST)],
    "link": Annotated[_Plain, AfterValidator(_web)],
    "instant": Annotated[_Written, AfterValidator(_timed)],
    "date": _Written,
    "percent": Annotated[float, BeforeValidator(_number), Field(ge=0, le=100, allow_inf_nan=False)],
    "systems": Annotated[int, BeforeValidator(_number), Field(ge=0, le=8)],
    "amount": Annotated[float, BeforeValidator(_number), Field(ge=0, le=1e9, allow_inf_nan=False)],
    "flag": Annotated[bool, BeforeValidator(line)],
    "true": Annotated[bool, BeforeValidator(line), AfterValidator(_yes)],
}
