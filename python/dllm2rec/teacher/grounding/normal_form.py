"""One spelling for a title, whoever wrote it: what two spellings of one title have in common."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_ARTICLES = frozenset(
    [
        "the",
        "a",
        "an",
        "le",
        "la",
        "les",
        "l'",
        "un",
        "une",
        "el",
        "los",
        "las",
        "il",
        "lo",
        "gli",
        "der",
        "die",
        "das",
        "ein",
        "eine",
        "de",
        "het",
    ]
)
# Years stand in brackets; a bare number at the end may be part of the title.
_YEAR = re.compile(r"[(\[]\s*((?:1[5-9]|20)\d\d)\s*(?:[-\u2013/]\s*(?:\d{4}|\d\d)?\s*)?[)\]]")
_BRACKETS = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_KNOWN_AS = re.compile(r"^a\.?\s?k\.?\s?a\.?:?\s+", re.IGNORECASE)
_END_ARTICLE = re.compile(r"^(.*\S)\s*,\s*([^\W\d_]{1,4}'?)$")
_NUMBERING = re.compile(r"^\s*(?:(?:#?\d{1,3}|[a-z])\s?[.):]\s+|[-*\u2022\u2013]\s+|#\d{1,3}\s+)")
_STARS = re.compile(
    r"[\s,:(\[\-\u2013]*(?:\d{1,2}(?:[.,]\d)?\s?/\s?(?:5|10|100)(?:\s?stars?)?"
    r"|\d(?:[.,]\d)?\s?stars?|[\u2605\u2606\u2b50]+)[)\]\s.]*$"
)
_QUOTES = "\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb*_"
_LETTERS = str.maketrans(
    {"\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u00f0": "d", "\u0131": "i"}
    | {"\u00e6": "ae", "\u0153": "oe", "\u00fe": "th"}
)
_ROMAN = ["ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii"]
_WORDS = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
]
_NUMBERS = {
    **{text: str(n) for n, text in enumerate(_WORDS, 2)},
    **{text: str(n) for n, text in enumerate(_ROMAN, 2)},
}
_COUNTED = frozenset(["part", "vol", "volume", "chapter", "episode", "book", "no", "number", "pt"])
N_FORMS = 4


@dataclass(frozen=True)
class NormalTitle:
    """A title taken apart.

    Attributes:
        forms: its name in `N_FORMS` spellings, each equal for more titles than the one before:
            case, accents, signs and the place of an article aside; without a leading article;
            without blanks; with numbers as digits.
        whole: the first spelling of all of it, brackets included.
        others: the first spelling of the names in brackets, and of the name with each.
        main: what stands before a colon or dash, without a leading article; "" without one.
        numbers: the numbers in it, sorted.
        year: the year in brackets, or None.
    """

    forms: tuple[str, ...]
    whole: str
    others: tuple[str, ...]
    main: str
    numbers: tuple[str, ...]
    year: int | None


def normal_title(title: str) -> NormalTitle:
    """Take a title apart; equal names in other spellings have a form in common."""
    text = _folded(title)
    years, dated = _YEAR.findall(text), text
    text = _YEAR.sub(" ", text).strip(" ,") or dated
    others = [_KNOWN_AS.sub("", inside).strip() for inside in _BRACKETS.findall(text)]
    base = " ".join(_BRACKETS.sub(" ", text).split()).strip(" ,")
    spelt = _spelt(base) or _spelt(text) or "".join(text.split())
    bare = without_article(spelt)
    counted = _with_digits(bare)
    before = re.split(r":\s|\s[-\u2013\u2014]\s", base, maxsplit=1)
    return NormalTitle(
        forms=(spelt, bare, bare.replace(" ", ""), counted.replace(" ", "")),
        whole=_spelt(text) or spelt,
        others=tuple(filter(None, map(_spelt, others))),
        main=without_article(_spelt(before[0])) if len(before) > 1 else "",
        numbers=tuple(sorted(re.findall(r"\d+", counted))),
        year=int(years[-1]) if years else None,
    )


def cleaned(answer: str) -> str:
    """A title without what a model writes around it: numbering, quotes, ratings, line ends."""
    text = " ".join(answer.split())
    for _ in range(3):  # a rating may stand inside the quotes, or outside
        before = text
        text = _STARS.sub("", _NUMBERING.sub("", text)).strip()
        text = _without_quotes(text).strip().rstrip(";,")
        if text == before:
            break
    return text or " ".join(answer.split())


def without_author(answer: str) -> str | None:
    """A title without ` by Somebody` behind it, or None where there is no such thing."""
    found = re.match(r"(.+\S)\s+by\s+[^\W\d_]\S*(?:\s+\S+){0,5}$", answer)
    return found[1] if found else None


def without_article(spelt: str) -> str:
    """A spelling without its leading article, written once or twice; one that is all stays."""
    first, _, rest = spelt.partition(" ")
    if first not in _ARTICLES or not rest:
        return spelt
    return rest.removeprefix(f"{first} ")  # models write "The The Revenant"


def _folded(title: str) -> str:
    """Without case, accents of Latin and Greek letters, and kinds of apostrophes and spaces."""
    text = unicodedata.normalize("NFKD", title.replace("\u2019", "'").replace("\u2018", "'"))
    text = "".join(letter for letter in text if not "\u0300" <= letter <= "\u036f")
    return unicodedata.normalize("NFC", text).casefold().translate(_LETTERS)


def _spelt(text: str) -> str:
    """Words with single blanks; an article at the end goes to the front."""
    end = _END_ARTICLE.match(text)
    if end and end[2] in _ARTICLES:
        text = end[1]
        if text.partition(" ")[0] not in _ARTICLES:
            text = f"{end[2]} {text}"
    text = text.replace("&", " and ").replace("'", "").replace("`", "")
    text = re.sub(r"(?<=\b[^\W\d_])\.(?=[^\W\d_]\b)", "", text)  # initials: E.T., R.E.M.
    return " ".join("".join(c if c.isalnum() or _is_mark(c) else " " for c in text).split())


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")


def _with_digits(spelt: str) -> str:
    """Numbers in words or Roman ones as digits, without "part", "volume" and the like before."""
    tokens = spelt.split()
    kept: list[str] = []
    for place, token in enumerate(tokens):
        after = tokens[place + 1] if place + 1 < len(tokens) else ""
        if token in _COUNTED and (after in _NUMBERS or after.isdigit() or after in ("i", "one")):
            continue
        before = tokens[place - 1] if place else ""
        if token in ("i", "one") and before in _COUNTED:
            kept.append("1")
        elif token in ("v", "x") and before not in _COUNTED and after:
            kept.append(token)  # a letter in the middle, as in "Malcolm X again"
        else:
            kept.append(_NUMBERS.get(token, token) if place else token)
    return " ".join(kept)


def _without_quotes(text: str) -> str:
    if len(text) > 1 and text[0] in _QUOTES:
        inner = text.strip(_QUOTES)
        # A quote before the year in brackets: "Alien" (1979).
        return re.sub(rf"[{re.escape(_QUOTES)}]+(\s*[(\[])", r"\1", inner)
    return text.rstrip('"`\u201d*_')
