"""The maxima that `permute` keeps, whichever way: each trait its own, or shared by all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.schema import require_names, require_unique
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array, Index

# Maxima that are computed together, so that a lazy result repeats little; and looked at together.
_COMPUTED, _CELLS = 1 << 26, 1 << 22
# Multiples of it leave 0 to 1 evenly filled, however many there are.
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
# Steps from one heritability to the next: half of one moves a threshold by 0.002 or so.
_STEPS = 64

_ORDER = ("permutations", "patterns", "nodes", "contigs", "traits")
_OWN = ["max_lod"]
_SHARED = ["max_lod", "null_h2", "h2", "trait_pattern"]


@dataclass(frozen=True)
class Maxima:
    """Maxima of any traits, (permutations, traits, places), whichever way they are kept."""

    perm: xr.Dataset
    by: str | None

    @property
    def count(self) -> int:
        """Number of permutations."""
        return self.perm.sizes["permutations"]

    @property
    def contigs(self) -> npt.NDArray[np.object_]:
        """Names of the contigs."""
        return text(self.perm["contig_id" if "contig_id" in self.perm else "contigs"].values)

    @classmethod
    def of(cls, perm: xr.Dataset, by: str | None) -> Self:
        """Check what was handed over."""
        if not isinstance(perm, xr.Dataset) or "max_lod" not in perm:
            raise InputError("this needs the Dataset that permute gives, with its max_lod")
        if by not in (None, "contig"):
            raise InputError(f"by is {by!r}; it must be None or 'contig'")
        if by and "contigs" not in perm["max_lod"].dims:
            raise InputError(
                "the maxima are over all markers; those of each contig are kept by permute(..., "
                "by='contig'), or bulklmm permute --by contig"
            )
        for dim in ("permutations", "traits"):
            if not perm.sizes.get(dim):
                raise InputError(
                    f"the maxima have no dimension {dim!r}, or nothing along it; select with a "
                    f"list instead: perm.sel({dim}=[name])"
                )
        require_unique(text(perm["traits"].values), "the traits of perm", "select each once")
        return cls(perm.transpose(*_ORDER, missing_dims="ignore"), by)

    def chunks(self, traits: Index) -> Iterator[tuple[Index, Index, Array]]:
        """Some traits, a bounded number at a time, with their nulls.

        Yields
        ------
        traits, null : array (k,)
            Positions of the traits, and which of the nulls each has.
        values : array (N, nulls, places)
            Their maxima.
        """
        shared = "nodes" in self.perm.dims
        places = self.perm["max_lod"].sizes.get("contigs", 1)
        for some in _runs(traits, _COMPUTED // (self.count * places)):
            wanted = self.perm[_SHARED if shared else _OWN].isel(traits=some).compute()
            if shared:
                draws = _Draws.of(wanted, together=self.by is None)
                places = draws.kept.shape[3]
            for few in _runs(np.arange(len(some)), _CELLS // (self.count * places)):
                part = wanted.isel(traits=few)
                null, values = draws.of_traits(part) if shared else _own(part)
                if self.by is None and values.shape[2] > 1:
                    values = np.fmax.reduce(values, axis=2)[:, :, None]
                self._refuse_incomplete(some[few], null, values)
                yield some[few], null, values

    def _refuse_incomplete(self, traits: Index, null: Index, values: Array) -> None:
        """Raise StoreError where some draws have a maximum and others do not."""
        none = np.isnan(values).all(axis=2)
        lost = np.asarray(none.any(axis=0) & ~none.all(axis=0))[null]
        if lost.any():
            raise StoreError(
                f"the maxima of {listing(self.perm['traits'].values[traits[lost]])} are "
                "incomplete: the store was cut short; run the same permute with the same store "
                "again"
            )


def _runs(positions: Index, size: int) -> Iterator[Index]:
    for start in range(0, len(positions), max(1, size)):
        yield positions[start : start + max(1, size)]


def _own(part: xr.Dataset) -> tuple[Index, Array]:
    values = part["max_lod"].transpose("permutations", "traits", ...).values.astype(np.float64)
    values = values if values.ndim == 3 else values[:, :, None]
    return np.arange(values.shape[1]), values


@dataclass(frozen=True)
class _Draws:
    """What traits share.

    Attributes
    ----------
    kept : array (permutations, patterns, nodes, places)
    nodes : array (relations, patterns, nodes)
        Heritabilities; of one relation for all places, or of one each.
    """

    kept: npt.NDArray[np.float32]
    nodes: Array

    @classmethod
    def of(cls, perm: xr.Dataset, *, together: bool) -> Self:
        """Take the draws out of a result; those of all places `together` where that is the same."""
        kept = perm["max_lod"].values
        nodes = perm["null_h2"].transpose(..., "patterns", "nodes").values
        kept = kept if kept.ndim == 4 else kept[..., None]
        nodes = nodes[None] if nodes.ndim == 2 else nodes
        if together and len(nodes) == 1:
            kept = np.fmax.reduce(kept, axis=3)[..., None]
        return cls(kept, nodes)

    def of_traits(self, part: xr.Dataset) -> tuple[Index, Array]:
        """Take some draws at the node of h2 below and the others at the one above.

        So the distribution is interpolated. Interpolating draw by draw would narrow it. Traits of
        nearly the same h2 have one null.
        """
        h2, pattern = np.atleast_2d(part["h2"].values), part["trait_pattern"].values
        known = np.maximum(pattern, 0)
        between = [
            _between(at[known], own) if len(at) else np.zeros((2, len(known)), dtype=np.int64)
            for at, own in zip(self.nodes, h2, strict=True)
        ]
        distinct, null = np.unique(
            np.stack([pattern, *np.concatenate(between)]), axis=1, return_inverse=True
        )
        pattern, steps = distinct[0], distinct[1:].reshape(len(self.nodes), 2, -1)
        out = np.full((len(self.kept), len(pattern), self.kept.shape[3]), np.nan)
        fitted, draw = np.flatnonzero(pattern >= 0), np.arange(len(self.kept))[:, None]
        turn = (np.arange(len(self.kept)) * _GOLDEN) % 1.0
        for place in range(out.shape[2]):
            low, step = steps[place if len(self.nodes) > 1 else 0][:, fitted]
            node = np.where(turn[:, None] * _STEPS < step, low + 1, low)
            out[:, fitted, place] = self.kept[draw, pattern[fitted], node, place]
        return null.ravel(), out


def _between(nodes: Array, h2: Array) -> Index:
    """Node below each h2, from the nodes (traits, k) of each, and steps from it; (2, traits)."""
    low = np.clip((nodes <= h2[:, None]).sum(axis=1) - 1, 0, nodes.shape[1] - 2)
    trait = np.arange(len(h2))
    below, above = nodes[trait, low], nodes[trait, low + 1]
    share = (h2 - below) / np.where(above > below, above - below, 1.0)
    return np.stack(
        [low, np.rint(_STEPS * np.clip(np.nan_to_num(share), 0.0, 1.0)).astype(np.int64)]
    )


def null_maxima(perm: xr.Dataset, trait: str, contig: str | None = None) -> Array:
    """Maxima of one trait, on the whole genome or on one contig, ascending."""
    maxima = Maxima.of(perm, None if contig is None else "contig")
    require_names(perm, "traits", [trait])
    place = 0
    if contig is not None:
        require_names(perm, "contigs", [contig])
        place = list(maxima.contigs).index(str(contig))
    at = list(text(perm["traits"].values)).index(str(trait))
    ((_, _, values),) = maxima.chunks(np.array([at]))
    return np.sort(values[:, 0, place])
