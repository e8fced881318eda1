"""Frequency of the effect allele, stored once for each pattern of missing values of the traits."""

from __future__ import annotations

import xarray as xr

# In a result; in a store where it differs between traits; and the number of each trait's pattern.
FREQUENCY, OF_PATTERNS, PATTERN = "variant_frequency", "pattern_frequency", "trait_pattern"


def of_traits(result: xr.Dataset) -> xr.Dataset:
    """Give ``variant_frequency`` (variants, traits) in place of the frequencies of patterns."""
    if OF_PATTERNS not in result:
        return result
    frequency = result[OF_PATTERNS].variable.isel(patterns=result[PATTERN].variable)
    blocks = result["lod"].variable.chunksizes if "lod" in result else {}
    result = result.drop_vars([OF_PATTERNS, PATTERN])
    return result.assign({FREQUENCY: frequency.chunk(blocks)})
