"""Which side of a table holds the samples: told by their names, never by the table's shape."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def samples_in_columns(
    rows: Sequence[str], columns: Sequence[str], samples: Collection[str]
) -> bool | None:
    """Tell whether the columns of a table are samples; None if its names do not tell.

    Names such as 1, 2, 3 may occur on both sides; the side with more of them is taken.

    Parameters
    ----------
    rows, columns : sequence of str
        Names of the rows and of the columns, without the corner.
    samples : collection of str
        Names of samples, known from elsewhere: from the genotypes, or from the traits.
    """
    known = set(samples)
    in_rows = sum(name in known for name in rows)
    in_columns = sum(name in known for name in columns)
    return None if in_rows == in_columns else in_columns > in_rows
