"""Which names of a table are samples: told by names known from elsewhere, never by its shape."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted, listing


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


def say_others(others: Sequence[str], of: int, label: str) -> None:
    """Say which of the `of` columns of a table, whose columns are samples, have no genotypes."""
    if others:
        say(
            f"{label}: {counted(len(others), 'column')} of {of} named no sample with genotypes and "
            f"are left out: {listing(others)}"
        )
