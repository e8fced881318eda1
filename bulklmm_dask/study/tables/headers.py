"""Headers of tables: told from rows of data and from comments, and searched for a name."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from bulklmm_dask.study.tables.numbers import as_number

# Names of a column of names, as letters only; a first line that starts with one is a header.
_CORNER = re.compile(
    r"accession|animals?|chr|chrom|chromosome|contig|covariates?|family|features?|fid|genes?"
    r"|genotypes?|i?id|ind|index|individuals?|labels?|lines?|locus|markers?|mouse|mice|names?"
    r"|persons?|phenotypes?|pid|probes?|rows?|rownames?|rs|rsid|samples?|snps?|strains?|subjects?"
    r"|taxa|traits?|transcripts?|unnamed|variants?|x"
)
_ENDINGS = re.compile(r"(^|[^a-zA-Z]|[a-z](?=I))(id|ids|name|names)$", re.IGNORECASE)
_CELLS = 200_000  # of the first rows that a header is compared with
_ROWS = 1000


def is_corner(name: str) -> bool:
    """Tell whether a cell is a usual name of a column of names, such as id; empty is one too."""
    name = name.strip().lstrip("#")
    return not name or bool(_CORNER.fullmatch(letters(name)) or _ENDINGS.search(name))


def is_marked_header(marked: Sequence[str], below: Sequence[str]) -> bool:
    """Tell a header that starts with the sign of comments, such as #IID, from a comment.

    `marked` are the fields of the last line that starts with the sign, without it, and `below`
    those of the next line. A header has no blank after the sign and as many fields as the rows.
    """
    if not marked or not marked[0] or marked[0][0] in " \t#" or len(below) < 2:
        return False
    if len(below) - len(marked) not in (0, 1):
        return False
    return is_corner(marked[0]) or not is_corner(below[0])


def rows_to_compare(columns: int) -> int:
    """Give how many of the first rows `looks_like_data` should be shown."""
    return max(5, min(_ROWS, _CELLS // max(columns, 1)))


def looks_like_data(
    columns: Sequence[str], rows: Sequence[Sequence[str]], missing: Collection[str]
) -> list[str]:
    """Give the cells of a first line that show that it is no header; empty if it may be one.

    It is none if every cell but the first is missing, a number, or a text that occurs below it, and
    most of the numbers have decimals or the size of those below them. A first cell that is a usual
    name of a column of names, such as id, makes it a header.

    Parameters
    ----------
    columns : sequence of str
        The cells of the first line.
    rows : sequence of sequence of str
        The first of the rows below it.
    missing : collection of str
        Words for a missing cell.
    """
    corner, *names = columns
    if is_corner(corner):
        return []
    found, outside = [], 0
    for at, name in enumerate(names, start=1):
        if not name or name in missing:
            continue
        cells = (row[at].strip() for row in rows if at < len(row))
        below = {cell for cell in cells if cell and cell not in missing}
        number = as_number(name)
        if name in below or (number is not None and _may_be_among(name, number, below)):
            found.append(name)
        elif number is None:
            return []
        else:
            outside += 1
    return found if len(found) > outside else []


def _may_be_among(name: str, number: float, below: Collection[str]) -> bool:
    """Tell whether a number could be one more of the numbers below it."""
    if "." in name:
        return True
    numbers = [found for cell in below if (found := as_number(cell)) is not None]
    if len(numbers) < len(below) or not numbers:
        return False
    low, high = min(numbers), max(numbers)
    width = max(high - low, abs(low), abs(high), 2.0)  # 2: genotypes
    return low - width <= number <= high + width


def used_fields(fields: Sequence[str]) -> int:
    """Give the number of fields up to the last that is not empty."""
    return max((at for at, cell in enumerate(fields, start=1) if cell.strip()), default=0)


def find_column(columns: Collection[str], names: Sequence[str]) -> str | None:
    """Find the first of `names` among the columns; case and punctuation are ignored."""
    plain = {letters(column): column for column in columns}
    return next((plain[name] for name in names if name in plain), None)


def letters(name: str) -> str:
    """Give the letters of a name, small: names are compared by these."""
    return re.sub(r"[^a-z]", "", name.lower())


def numbered(count: int, what: str) -> list[str]:
    """Name columns that have no header: `what` with a number, or alone where there is only one."""
    return [what] if count == 1 else [f"{what}{i + 1}" for i in range(count)]
