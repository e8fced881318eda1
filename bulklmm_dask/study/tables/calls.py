"""Genotype calls as small codes."""

from __future__ import annotations

from bulklmm_dask.errors import InputError
from bulklmm_dask.text import listing

_MOST = 100  # more different calls than this are no genotype calls


class Calls(dict[str, int]):
    """Codes of genotype calls, numbered in the order in which calls occur."""

    def __missing__(self, call: str) -> int:
        """Give a new call the next code."""
        if len(self) >= _MOST:
            raise InputError(
                f"the genotypes hold more than {_MOST} different calls, such as "
                f"{listing(self)}; is this the genotype table, and is the separator right?"
            )
        return self.setdefault(call, len(self))
