r"""LOD scores of the null methods for few traits: what costs most is S_xx, in single precision.

`lmm.null.scan` rotates all markers in double precision, which serves many traits at once. For few,
S_xy = x'(My) is a thin product in double precision, and S_xx is computed in single precision
(`forms`, of one trait mostly by `triangle`). With a relative error d of S_xx the LOD errs by (n/2)
log10(e) d r2/(1 - r2) (`lod.largest_r2`). The error of each pair is bounded. Pairs for which the
bound is too large, those of high LODs and those of markers near the covariates, are computed again
by the usual scanner.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.few.forms import ERROR, Rotation, in_samples
from bulklmm_dask.lmm.few.triangle import Triangle, less_common_call
from bulklmm_dask.lmm.lod import SINGLE_ERROR, largest_r2, lod_of_ratio
from bulklmm_dask.lmm.markers import NO_VARIATION, SMALL_SHARE
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.typing import Array, Columns, Flags, Single

# Numbers of the markers of a step: they stay in a large cache.
_CELLS = 2**19
# Largest error of a LOD due to S_xx in a scan in double precision.
_DOUBLE_ERROR = 5e-6
# Rounding of |x|^2 less what covariates take of it, as a share of |x|^2.
_ROUNDING = 1e-14
# Mean square of a marker below which, or above whose inverse, it is scaled.
_SMALL = 1e-6
# If |M| is more than this times the mean of 1/v where markers lie, too many pairs are computed
# again.
_MOST_SPREAD = 16.0


def serves(basis: Basis, model: NullModel) -> bool:
    """Tell whether `FewScan` can scan traits, and has few pairs to compute again.

    Parameters
    ----------
    basis : Basis
        Eigenbasis of the samples.
    model : NullModel
        Null models of the traits.
    """
    if len(model.given) or basis.graded:
        return False
    weights = basis.at(model.h2[model.fitted]).weights
    typical = weights[: basis.rank or None].mean(axis=0)
    return bool((weights.max(axis=0) <= _MOST_SPREAD * typical).all())


@dataclass(frozen=True)
class FewScan:
    """Scanner of the null methods for few traits, without covariates of their own.

    Attributes
    ----------
    usual : NullScan
        The usual scanner of these traits, for pairs that are computed again.
    """

    usual: NullScan

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is made at the first use out of pickles."""
        return {"usual": self.usual}

    @cached_property
    def _form(self) -> Rotation:
        return Rotation.of(self.usual.basis, self.usual.h2)

    @cached_property
    def _triangle(self) -> Triangle | None:
        """What serves one trait, for most markers."""
        one = len(self.usual.h2) == 1
        return Triangle.of(self.usual.basis, float(self.usual.h2[0])) if one else None

    @cached_property
    def _thin(self) -> Array:
        """Scores My / sqrt(S), then the covariates, (n, traits + c), of the weighted samples."""
        basis = self.usual.basis
        return in_samples(basis, np.concatenate([self.usual.scores, basis.covariates], axis=1))

    @cached_property
    def _norm(self) -> Array:
        """|M| at the heritability of each trait, (traits,)."""
        return np.asarray(self.usual.basis.at(self.usual.h2).weights.max(axis=0))

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """``lod`` of a block of markers (`Scanner`)."""
        out = np.empty((len(genotypes), len(self.usual.h2)), dtype=np.float32)
        most = SINGLE_ERROR if single else _DOUBLE_ERROR
        step = max(64, _CELLS // self.usual.basis.n)
        for start in range(0, len(out), step):
            some = slice(start, start + step)
            out[some] = self._lods(genotypes[some], most)
        return {"lod": out}

    def _lods(self, dosage: Array, most: float) -> Single:
        """LODs of some markers, with an error of at most `most` due to S_xx."""
        basis, traits = self.usual.basis, len(self.usual.h2)
        mean = dosage.mean(axis=1, keepdims=True)
        x = dosage - mean
        spread = np.einsum("ik,ik->i", x, x)
        size = spread
        if basis.weights is not None:
            x *= basis.weights
            size = np.einsum("ik,ik->i", x, x)
        thin = x @ self._thin
        score, inside = thin[:, :traits], thin[:, traits:]
        part = np.einsum("ic,ic->i", inside, inside)
        left = size - part
        fixed = left < SMALL_SHARE * size
        tested = left > basis.share_left(NO_VARIATION) * np.maximum(size, 1e-300)
        tested &= size > 1e-20 * (spread + basis.n * mean[:, 0] ** 2)
        # Markers whose squares are out of the range of single precision get a mean square of 1.
        odd = np.flatnonzero(tested & ~((size > _SMALL * basis.n) & (size < basis.n / _SMALL)))
        if len(odd):
            scale = np.sqrt(size[odd] / basis.n)
            x[odd] /= scale[:, None]
            score[odd] /= scale[:, None]
            part[odd] /= scale**2
            size = size.copy()
            size[odd] = basis.n
        usual = tested.copy()
        usual[odd] = False
        x[~tested] = 0.0
        sxx, error = self._squares(dosage, x, size, usual)
        least = error[:, None] * self._norm
        independent = self.usual.h2 == 0.0  # M = I - QQ'
        sxx[:, independent] = (size - part)[:, None]
        least[:, independent] = _ROUNDING * size[:, None]
        sxx[~tested] = least[~tested] = 1.0
        # Rounding may leave no S_xx, or less, where it is tiny.
        np.maximum(sxx, least, out=sxx)
        r2 = np.where(tested[:, None], score * score / sxx, 0.0)
        again = r2 > largest_r2(basis.n, most, least / sxx)
        again |= fixed[:, None]
        r2[again] = 0.0
        out = 0.0 + lod_of_ratio(1.0 - r2, basis.n).astype(np.float32)
        rows = np.flatnonzero(again.any(axis=1) & tested)
        if len(rows):
            out[rows] = self.usual.scan(dosage[rows], single=False)["lod"]
        return np.asarray(out)

    def _squares(self, dosage: Array, x: Array, size: Array, usual: Flags) -> tuple[Array, Array]:
        """S_xx (variants, traits) in single precision, and its error (variants,) in units of |M|.

        Parameters
        ----------
        dosage, x : array (variants, n)
            Markers as measured; centred, weighted and scaled.
        size : array (variants,)
            |x|^2.
        usual : array (variants,) of bool
            Which markers are tested, and not scaled.
        """
        weights = self.usual.basis.weights
        if not self.usual.h2.any():  # nothing is needed
            return np.zeros((len(x), len(self.usual.h2))), np.zeros(len(x))
        if self._triangle is None:
            return self._form.squares(x.astype(np.float32)), ERROR * size
        single, error = less_common_call(dosage)
        most = usual & np.isfinite(error)
        rows = slice(None) if most.all() else np.flatnonzero(most)
        single = single[rows]
        if weights is not None:
            single *= weights.astype(np.float32)
        sxx, error[~most] = np.empty((len(x), 1)), ERROR * size[~most]
        sxx[rows, 0] = self._triangle.squares(single)
        error[rows] *= np.einsum("ik,ik->i", single, single)
        if not most.all():
            sxx[~most] = self._form.squares(x[~most].astype(np.float32))
        return sxx, error
