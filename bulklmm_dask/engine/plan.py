"""How a scan is cut into blocks: integer arithmetic that touches no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.surface import either

# Markers and traits of a block: its LOD scores take 32 MiB in float32. Its markers are rotated
# again for every chunk of traits, which costs little for so many traits.
_VARIANTS = 2048
_TRAITS = 4096
# Traits of an inner chunk of a stored block, the smallest unit that is decompressed: 1 MiB in
# float32. People read all markers of a few traits more often than all traits of a few markers.
_INNER = 128
# Bytes of a float64.
_DOUBLE = 8
# Largest numbers of nodes of h2, of points of a likelihood curve, and of cells of a tile in a
# block.
_NODES, _CURVE, _TILE = 48, 512, 1 << 16
# Pairs whose likelihoods are maximised together.
_TOGETHER = 1024


@dataclass(frozen=True)
class Plan:
    """A scan cut into a grid of blocks, each one marker chunk x one trait chunk.

    Attributes
    ----------
    n_samples, n_variants, n_traits : int
        Sizes of the whole scan.
    variants, traits : int
        Size of a block; the last blocks may be smaller.
    alternative : bool
        Whether h2 is estimated again for every pair.
    columns : int
        Number of columns of a marker that are tested together.
    pair_bytes : int
        Bytes of all statistics per pair.
    """

    n_samples: int
    n_variants: int
    n_traits: int
    variants: int
    traits: int
    alternative: bool = False
    columns: int = 1
    pair_bytes: int = 4

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
    def block_bytes(self) -> int:
        """Peak memory of a block in bytes, including its traits and their null models."""
        per_marker = self.columns * (self.n_samples + self.columns * _NODES)
        cells = 4 * self.variants * per_marker + 5 * self.traits * self.n_samples
        if self.alternative:
            cells += (8 * self.traits + 10 * _TOGETHER) * _CURVE
            cells += _TILE * (_NODES + self.n_samples)
        else:
            cells += self.traits * _NODES
        pairs = self.variants * self.traits
        if self.columns > 1:  # explained shares of all pairs, and tiles of products of columns
            cells += 2 * pairs + _TILE * self.columns**2
            # Genotypes as given, and traits in the range of their scale.
            cells += self.n_samples * (self.variants * (self.columns + 1) + 2 * self.traits)
        return _DOUBLE * cells + 2 * self.pair_bytes * pairs


def _chunks(total: int, size: int) -> tuple[int, ...]:
    full, rest = divmod(total, size)
    return (size,) * full + ((rest,) if rest else ())


def make_plan(
    n_samples: int,
    n_variants: int,
    n_traits: int,
    chunks: str | Mapping[str, int] = "auto",
    *,
    alternative: bool = False,
    columns: int = 1,
    pair_bytes: int = 4,
) -> Plan:
    """Cut a scan into blocks.

    Parameters
    ----------
    n_samples, n_variants, n_traits : int
        Sizes of the whole scan.
    chunks : "auto" or mapping
        ``{"variants": ..., "traits": ...}`` sets the size of a block; sizes left out are chosen.
    alternative : bool
        Whether h2 is estimated again for every pair.
    columns : int
        Number of columns of a marker that are tested together; the more, the fewer markers in a
        block.
    pair_bytes : int
        Bytes of all statistics per pair.
    """
    if not isinstance(chunks, Mapping):
        if chunks != "auto":
            raise InputError(
                f"chunks is {chunks!r}; it should be 'auto' or a mapping such as "
                "{'variants': 2048, 'traits': 4096}"
            )
        chunks = {}
    unknown = set(chunks) - {"variants", "traits"}
    if unknown:
        raise InputError(f"chunks names {sorted(unknown)}; only 'variants' and 'traits' are cut")
    for name, size in chunks.items():
        if not isinstance(size, int | np.integer) or size < 1:
            given = either(f"chunks[{name!r}] is {size}", f"--chunks names {size} {name}")
            raise InputError(f"{given}; it should be a whole number from 1 on")
    variants = max(1, _VARIANTS >> (columns - 1).bit_length())
    return Plan(
        n_samples,
        n_variants,
        n_traits,
        variants=min(chunks.get("variants", variants), max(n_variants, 1)),
        traits=min(chunks.get("traits", _TRAITS), max(n_traits, 1)),
        alternative=alternative,
        columns=columns,
        pair_bytes=pair_bytes,
    )
