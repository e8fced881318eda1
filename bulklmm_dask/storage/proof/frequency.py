"""Frequency of the effect allele, stored once for each pattern of missing values of the traits."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.storage.labels.coordinates import FREQUENCY
from bulklmm_dask.storage.proof.lazy import Deferred, Stored, deferred_behind, stored_behind
from bulklmm_dask.typing import Index, Single

# In a store where it differs between traits; and the number of each trait's pattern.
OF_PATTERNS, PATTERN = "pattern_frequency", "trait_pattern"
# Markers whose frequencies are held together.
_TOGETHER = 8192


def of_traits(result: xr.Dataset) -> xr.Dataset:
    """Give ``variant_frequency`` (variants, traits) in place of the frequencies of patterns."""
    if OF_PATTERNS not in result:
        return result
    frequency, pattern = result[OF_PATTERNS].variable, result[PATTERN].variable
    blocks = result["lod"].variable.chunksizes if "lod" in result else {}
    stored = stored_behind(frequency)
    if stored is None:
        found = frequency.isel(patterns=pattern).chunk(blocks)
    else:
        dims = ("variants", "traits")
        found = _OfPatterns(stored, pattern.values).chunked(dims, blocks)
        found.attrs = frequency.attrs
    return result.drop_vars([OF_PATTERNS, PATTERN]).assign({FREQUENCY: found})


def of_pairs(frequency: xr.Variable, variant: Index, trait: Index) -> Single:
    """Frequencies (variants, traits) of some pairs, whose indices are broadcast to each other.

    Of a result that was opened, nothing is read but the frequencies of patterns.
    """
    variant, trait = np.broadcast_arrays(variant, trait)
    source = deferred_behind(frequency)
    if isinstance(source, _OfPatterns):
        return source.of_pairs(variant, trait)
    pairs = {"variants": variant.ravel(), "traits": trait.ravel()}
    named = {dim: xr.Variable("pairs", index) for dim, index in pairs.items()}
    found: Single = frequency.isel(named).values.reshape(variant.shape)
    return found


class _OfPatterns(Deferred):
    """Frequencies of traits, read from those of their patterns."""

    def __init__(self, stored: Stored, pattern: Index) -> None:
        self.stored, self.pattern = stored, pattern
        self.shape = (stored.shape[0], pattern.size)
        self.dtype = stored.dtype

    def take(self, key: tuple[int | slice, ...]) -> Any:
        """Read a part."""
        return self.stored.take((key[0], slice(None))).take(self.pattern[key[1]], axis=-1)

    def of_pairs(self, variant: Index, trait: Index) -> Single:
        """Read the frequencies of pairs."""
        out = np.empty(variant.shape, self.dtype)
        for start in range(0, self.shape[0], _TOGETHER):
            mine = (variant >= start) & (variant < start + _TOGETHER)
            if mine.any():
                some = self.stored.take((slice(start, start + _TOGETHER), slice(None)))
                out[mine] = some[variant[mine] - start, self.pattern[trait[mine]]]
        return out
