"""Numbers and lists of names, formatted for messages and reports."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import PurePath

# Words for a missing cell in tables without a format that defines them.
MISSING = frozenset({"NA", "NaN", "nan", "N/A", "n/a", "NULL", "null", "-", "."})

# 5,000,000: commas between groups of three digits.
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")

# pathlib makes s3:/ of s3://.
_ONE_SLASH = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]+:)/(?!/)")

_LONGEST, _HEAD, _TAIL = 2000, 1200, 600  # characters of a message


def without_commas(cell: str) -> str:
    """Leave the commas between thousands out of a number: 5,000,000; all other text stays."""
    return cell.replace(",", "") if _THOUSANDS.fullmatch(cell) else cell


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: 1 trait, 5,806 traits."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def quantity(number: float) -> str:
    """Format a large number in thousands, millions or billions: 31.2 million."""
    for size, word in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if number >= size:
            return f"{number / size:.3g}{word}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """Format seconds as 0:07, 12:34 or 1:23:45."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def storage(count: int) -> str:
    """Format a number of bytes in the largest decimal unit below it: 812 MB."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"


def position_text(position: float, unit: str) -> str:
    """Format a position: whole base pairs, two decimals of Mb or cM, empty if unknown."""
    if not math.isfinite(position):
        return ""
    return f"{position:,.0f}" if unit == "bp" else f"{position:.2f}"


def printable(text: str, *, lines: bool = False) -> str:
    r"""Write control characters as escapes such as \x1b: a name must not steer the terminal.

    `lines` keeps line ends and tabs. Characters that are invisible or turn the direction of
    writing are escaped too.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        one if one.isprintable() or one in kept else one.encode("unicode_escape").decode()
        for one in text
    )


def named(path: object) -> str:
    """Give a path for a message: as it is, in quotation marks if it holds blanks.

    ./ stands before one that begins with a dash, so that a command that is proposed takes it.
    """
    text = str(path)
    if text.startswith("-") and len(text) > 1:
        text = f"./{text}"
    if isinstance(path, PurePath):
        text = _ONE_SLASH.sub(r"\1//", text)
    name = printable(text)
    return f"'{name}'" if not name or any(map(str.isspace, name)) else name


def message(words: object) -> str:
    """Give the text of an error or a warning: printable, and without the middle if it is long."""
    text = printable(str(words), lines=True)
    return text if len(text) <= _LONGEST else f"{text[:_HEAD]} ... {text[-_TAIL:]}"


def listing(names: Iterable[object], limit: int = 5) -> str:
    """Join the first names, quoted and separated by commas, with dots if there are more."""
    shown = [str(name) for name in names]
    text = ", ".join(repr(name) for name in shown[:limit])
    return text + (", ..." if len(shown) > limit else "")
