"""Shares of a run: several processes write into one store, each a part of its traits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bulklmm_dask.errors import OptionError
from bulklmm_dask.surface import option

# What users give: a text, or two numbers.
ShareLike = str | Sequence[int]


@dataclass(frozen=True)
class Share:
    """One of several equal parts of a run.

    Attributes
    ----------
    number : int
        Which one, from 1 on.
    count : int
        Number of the parts.
    """

    number: int
    count: int

    @classmethod
    def of(cls, given: ShareLike) -> Self:
        """Read ``"3/10"`` or ``(3, 10)``; OptionError for what is no share.

        >>> Share.of("3/10") == Share.of((3, 10)) == Share(3, 10)
        True
        """
        text = given if isinstance(given, str) else "/".join(map(str, given))
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise OptionError(
                f"{option('share')} is {given!r}; it should be a number and how many there are, "
                "from 1/10 to 10/10 for the tasks of an array of ten"
            )
        return cls(number, count)

    def part(self, size: int) -> slice:
        """Its part of so many things, in order: those of all shares follow each other.

        >>> [Share(k, 3).part(7) for k in (1, 2, 3)]
        [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
        """
        return slice((self.number - 1) * size // self.count, self.number * size // self.count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
