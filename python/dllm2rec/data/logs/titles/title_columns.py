"""Which columns of a file of titles hold the ids and the titles, and how such a file is written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dllm2rec.caller import in_words_of_caller
from dllm2rec.data.logs.delimited import check_delimiter
from dllm2rec.data.logs.log_form import Quotes, check_quotes
from dllm2rec.data.text.parquet_text import column_names
from dllm2rec.data.text.text_form import TextForm
from dllm2rec.errors import ConfigError, InputError

# Names that tell what a column holds, written in any case and with any punctuation.
_ID_NAMES = (
    *("itemid", "movieid", "parentasin", "asin", "item", "businessid", "bookid", "articleid"),
    *("productid", "isbn", "appid", "gameid", "videoid", "newsid", "trackid", "songid"),
    *("artistid", "beerid", "poiid", "venueid", "id"),
)
TITLE_NAMES = (
    *("title", "itemtitle", "movietitle", "booktitle", "originaltitle", "name", "itemname"),
    *("productname", "productdisplayname", "prodname", "appname", "trackname", "artistname"),
    *("businessname", "gamename", "beername", "videotitle", "caption"),
)
DELIMITERS = ",\t;|"


@dataclass(frozen=True)
class TitlesForm:
    """How a file of titles is written, where it does not say so itself.

    Attributes:
        id_column: name of the column of item ids; None: the log's item column, or a usual name.
        title_column: name of the column of titles; None: a usual name.
        delimiter: what stands between columns; None: what its ending or first line says.
        encoding: any encoding of text that Python knows.
        quotes: as in `LogForm`; `auto` refuses a tab-separated file with a quoted line end.
        header: whether the first line names the columns; if not, they are named by number, "1" the
            first.
    """

    id_column: str | None = None
    title_column: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    quotes: Quotes = "auto"
    header: bool = True

    def __post_init__(self) -> None:
        TextForm(self.encoding)  # refuses an encoding that there is not
        check_quotes(self.quotes)
        if self.delimiter is not None:
            check_delimiter(self.delimiter)
        for name in (self.id_column, self.title_column):
            if not self.header and (name is None or not re.fullmatch("[1-9][0-9]{0,5}", name)):
                such = "--titles-no-header --titles-id-column 1 --titles-title-column 2"
                raise ConfigError(
                    "titles without a header, expected columns by number from 1, such as "
                    + in_words_of_caller(such)
                )

    @property
    def text(self) -> TextForm:
        """How the bytes are meant."""
        return TextForm(self.encoding, backslashes=self.quotes == "backslash")


def bare(name: str) -> str:
    """Return a name without case, spaces and punctuation."""
    return re.sub(r"[\W_]", "", name).lower()


def title_columns(
    path: Path, names: Sequence[str], form: TitlesForm, item_column: str | None
) -> tuple[str, str]:
    """Return the names of the columns that hold ids and titles.

    Raises:
        InputError: there is none, or more than one that could be meant.
    """
    item = () if item_column is None else (item_column,)
    return (
        _column(path, names, form.id_column, (*item, *_ID_NAMES), "id"),
        _column(path, names, form.title_column, TITLE_NAMES, "title"),
    )


def find_column(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the columns that the first of the wanted names with any stands for."""
    bare_names = [bare(name) for name in names]
    for name in wanted:
        if name in names:
            return [other for other in names if other == name]
        if (meant := bare(name)) in bare_names:
            pairs = zip(names, bare_names, strict=True)
            return [other for other, bare_name in pairs if bare_name == meant]
    return []


def id_names(item_column: str | None) -> tuple[str, ...]:
    """Return the names that columns of ids have, the log's own first."""
    return _ID_NAMES if item_column is None else (item_column, *_ID_NAMES)


def has_titles(names: Sequence[str]) -> bool:
    """Whether columns of these names hold ids and titles."""
    return bool(find_column(names, _ID_NAMES)) and bool(find_column(names, TITLE_NAMES))


def _column(
    path: Path, names: Sequence[str], asked: str | None, usual: Sequence[str], role: str
) -> str:
    shown = ", ".join(names)[:120]
    if asked is None:
        found = find_column(names, usual)
    else:
        found = [name for name in names if name == asked]
    if len(column_names(path, found, line=1)) == 1:
        return found[0]
    option = f"--titles-{role}-column"
    if found:
        message = f"columns {', '.join(found)[:120]} may all hold the {role}s, expected one"
        hint = f"name it with {option}"
    elif asked is not None:
        message = f"no column {asked!r} for the {role}s among {shown!r}"
        near = difflib.get_close_matches(asked, names[:1000], n=1)
        hint = f"{option} {near[0]!r} is near" if near else f"name it with {option}"
    else:
        message = f"no column for the {role}s among {shown!r}"
        hint = f"name it with {option}"
        other = next((d for d in DELIMITERS if len(names) == 1 and d in names[0]), None)
        if other is not None:
            hint = f"give --titles-delimiter {other!r}"
    raise InputError(message, code="E-HEADER", path=path, line=1, hint=hint)
