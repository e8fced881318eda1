"""The maxima that `permute` keeps, whichever way: each trait its own, or shared by all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.data.aloud import listing
from bulklmm_dask.data.schema import require_names, text
from bulklmm_dask.errors import InputError, StoreError

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Maxima that are held at a time.
_CELLS = 1 << 22
# Multiples of it leave 0 to 1 evenly filled, however many there are.
_GOLDEN = (5.0**0.5 - 1.0) / 2.0


@dataclass(frozen=True)
class Maxima:
    """Maxima of any traits, (permutations, traits, places), whichever way they are kept."""

    perm: xr.Dataset
    by: str | None

    @property
    def count(self) -> int:
        """Number of permutations."""
        return self.perm.sizes["permutations"]

    @classmethod
    def of(cls, perm: xr.Dataset, by: str | None) -> Self:
        """Check what was handed over."""
        if not isinstance(perm, xr.Dataset) or "max_lod" not in perm:
            raise InputError("this needs the Dataset that permute gives, with its max_lod")
        if by not in (None, "contig"):
            raise InputError(f"by is {by!r}; it must be None or 'contig'")
        if by and perm.attrs.get("by") != "contig":
            raise InputError(
                "the maxima are over all markers; permute(..., by='contig') keeps those of contigs"
            )
        return cls(perm, by)

    def chunks(self, traits: Index) -> Iterator[tuple[Index, Array]]:
        """Some traits, a bounded number at a time, with their maxima (N, traits, places)."""
        places = self.perm["max_lod"].sizes.get("contigs", 1)
        size = max(1, _CELLS // (self.count * max(1, places)))
        status = self.perm["trait_status"].values
        for start in range(0, len(traits), size):
            some = traits[start : start + size]
            values = self._shared(some) if "nodes" in self.perm.dims else self._own(some)
            if self.by is None and values.shape[2] > 1:
                values = np.fmax.reduce(values, axis=2)[:, :, None]
            lost = np.isnan(values).all(axis=2).any(axis=0) & (status[some] == "ok")
            if lost.any():
                raise StoreError(
                    f"the maxima of {listing(self.perm['traits'].values[some[lost]])} are "
                    "incomplete: the store was cut short, or there are no markers; run the same "
                    "permute with the same store again"
                )
            yield some, values

    def _own(self, traits: Index) -> Array:
        values = np.asarray(self.perm["max_lod"].isel(traits=traits).values, dtype=np.float64)
        return values if values.ndim == 3 else values[:, :, None]

    def _shared(self, traits: Index) -> Array:
        """Take some draws at the node of h2 below and the others at the one above.

        So the distribution is interpolated. Interpolating draw by draw would narrow it.
        """
        perm = self.perm
        kept = perm["max_lod"].values
        kept = kept if kept.ndim == 4 else kept[..., None]
        at, h2 = perm["null_h2"].values, perm["h2"].values[..., traits]
        at, h2 = (at[None], h2[None]) if at.ndim == 2 else (at, h2)
        pattern = perm["trait_pattern"].values[traits]
        out = np.empty((self.count, len(traits), kept.shape[3]))
        draw = np.arange(self.count)[:, None]
        turn = (np.arange(self.count) * _GOLDEN) % 1.0
        for place in range(kept.shape[3]):
            relation = place if len(at) > 1 else 0
            low, weight = _between(at[relation][pattern], h2[relation])
            node = np.where(turn[:, None] < weight, np.minimum(low + 1, at.shape[2] - 1), low)
            out[:, :, place] = kept[draw, pattern, node, place]
        out[:, pattern < 0] = np.nan
        return out


def _between(nodes: Array, h2: Array) -> tuple[Index, Array]:
    """Node below each h2, from the nodes (traits, k) of each, and the weight of the one above."""
    last = max(nodes.shape[1] - 2, 0)
    low = np.clip((nodes <= h2[:, None]).sum(axis=1) - 1, 0, last)
    trait = np.arange(len(h2))
    below, above = nodes[trait, low], nodes[trait, np.minimum(low + 1, nodes.shape[1] - 1)]
    width = np.where(above > below, above - below, 1.0)
    return low, np.clip(np.nan_to_num((h2 - below) / width), 0.0, 1.0)


def null_maxima(perm: xr.Dataset, trait: str, contig: str | None = None) -> Array:
    """Maxima of one trait, on the whole genome or on one contig, ascending."""
    maxima = Maxima.of(perm, None if contig is None else "contig")
    require_names(perm, "traits", [trait])
    place = 0
    if contig is not None:
        require_names(perm, "contigs", [contig])
        place = list(text(perm["contigs"].values)).index(str(contig))
    at = list(text(perm["traits"].values)).index(str(trait))
    ((_, values),) = maxima.chunks(np.array([at]))
    return np.sort(values[:, 0, place])
