"""How a delimited table is written: separator, quotation marks, comments, missing cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# Fields between blanks, of which one may be in quotation marks; fields between blanks or commas.
_WORDS = re.compile(r'"([^"]*)"|(\S+)')
_BETWEEN = re.compile(r"\s*,\s*|\s+")
_EMPTY_FIELD = re.compile(r",\s*(,|$)|^\s*,")
_SEPARATORS = (",", "\t", ";")
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes
    ----------
    sep : str or None
        The character between fields; None for blanks and tabs, any number of them.
    missing : set of str
        Words for a missing cell; an empty cell is missing in any dialect.
    comment : str
        Sign at the start of lines that are left out; empty if there is none.
    comments_below : bool
        Whether the sign starts a comment below the header too, where names may start with it.
    quotes : bool
        Whether fields may stand in quotation marks.
    commas : bool
        Whether a comma stands between fields as blanks do, where `sep` is None.
    decimal : str
        The decimal sign of numbers, a point or a comma.
    """

    sep: str | None = ","
    missing: frozenset[str] = frozenset({"NA"})
    comment: str = "#"
    comments_below: bool = True
    quotes: bool = True
    commas: bool = False
    decimal: str = "."

    def text(self, cell: str) -> str:
        """Give a cell without blanks around it, empty if it is missing."""
        cell = cell.strip()
        return "" if cell in self.missing else cell

    def texts(self, cells: Iterable[str]) -> list[str]:
        """Give each cell as `text` does."""
        missing = self.missing
        return ["" if (bare := cell.strip()) in missing else bare for cell in cells]

    def split(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Split lines into records: lists of fields, those of empty lines empty."""
        if self.sep is None:
            return map(self._between_blanks, lines)
        if self.quotes:
            return csv.reader(lines, delimiter=self.sep)
        return csv.reader(lines, delimiter=self.sep, quoting=csv.QUOTE_NONE)

    def _between_blanks(self, line: str) -> list[str]:
        if self.commas:
            if _EMPTY_FIELD.search(line):
                return _BETWEEN.split(line.strip())
            return line.replace(",", " ").split()
        if self.quotes and '"' in line:
            return [quoted or plain for quoted, plain in _WORDS.findall(line)]
        return line.split()


def blanks(missing: frozenset[str], *, commas: bool = False) -> Dialect:
    """Fields between blanks, as PLINK and BIMBAM write them: no quotation marks, no comments."""
    return Dialect(None, missing, comment="", quotes=False, commas=commas)


def separator(lines: Sequence[str]) -> str | None:
    """Give the most frequent of comma, tab and semicolon in the first line that has any.

    None means blanks: where no line has any of the three, but blanks between words. Separators in
    quotation marks do not count.
    """
    bare = [_QUOTED.sub("x", line) for line in lines]
    for line in bare:
        counts = {sep: line.count(sep) for sep in _SEPARATORS}
        best = max(counts, key=counts.__getitem__)
        if counts[best]:
            return best
    return None if any(len(line.split()) > 1 for line in bare) else ","
