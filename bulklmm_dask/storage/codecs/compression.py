"""How the arrays of a store are compressed; every chunk ends with its checksum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from bulklmm_dask.typing import CompressionName

# Codecs of Zarr are imported where something is written: other calls need not wait for them.


@cache
def small_codecs() -> tuple[Any, ...]:
    """Codecs of names and other small arrays, the checksum last."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return ZstdCodec(), Crc32cCodec()


@cache
def _of_scores() -> dict[CompressionName, Any]:
    from zarr.codecs import BloscCodec

    return {
        # The last bits of scores are noise: zstd saves little, and encodes at a fifth of the speed.
        "lz4": BloscCodec(cname="lz4", clevel=3, shuffle="shuffle"),
        "zstd": BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
    }


@cache
def _of_copies() -> Any:
    from zarr.codecs import BloscCodec

    return BloscCodec(cname="lz4", clevel=3, shuffle="noshuffle")


@dataclass(frozen=True)
class Compression:
    """How scores and genotypes are written.

    Attributes
    ----------
    name : {"lz4", "zstd"} or None
        The codec; None for lz4, and for that of a store that is gone on with.
    digits : int or None
        Significant decimal digits that are kept of real numbers; None for all.
    """

    name: CompressionName | None = None
    digits: int | None = None

    @property
    def codecs(self) -> tuple[Any, ...]:
        """Codecs of an array, the checksum last."""
        return _of_scores()[self.name or "lz4"], small_codecs()[-1]

    @property
    def codecs_of_pairs(self) -> tuple[Any, ...]:
        """Codecs of an array with values of pairs, the checksum last.

        Copies of a marker have equal rows, which lz4 finds in a third of the time if bytes are not
        shuffled. Chunks without copies are shuffled nevertheless (`shard`). Rounded numbers have
        bytes of 0, which a shuffle brings together.
        """
        if self.name == "zstd" or self.digits is not None:
            return self.codecs
        return _of_copies(), small_codecs()[-1]

    def rounded(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values as they are written: real numbers rounded to the nearest with fewer bits.

        Of the mantissa ceil(d log2 10) bits are kept, so that the relative error is below
        10^-d / 2; the others become 0, which compresses well (Klöwer et al. 2021). Infinities and
        NaN stay.
        """
        if self.digits is None or values.dtype.kind != "f":
            return values
        mantissa = np.finfo(values.dtype).nmant
        dropped = mantissa - math.ceil(self.digits * math.log2(10.0))
        if dropped <= 0:
            return values
        bits = values.view(f"u{values.dtype.itemsize}")
        one = bits.dtype.type(1)
        # Ties go to the even neighbour: half a unit less one, plus the last bit kept.
        up = (bits >> bits.dtype.type(dropped)) & one
        half = bits.dtype.type((1 << (dropped - 1)) - 1)
        kept = ~bits.dtype.type((1 << dropped) - 1)
        near = ((bits + half + up) & kept).view(values.dtype)
        return np.where(np.isfinite(values), near, values)


FAST = Compression()


def codec_of(codecs: Iterable[Mapping[str, Any]]) -> CompressionName | None:
    """Name of the codec of an array of scores, from its metadata; None if it has another one."""
    used = {codec.get("configuration", {}).get("cname") for codec in codecs}
    known: tuple[CompressionName, ...] = get_args(CompressionName)
    return next((name for name in known if name in used), None)
