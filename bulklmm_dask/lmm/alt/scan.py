r"""Heritability estimated again for every pair of a marker and a trait.

The likelihood with the marker, l1_ij(h), has its maximum over a grid of h (`grid`) or the whole
interval (`exact`, `search`); LOD = (max l1 - max l0) / ln 10.

Under REML, h2 maximises the restricted likelihood of the model with the marker among the
covariates, -1/2 [(n-c-1) log RSS1 + sum log v + log|C'WC| + log S_xx], and the LOD is the ratio of
the full likelihoods at the two estimates of h2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.alt.tiles import PairTraits
from bulklmm_dask.lmm.kept import prepared_markers
from bulklmm_dask.lmm.markers import Markers
from bulklmm_dask.typing import Array, Columns, Flags, Real, Single

# Largest error of a LOD found by a search.
_SEARCH_ERROR = 0.01
# With fewer samples all pairs are optimised: likelihoods of so few have maxima that no rule about
# many foresees.
_FEW = 16

TO_LOD = 1.0 / np.log(10.0)


@dataclass(frozen=True)
class Scores:
    """Scores of a block of pairs by an alternative method, all (variants, traits).

    Attributes
    ----------
    lod : array of float32 (single precision) or float64
    h2_alt : array of float32
        Heritability with the marker in the model; that of the null model where nothing is tested.
    refined : array of bool
        Whether the pair was optimised on the likelihood itself.
    """

    lod: Real
    h2_alt: Single
    refined: Flags

    @classmethod
    def empty(cls, n_variants: int, n_traits: int, *, single: bool) -> Self:
        """Scores to be filled in."""
        shape = (n_variants, n_traits)
        lod: Real = np.empty(shape, np.float32 if single else np.float64)
        return cls(lod, np.empty(shape, np.float32), np.zeros(shape, np.bool_))


@dataclass(frozen=True)
class Alternative(ABC):
    """Traits whose h2 is estimated again with every marker.

    Attributes
    ----------
    traits : AltTraits
        Traits with their null likelihoods.
    effects : bool
        Whether `scan` computes effects and their standard errors, each pair at its own h2.
    """

    traits: PairTraits
    effects: bool

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """Statistics of a block of markers (`Scanner.scan`)."""
        found = self._found(genotypes, single=single)
        if self.traits.basis.unit != 1.0:
            found["h2_alt"] = self.traits.basis.as_given(found["h2_alt"]).astype(np.float32)
        return found

    def _found(self, genotypes: Array, *, single: bool) -> Columns:
        """The same, with heritabilities of the kinship in use."""
        markers = prepared_markers(self.traits.basis, genotypes)
        found = self._scores(markers, single=single)
        if self.effects:
            found["beta"], found["se"] = self.traits.effects(markers, found["h2_alt"])
        return found

    @abstractmethod
    def _scores(self, markers: Markers, *, single: bool) -> Columns:
        """LOD scores and heritabilities of rotated markers, by name."""


def refined_from(refine_above: float, n: int) -> float:
    """LOD of a search from which on pairs of n samples are optimised on the likelihood itself.

    A `refine_above` of 0 means all pairs, also those whose LOD is slightly negative before.
    """
    return refine_above - _SEARCH_ERROR if refine_above > 0 and n >= _FEW else -np.inf


def settle(out: Scores, traits: PairTraits, tested: Flags) -> None:
    """Set the LOD to 0 for untested markers and, under ML, where rounding made it negative."""
    out.lod[~tested] = 0.0
    out.h2_alt[~tested] = traits.h2
    if not traits.reml:
        np.maximum(out.lod, 0.0, out=out.lod)
