"""Null distributions of the highest LOD, as `permute` keeps them: by trait, or shared by all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.results.form import require_permuted_form
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.restored import restored
from bulklmm_dask.study.checks import require_by
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.study.schema import locate, require_unique
from bulklmm_dask.surface import either, repeat
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array, By, Index, Names, Single

# Maxima that are computed together (many, because each pass over a lazy result repeats some work),
# and maxima that are held together afterwards.
_COMPUTED, _CELLS = 1 << 26, 1 << 22
# Golden ratio less 1: its multiples, modulo 1, fill the interval 0 to 1 evenly at any length.
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
# Steps from one node of h2 to the next; half a step moves a threshold by about 0.002.
_STEPS = 64

_ORDER = ("permutations", "patterns", "nodes", "contigs", "traits")
_OWN = ["max_lod"]
_SHARED = ["max_lod", "null_h2", "h2", "trait_pattern"]


@dataclass(frozen=True)
class NullMaxima:
    """Highest LODs of permuted traits, on the genome or, with ``by="contig"``, on each contig."""

    perm: xr.Dataset
    by: By | None

    @property
    def count(self) -> int:
        """Number of permutations."""
        return self.perm.sizes["permutations"]

    @property
    def contigs(self) -> Names:
        """Names of the contigs."""
        return text(self.perm["contig_id" if "contig_id" in self.perm else "contigs"].values)

    @classmethod
    def of(cls, perm: xr.Dataset, by: By | None) -> Self:
        """Check a result of `permute` and the option `by`."""
        if not isinstance(perm, xr.Dataset) or "max_lod" not in perm:
            raise InputError(
                either(
                    "this needs the Dataset that permute gives, with its max_lod",
                    "the store holds no permutations; give a store of 'bulklmm permute'",
                )
            )
        require_by(by)
        if by and "contigs" not in perm["max_lod"].dims:
            raise InputError(
                "the maxima are over all markers; those of each contig are kept by "
                + either("permute(..., by='contig')", "'bulklmm permute --by contig'")
            )
        perm = restored(perm)
        for dim in ("permutations", "traits"):
            if not perm.sizes.get(dim):
                raise InputError(
                    f"the maxima have no dimension {dim!r}, or nothing along it; select with a "
                    f"list instead: perm.sel({dim}=[name])"
                )
        require_permuted_form(perm)
        require_unique(text(perm["traits"].values), "the traits of perm", "select each once")
        return cls(perm.transpose(*_ORDER, ..., missing_dims="ignore"), by)

    def chunks(self, traits: Index) -> Iterator[tuple[Index, Index, Array]]:
        """Go through some traits, a bounded number at a time.

        Yields
        ------
        traits, null : array (k,)
            Indices of the traits, and of the null distribution of each: traits that share one
            null have the same index.
        values : array (permutations, nulls, contigs)
            Maxima; one contig stands for the whole genome.
        """
        shared = "nodes" in self.perm.dims
        contigs = self.perm["max_lod"].sizes.get("contigs", 1)
        for some in _runs(traits, _COMPUTED // (self.count * contigs)):
            wanted = self.perm[_SHARED if shared else _OWN].isel(traits=some).compute()
            if shared:
                draws = _Draws.of(wanted, together=self.by is None)
                contigs = draws.kept.shape[3]
            for few in _runs(np.arange(len(some)), _CELLS // (self.count * contigs)):
                part = wanted.isel(traits=few)
                null, values = draws.of_traits(part) if shared else _own(part)
                if self.by is None and values.shape[2] > 1:
                    values = np.fmax.reduce(values, axis=2)[:, :, None]
                self._refuse_incomplete(some[few], null, values)
                yield some[few], null, values

    def _refuse_incomplete(self, traits: Index, null: Index, values: Array) -> None:
        """Raise StoreError where a trait has some of its maxima only, or an infinite one."""
        if np.isinf(values).any():
            raise StoreError(f"the maxima hold infinite values: the store is damaged; {repeat()}")
        none = np.isnan(values).all(axis=2)
        lost = np.asarray(none.any(axis=0) & ~none.all(axis=0))[null]
        if lost.any():
            raise StoreError(
                f"the maxima of {listing(self.perm['traits'].values[traits[lost]])} are "
                f"incomplete: the store was cut short; {repeat()} with the same store"
            )


def _runs(positions: Index, size: int) -> Iterator[Index]:
    """Split positions into runs of at most `size`, at least 1."""
    for start in range(0, len(positions), max(1, size)):
        yield positions[start : start + max(1, size)]


def _own(part: xr.Dataset) -> tuple[Index, Array]:
    """Maxima of traits that were permuted each by itself."""
    values = part["max_lod"].transpose("permutations", "traits", ...).values.astype(np.float64)
    values = values if values.ndim == 3 else values[:, :, None]
    return np.arange(values.shape[1]), values


@dataclass(frozen=True)
class _Draws:
    """Maxima of random residuals that all traits of a pattern of missing values share.

    Attributes
    ----------
    kept : array (permutations, patterns, nodes, contigs)
        Maxima at some heritabilities, the nodes.
    nodes : array (kinships, patterns, nodes)
        These heritabilities: of the one kinship, or of each contig's own.
    """

    kept: Single
    nodes: Array

    @classmethod
    def of(cls, perm: xr.Dataset, *, together: bool) -> Self:
        """Take the draws of a result; `together` takes the maximum over contigs of one kinship."""
        kept = perm["max_lod"].values
        nodes = perm["null_h2"].transpose(..., "patterns", "nodes").values
        kept = kept if kept.ndim == 4 else kept[..., None]
        nodes = nodes[None] if nodes.ndim == 2 else nodes
        if together and len(nodes) == 1:
            kept = np.fmax.reduce(kept, axis=3)[..., None]
        return cls(kept, nodes)

    def of_traits(self, part: xr.Dataset) -> tuple[Index, Array]:
        """Interpolate the distribution between the nodes below and above the h2 of each trait.

        A share of the draws is taken at the node below, the rest at the node above. (Interpolating
        draw by draw would narrow the distribution.) Traits of nearly the same h2 share a null.
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
        for contig in range(out.shape[2]):
            low, step = steps[contig if len(self.nodes) > 1 else 0][:, fitted]
            node = np.where(turn[:, None] * _STEPS < step, low + 1, low)
            out[:, fitted, contig] = self.kept[draw, pattern[fitted], node, contig]
        return null.ravel(), out


def _between(nodes: Array, h2: Array) -> Index:
    """Index of the node below each h2, and steps from it to h2, (2, traits).

    `nodes` (traits, k) are the nodes of each trait's pattern.
    """
    low = np.clip((nodes <= h2[:, None]).sum(axis=1) - 1, 0, nodes.shape[1] - 2)
    trait = np.arange(len(h2))
    below, above = nodes[trait, low], nodes[trait, low + 1]
    share = (h2 - below) / np.where(above > below, above - below, 1.0)
    return np.stack(
        [low, np.rint(_STEPS * np.clip(np.nan_to_num(share), 0.0, 1.0)).astype(np.int64)]
    )


def null_maxima(perm: xr.Dataset, trait: str, contig: str | None = None) -> Array:
    """Maxima of one trait, on the whole genome or on one contig, ascending."""
    maxima = NullMaxima.of(perm, None if contig is None else "contig")
    at = locate(maxima.perm["traits"].values, [trait], "no trait {} here")
    column = 0
    if contig is not None:
        (column,) = locate_contigs(maxima.contigs, [contig], "no contig {} here")
    ((_, _, values),) = maxima.chunks(at)
    return np.sort(values[:, 0, column])
