r"""``alt-exact``: h2 of every pair maximises its likelihood over the whole interval.

The maximum is first looked for near the null estimate of the trait, for all pairs at once in single
precision (`climb`). Where that may not suffice, all local maxima of the pair are found from sums of
a few terms (`sums`), and so are those of all pairs with a LOD of at least `refine_above`, which
start from what was found. Where a marker explains nearly all of a trait, so that these sums have
lost their digits, the pair is optimised on the rows themselves (`pairs`).

Under REML, h2 maximises the restricted likelihood of the model with the marker among the
covariates, and the LOD is the ratio of the full likelihoods at the two estimates of h2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.alt.climb import Climb, Climbed
from bulklmm_dask.lmm.alt.local import Expansion
from bulklmm_dask.lmm.alt.pairs import log_ratios, optimise_pairs
from bulklmm_dask.lmm.alt.peaks import PairBlock, Peaks
from bulklmm_dask.lmm.alt.scan import TO_LOD, Alternative, Scores, refined_from, settle
from bulklmm_dask.lmm.alt.sums import PairSums
from bulklmm_dask.lmm.alt.tiles import PairTraits
from bulklmm_dask.lmm.basis import Basis, fold
from bulklmm_dask.lmm.compress import weights_at
from bulklmm_dask.lmm.likelihood import ProfileLikelihood
from bulklmm_dask.lmm.lod import largest_lod
from bulklmm_dask.lmm.markers import Markers, project_markers
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.projected import LogVolume, Projected
from bulklmm_dask.typing import Array, Columns, Flags, Index

# Pairs that are optimised together.
_TOGETHER = 2048


@dataclass(frozen=True)
class AltExact(Alternative):
    """Scanner of alt-exact.

    Attributes
    ----------
    refine_above : float
        Pairs with at least this LOD are optimised on the likelihood itself, as are all pairs for
        which polynomials do not suffice.
    """

    refine_above: float

    @classmethod
    def of(
        cls,
        basis: Basis,
        model: NullModel,
        *,
        reml: bool,
        refine_above: float,
        effects: bool = False,
    ) -> Self:
        """Prepare the traits that a null model could be fitted to."""
        traits = PairTraits.of_model(basis, model, reml=reml)
        return cls(traits, effects, refined_from(refine_above, basis.n))

    def __getstate__(self) -> dict[str, Any]:
        """Leave expansions out of pickles: a worker makes those that it needs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def folded(self) -> Expansion:
        """Expansion for markers without a part in the null space of the kinship."""
        basis = self.traits.basis
        return self._expanded(basis.projected, fold(basis, self.traits.rotated)[1])

    @cached_property
    def _unfolded(self) -> Expansion:
        basis = self.traits.basis
        if basis.rank == basis.rows:
            return self.folded
        return self._expanded(Projected.of(basis, folded=False), self.traits.rotated)

    def _expanded(self, projected: Projected, y: Array) -> Expansion:
        traits = self.traits
        return Expansion.of(projected, y, traits.h2, traits.count, reml=traits.reml)

    def _found(self, genotypes: Array, *, single: bool) -> Columns:
        basis = self.traits.basis
        if self.effects or basis.graded or basis.to_projected is None:
            return super()._found(genotypes, single=single)
        x, varies = project_markers(basis, genotypes)
        return self._filled(
            varies, lambda tested: _Block.of(self.traits, self.folded, x[tested]), single=single
        )

    def _scores(self, markers: Markers, *, single: bool) -> Columns:
        width = markers.rotated.shape[1]

        def block(tested: Index) -> _Block:
            expansion = self.folded if width <= self.traits.basis.rank else self._unfolded
            x = markers.rotated[tested] @ expansion.projected.vectors[:width]
            return _Block.of(self.traits, expansion, x)

        return self._filled(markers.tested, block, single=single)

    def _filled(self, varies: Flags, block: Callable[[Index], _Block], *, single: bool) -> Columns:
        """Scores of all markers, from a block of those that vary."""
        out = Scores.empty(len(varies), len(self.traits.h2), single=single)
        tested = np.flatnonzero(varies)
        if len(tested):  # else a kinship may have no row beside the covariates
            self._score(block(tested), tested, out, single=single)
        settle(out, self.traits, varies)
        return {"lod": out.lod, "h2_alt": out.h2_alt, "refined": out.refined}

    def _score(self, block: _Block, tested: Index, out: Scores, *, single: bool) -> None:
        """Fill in the scores of the markers that are tested."""
        refined = _Refined(block, tested, out)
        for tile in block.climb(single=single):
            lod = tile.value * np.float32(TO_LOD)
            rows = tested[tile.rows]
            out.lod[rows, tile.columns] = lod.T
            out.h2_alt[rows, tile.columns] = tile.h2.T
            refined.add(tile, tile.unsure | (lod >= self.refine_above))
        refined.finish()


@dataclass(frozen=True)
class _Block:
    """A block of markers, and the traits of a group.

    Attributes
    ----------
    traits : PairTraits
    expansion : Expansion
    x : array (markers, r)
        Projected markers, none of them without variation.
    squares : array (markers, q)
        Terms of their squares.
    """

    traits: PairTraits
    expansion: Expansion
    x: Array
    squares: Array

    @classmethod
    def of(cls, traits: PairTraits, expansion: Expansion, x: Array) -> Self:
        """Compress the squares of markers."""
        return cls(traits, expansion, x, (x * x) @ expansion.projected.compression.matrix)

    def climb(self, *, single: bool) -> Iterator[Climbed]:
        """Maxima near the null estimates, tile by tile."""
        traits = self.traits
        return iter(
            Climb(
                self.expansion,
                self.x,
                self.squares,
                traits.basis.n,
                traits.count,
                reml=traits.reml,
                single=single,
            )
        )

    @cached_property
    def _volumes(self) -> tuple[LogVolume, LogVolume]:
        return self.expansion.projected.log_volumes(reml=self.traits.reml)

    @cached_property
    def _null(self) -> Array:
        """Full likelihood (traits,) of the null models, with S_yy(h0) = 1."""
        return -0.5 * self._volumes[0].at(self.expansion.h0)

    @cached_property
    def _pairs(self) -> PairBlock:
        expansion, traits = self.expansion, self.traits
        return PairBlock.of(
            expansion.projected,
            self.x,
            expansion.inside,
            self.squares,
            expansion.terms,
            self._volumes[1],
            traits.count,
            reml=traits.reml,
        )

    def _sums(self, i: Index, j: Index, wanted: Flags) -> tuple[PairSums, Peaks]:
        """Terms of markers i and traits j, (pairs,), and the peaks of the wanted pairs."""
        terms, peaks = self._pairs.terms(i, j, wanted)
        poles, traits = self.expansion.projected.with_null, self.traits
        n, count = traits.basis.n, traits.count
        return PairSums(poles, terms, *self._volumes, n, count, traits.reml), peaks

    def climbed(
        self, i: Index, j: Index, start: Array, unsure: Flags
    ) -> tuple[Array, Array, Flags]:
        """Heritability and LOD of markers i and traits j, and whether the maximum was found.

        All are (pairs,). The maximum is that near `start`; where it is `unsure` that it is the
        largest, all peaks of the likelihood on the mesh are climbed.
        """
        spectrum = self.expansion.projected.spectrum
        mesh, h2_max = spectrum.mesh, spectrum.h2_max
        sums, peaks = self._sums(i, j, unsure)
        near = np.flatnonzero(~unsure)
        pair = np.concatenate([near, peaks.pair])
        before = mesh[np.maximum(peaks.point - 1, 0)]
        after = mesh[np.minimum(peaks.point + 1, len(mesh) - 1)]
        beside = start[peaks.pair]
        first = np.where((beside > before) & (beside < after), beside, mesh[peaks.point])
        low, high = np.zeros(len(near)), np.full(len(near), h2_max)
        found, value, full, well = sums.climb(
            pair,
            np.concatenate([start[near], first]),
            np.concatenate([low, before]),
            np.concatenate([high, after]),
            h2_max,
        )
        order = np.lexsort((value, pair))  # the last write of a pair is its best
        h2, best, sure = start.copy(), np.empty(len(start)), ~peaks.lost
        h2[pair[order]], best[pair[order]] = found[order], full[order]
        sure[pair[~well]] = False
        return h2, self._lods(j, best), sure

    def searched(self, i: Index, j: Index) -> tuple[Array, Array]:
        """Heritability and LOD of markers i and traits j, (pairs,), from all local maxima."""
        sums, _ = self._sums(i, j, np.zeros(len(i), np.bool_))
        h2, full, sure = sums.search(self.expansion.projected.spectrum.mesh)
        lod = self._lods(j, full)
        rest = np.flatnonzero(~sure)
        if len(rest):
            h2[rest], lod[rest] = self._on_rows(i[rest], j[rest])
        return h2, lod

    def _lods(self, j: Index, full: Array) -> Array:
        """LOD of traits j, with S_yy(h0) = 1, from the full likelihoods of pairs."""
        return (full - self._null[j]) * TO_LOD

    def _on_rows(self, i: Index, j: Index) -> tuple[Array, Array]:
        """The same on the projected rows themselves, for markers that explain nearly a trait."""
        traits, expansion = self.traits, self.expansion
        projected = expansion.projected
        spectrum, mesh = projected.spectrum, projected.spectrum.mesh
        x, y = projected.vectors @ self.x[i].T, expansion.y[:, j]
        yy = weights_at(projected.with_null, mesh).T @ expansion.terms[:, j]
        curves = -0.5 * traits.count * (np.log(yy).T + log_ratios(spectrum, x, y, mesh))
        curves -= 0.5 * self._volumes[1].at(mesh)
        if traits.reml:
            curves -= 0.5 * np.log(self._pairs.xx[i])
        h2, full = optimise_pairs(spectrum, x, y, mesh, curves, reml=traits.reml)
        null = ProfileLikelihood(spectrum, y, reml=False).at(traits.h2[j])
        return h2, (full - null.value) * TO_LOD


class _Refined:
    """Optimises pairs of a block on the likelihood itself, many at a time.

    Pairs wait until there are `_TOGETHER`: first for the climb from where their tile found a
    maximum, and then, if that has not found the largest, for a search of all maxima.
    """

    def __init__(self, block: _Block, rows: Index, out: Scores) -> None:
        self._block, self._rows, self._out = block, rows, out
        self._climbing: list[tuple[Index, Index, Array, Flags]] = []
        self._searching: list[tuple[Index, Index]] = []

    def add(self, tile: Climbed, wanted: Flags) -> None:
        """Add the wanted pairs (traits, markers) of a tile."""
        flat = np.flatnonzero(wanted)
        if not len(flat):
            return
        c, r = np.divmod(flat, wanted.shape[1])
        start = tile.h2.reshape(-1)[flat].astype(np.float64)
        unsure = tile.unsure.reshape(-1)[flat]
        self._climbing.append((r + tile.rows.start, c + tile.columns.start, start, unsure))
        if sum(len(part[0]) for part in self._climbing) >= _TOGETHER:
            self._climb()

    def finish(self) -> None:
        """Optimise all pairs that still wait."""
        self._climb()
        if self._searching:
            self._search()

    def _climb(self) -> None:
        for i, j, start, unsure in _batches(self._climbing):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # perfect fits
                h2, lod, sure = self._block.climbed(i, j, start, unsure)
            self._write(i[sure], j[sure], h2[sure], lod[sure])
            self._searching.append((i[~sure], j[~sure]))
        self._climbing.clear()
        if sum(len(part[0]) for part in self._searching) >= _TOGETHER:
            self._search()

    def _search(self) -> None:
        for i, j in _batches(self._searching):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # perfect fits
                h2, lod = self._block.searched(i, j)
            self._write(i, j, h2, lod)
        self._searching.clear()

    def _write(self, i: Index, j: Index, h2: Array, lod: Array) -> None:
        rows, out = self._rows[i], self._out
        out.lod[rows, j] = np.minimum(lod, largest_lod(self._block.traits.basis.n))
        out.h2_alt[rows, j] = h2
        out.refined[rows, j] = True


def _batches(parts: Sequence[tuple[npt.NDArray[Any], ...]]) -> Iterator[list[npt.NDArray[Any]]]:
    """Yield the arrays, joined, in batches of about `_TOGETHER`, whose vectors stay in cache."""
    if not parts:
        return
    whole = [np.concatenate(part) for part in zip(*parts, strict=True)]
    count = -(-len(whole[0]) // _TOGETHER)
    for some in np.array_split(np.arange(len(whole[0])), count) if count else ():
        yield [part[some] for part in whole]
