"""How a scan is cut into blocks: integer arithmetic that touches no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bulklmm_dask.errors import OptionError
from bulklmm_dask.lmm.components.choice import may_be_bulk
from bulklmm_dask.lmm.footprint import Cells, Footprint
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.surface import either

# Markers and traits of a block: its LOD scores take 32 MiB in float32. Its markers are rotated
# again for every chunk of traits, which costs little for so many traits.
_VARIANTS = 2048
_TRAITS = 4096
# Traits of a block where each is scanned by itself (`lmm.components.exact`).
_ALONE = 256
# Traits of an inner chunk of a stored block, the smallest unit that is decompressed: 1 MiB in
# float32. People read all markers of a few traits more often than all traits of a few markers.
_INNER = 128
# Bytes of a float64.
_DOUBLE = 8
# Blocks, and statistics of trait chunks, of a run that are submitted together; on a cluster the
# next batch follows once half are left.
BATCH = 512


@dataclass(frozen=True)
class Plan:
    """A scan cut into a grid of blocks, each one marker chunk x one trait chunk.

    Attributes
    ----------
    n_samples, n_variants, n_traits : int
        Sizes of the whole scan.
    variants, traits : int
        Size of a block; the last blocks may be smaller.
    footprint : Footprint
        Memory of the steps of a block.
    pair_bytes : int
        Bytes of all statistics per pair.
    patterns : int
        Number of patterns of missing values in a chunk of traits, at most.
    """

    n_samples: int
    n_variants: int
    n_traits: int
    variants: int
    traits: int
    footprint: Footprint
    pair_bytes: int = 4
    patterns: int = 1

    @property
    def variant_chunks(self) -> tuple[int, ...]:
        """Sizes of the marker chunks."""
        return _chunks(self.n_variants, self.variants)

    @property
    def trait_chunks(self) -> tuple[int, ...]:
        """Sizes of the trait chunks."""
        return _chunks(self.n_traits, self.traits)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of blocks along variants and traits."""
        return len(self.variant_chunks), len(self.trait_chunks)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return self.shape[0] * self.shape[1]

    @property
    def inner(self) -> tuple[int, int]:
        """Size of the inner chunks of a stored block; they divide it, or are the whole block."""
        return self.variants, _INNER if self.traits % _INNER == 0 else self.traits

    @property
    def tests(self) -> int:
        """Number of pairs of a marker and a trait."""
        return self.n_variants * self.n_traits

    @property
    def fit_cells(self) -> Cells:
        """Memory of the null models of a chunk of traits, in float64 numbers."""
        return self.footprint.fit(self.traits, self.patterns)

    @property
    def scan_cells(self) -> Cells:
        """Memory of a block beside its genotypes and null models, in float64 numbers."""
        return self.footprint.scan(self.variants, self.traits, self.pair_bytes, self.patterns)

    @property
    def block_bytes(self) -> int:
        """Peak memory of a block in bytes, including its genotypes, traits and null models."""
        genotypes = self.variants * self.n_samples * (self.footprint.model.genotypes or 1)
        fit, scan = self.fit_cells, self.scan_cells
        cells = genotypes + self.traits * self.n_samples + max(fit.peak, fit.kept + scan.peak)
        return int(_DOUBLE * cells)


def traits_for(shares: int, n_traits: int) -> int:
    """Traits of a block, so that each of so many shares of a run has some.

    They are a multiple of those of an inner chunk, unless they are fewer.

    >>> [traits_for(shares, 32_445) for shares in (1, 10, 100, 1000)]
    [4096, 3328, 384, 33]
    """
    size = -(-max(n_traits, 1) // shares)
    return min(_TRAITS, -(-size // _INNER) * _INNER if size > _INNER else size)


def _chunks(total: int, size: int) -> tuple[int, ...]:
    full, rest = divmod(total, size)
    return (size,) * full + ((rest,) if rest else ())


def make_plan(
    n_samples: int,
    n_variants: int,
    n_traits: int,
    chunks: str | Mapping[str, int] = "auto",
    *,
    footprint: Footprint | None = None,
    pair_bytes: int = 4,
    patterns: int = 1,
) -> Plan:
    """Cut a scan into blocks.

    Parameters
    ----------
    n_samples, n_variants, n_traits : int
        Sizes of the whole scan.
    chunks : "auto" or mapping
        ``{"variants": ..., "traits": ...}`` sets the size of a block; sizes left out are chosen:
        the more columns of a marker are tested together, the fewer markers.
    footprint : Footprint, optional
        Memory of the steps of a block; by default of ``null-exact``.
    pair_bytes : int
        Bytes of all statistics per pair.
    patterns : int
        Number of patterns of missing values of all traits.
    """
    footprint = footprint or Footprint(ModelOptions(), n_samples)
    columns = footprint.model.columns
    if not isinstance(chunks, Mapping):
        if chunks != "auto":
            raise OptionError(
                f"chunks is {chunks!r}; it should be 'auto' or a mapping such as "
                "{'variants': 2048, 'traits': 4096}"
            )
        chunks = {}
    unknown = set(chunks) - {"variants", "traits"}
    if unknown:
        raise OptionError(f"chunks names {sorted(unknown)}; only 'variants' and 'traits' are cut")
    for name, size in chunks.items():
        if not isinstance(size, int | np.integer) or size < 1:
            given = either(f"chunks[{name!r}] is {size}", f"--chunks names {size} {name}")
            raise OptionError(f"{given}; it should be a whole number from 1 on")
    variants = max(1, _VARIANTS >> (columns - 1).bit_length())
    model = footprint.model
    alone = model.components > 0 and not may_be_bulk(model)
    size = min(chunks.get("traits", _ALONE if alone else _TRAITS), max(n_traits, 1))
    return Plan(
        n_samples,
        n_variants,
        n_traits,
        variants=min(chunks.get("variants", variants), max(n_variants, 1)),
        traits=size,
        footprint=footprint,
        pair_bytes=pair_bytes,
        patterns=min(patterns, size),
    )
