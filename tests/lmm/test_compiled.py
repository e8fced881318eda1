"""The compiled loops against NumPy, for every set of instructions that the processor has."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask._compiled import NUMPY, VARIABLE
from bulklmm_dask.lmm.alt.climb import Climb
from bulklmm_dask.lmm.alt.exact import AltExact
from bulklmm_dask.lmm.alt.peaks import PairBlock
from bulklmm_dask.lmm.alt.sums import PairSums
from bulklmm_dask.lmm.basis import fold, make_basis
from bulklmm_dask.lmm.compiled.climb import Limits, TraitTable, climb_tile
from bulklmm_dask.lmm.compiled.grid import grid_tile
from bulklmm_dask.lmm.compiled.loops import available, built, loops
from bulklmm_dask.lmm.compiled.scores import LARGEST_R2, lods_of_scores
from bulklmm_dask.lmm.lod import ROUNDING
from bulklmm_dask.lmm.markers import prepare_markers
from bulklmm_dask.lmm.null.fit import fit_null
from bulklmm_dask.lmm.projected import LogVolume, Projected

SETS = range(len(available()) - 1)
needed = pytest.mark.skipif(built() is None, reason="the loops were not built")
SHAPES = [(1, 1), (3, 63), (2, 64), (5, 65), (7, 200), (0, 5), (4, 0)]


def tile(shape, dtype, seed=0):
    """Scores and inverses whose r2 reaches from 0 to beyond what the loop computes."""
    rng = np.random.default_rng(seed)
    score = rng.standard_normal(shape) * rng.choice([1e-6, 0.05, 0.5], shape)
    return score.astype(dtype), rng.uniform(0.5, 2.0, shape)


def lods(score, inverse, n, limit, which, out=None):
    out = np.full(score.shape, np.nan, np.float32) if out is None else out
    again = np.full((1, score.size), -1)
    return out, lods_of_scores(score, inverse, n, limit, out, again, which)


@needed
@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("limit", [LARGEST_R2, 0.1])
def test_lods_are_those_of_the_logarithm(which, dtype, shape, limit):
    score, inverse = tile(shape, dtype)
    r2 = score.astype(float) ** 2 * inverse
    out, again = lods(score, inverse, 300, limit, which)
    # Whether r2 is above the limit is known but for its rounding.
    near = np.abs(r2.ravel() / limit - 1) < 1e-6
    np.testing.assert_array_equal(
        np.setdiff1d(again, np.flatnonzero(near)),
        np.setdiff1d(np.flatnonzero(r2 > limit), np.flatnonzero(near)),
    )
    low = np.ones(r2.size, bool)
    low[again] = False
    expected = -150 * np.log1p(-np.where(r2 < 1, r2, 0.0)) / np.log(10)
    factor = 1 / (1 - np.minimum(r2, LARGEST_R2))  # by which an error of r2 moves the LOD
    of_r2 = 1 if dtype == np.float64 else 4
    gap = np.abs(out - expected) / (ROUNDING * np.maximum(expected, 1e-300))
    assert (gap.ravel()[low] <= (5 + of_r2 * factor).ravel()[low]).all()
    assert (out.ravel()[again] == 0).all()


@needed
@pytest.mark.parametrize("which", SETS)
def test_a_pair_is_computed_in_the_same_way_wherever_it_stands(which):
    """In whole blocks, at the end of a row, unaligned, and as a view of larger arrays."""
    score, inverse = tile((40, 333), np.float64)
    whole, again = lods(score, inverse, 100, 0.2, which)
    for start, stop in [(0, 1), (5, 70), (64, 128), (131, 333)]:
        room = np.full((80, 400), np.nan, np.float32)
        out = room[::2, 3 : 3 + stop - start]
        part, listed = lods(score[:, start:stop], inverse[:, start:stop], 100, 0.2, which, out)
        np.testing.assert_array_equal(part, whole[:, start:stop])
        i, j = np.divmod(again, 333)
        mine = (j >= start) & (j < stop)
        expected = i[mine] * (stop - start) + j[mine] - start
        np.testing.assert_array_equal(listed, expected)
        room[::2, 3 : 3 + stop - start] = np.nan
        assert np.isnan(room).all()  # nothing else was written


@needed
@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_awkward_scores(which, dtype):
    score = np.zeros((1, 70), dtype)
    score[0, :6] = 0.0, -0.0, np.nan, np.inf, -np.inf, np.finfo(dtype).max
    score[0, 66] = np.nan
    inverse = np.ones((1, 70))
    inverse[0, 6] = np.nan
    out, again = lods(score, inverse, 100, 0.2, which)
    np.testing.assert_array_equal(again, [3, 4, 5])
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(out)), [2, 6, 66])
    rest = np.delete(out[0], [2, 6, 66])
    assert (rest == 0).all()
    assert not np.signbit(rest).any()


@needed
def test_arrays_that_do_not_fit_are_refused():
    module = built()
    score, inverse = tile((4, 6), np.float64)
    out, again = np.zeros((4, 6), np.float32), np.zeros((1, 24), np.int64)
    with pytest.raises(ValueError, match=r"out has the shape \(3, 6\), score \(4, 6\)"):
        module.lods(score, inverse, out[:3], again, 0.2, 1.0, 0)
    with pytest.raises(ValueError, match="room for every pair"):
        module.lods(score, inverse, out, again[:, :23], 0.2, 1.0, 0)
    with pytest.raises(TypeError, match="score has to have 2 axes"):
        module.lods(score.T[::2].T, inverse, out, again, 0.2, 1.0, 0)
    with pytest.raises(TypeError, match=r"inverse has to have .* the format 'f'"):
        module.lods(score, inverse.astype(np.float32), out, again, 0.2, 1.0, 0)
    with pytest.raises(TypeError, match="again has to have 2 axes"):
        module.lods(score, inverse, out, again[0], 0.2, 1.0, 0)
    out.flags.writeable = False
    with pytest.raises((BufferError, ValueError), match=r"read-only|writable"):
        module.lods(score, inverse, out, again, 0.2, 1.0, 0)
    with pytest.raises(ValueError, match="loops 9: this processor has 0 to"):
        module.lods(score, inverse, np.zeros((4, 6), np.float32), again, 0.2, 1.0, 9)


@needed
def test_threads_compute_beside_each_other():
    score, inverse = tile((100, 500), np.float64)
    expected, _ = lods(score, inverse, 100, 0.2, SETS[-1])
    found = [None] * 4

    def work(k):
        for _ in range(20):
            found[k] = lods(score, inverse, 100, 0.2, SETS[-1])[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize("kernels", available())
def test_the_environment_chooses(kernels, monkeypatch):
    monkeypatch.setenv(VARIABLE, f" {kernels.upper()} ")
    assert loops() == (None if kernels == NUMPY else available().index(kernels) - 1)
    monkeypatch.delenv(VARIABLE)
    assert loops() == (len(available()) - 2 if len(available()) > 1 else None)


def test_a_name_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "sse9")
    with pytest.raises(blmm.InputError, match=f"{VARIABLE}='sse9', but here are only numpy"):
        loops()


def test_numpy_takes_over_where_they_were_not_built():
    code = (
        "import sys; sys.modules['bulklmm_dask.lmm.compiled._kernels'] = None\n"
        "from bulklmm_dask.lmm.compiled.loops import available, loops\n"
        "print(available(), loops())"
    )
    words = [sys.executable, "-c", code]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert said.stdout == "('numpy',) None\n"


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("reml", [False, True])
def test_scans_are_those_of_numpy(precision, reml, monkeypatch):
    """Strong pairs, copies of markers, missing values and a marker without variation."""
    ds = studies.study(n=90, p=150, m=80, covariates=1, seed=8)
    ds["sample_trait"][:, :5] += 3 * ds.call_dosage[:5].T.values
    ds["sample_trait"][3, 7:11] = np.nan
    ds["call_dosage"][17] = 1.0
    found = {}
    for kernels in available():
        monkeypatch.setenv(VARIABLE, kernels)
        found[kernels] = blmm.scan(ds, precision=precision, reml=reml).lod.values
    expected = found.pop(NUMPY)
    assert expected.max() > 12
    for lod in found.values():
        np.testing.assert_allclose(lod, expected, atol=1e-4 if precision == "single" else 1e-5)


def block_of(*, reml, seed=0):
    """Markers and traits of many kinds: weak, strong, with maxima at ends and between."""
    rng = np.random.default_rng(seed)
    n, rank, p, m = 60, 40, 30, 20
    factor = rng.standard_normal((n, rank))
    basis = make_basis(factor @ factor.T / rank, np.ones((n, 1)))
    x = rng.standard_normal((n, p))
    y = rng.standard_normal((n, m)) + rng.choice([0.0, 0.5, 3.0], m) * x[:, :m]
    y += rng.choice([0.0, 2.0], m) * (factor @ rng.standard_normal((rank, m)))
    spectrum, turned = fold(basis, basis.vectors.T @ np.concatenate([x, y], axis=1))
    projected = Projected.of(spectrum, folded=True)
    xs, ys = (np.ascontiguousarray(part.T @ projected.vectors) for part in np.split(turned, [p], 1))
    terms = projected.square_terms(turned[:, p:], ys.T)
    volumes = [projected.log_volume(reml=kind) for kind in (False, reml)]
    squares = (xs * xs) @ projected.compression.matrix
    count = n - 2 * reml
    block = PairBlock.of(projected, xs, ys, squares, terms, volumes[1], count, reml=reml)
    return block, PairSums(projected.with_null, terms, *volumes, n, count, reml), spectrum.mesh


@pytest.mark.parametrize("kernels", available()[1:])
@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("pairs", [0, 1, 8, 603])
def test_sums_of_pairs_are_those_of_numpy(kernels, reml, pairs, monkeypatch):
    block, sums, mesh = block_of(reml=reml)
    rng = np.random.default_rng(1)
    i, j = rng.integers(len(block.x), size=pairs), np.sort(rng.integers(20, size=pairs))
    j[: pairs // 2] = rng.permutation(j[: pairs // 2])
    some = rng.permutation(pairs)  # as many as there are, in another order
    h2 = rng.uniform(0, mesh[-1], pairs)
    h2[:2], h2[-1:] = mesh[-1], 0.0
    wanted = rng.random(pairs) < 0.7

    def found(which):
        monkeypatch.setenv(VARIABLE, which)
        terms, peaks = block.terms(i, j, wanted)
        of_pairs = replace(sums, terms=terms)
        empty = np.empty(0, np.int64)
        every, low, high = np.arange(pairs), np.zeros(pairs), np.full(pairs, mesh[-1])
        return {
            "terms": (terms,),
            "peaks": (peaks.pair, peaks.point, peaks.lost),
            "derivatives": of_pairs.derivatives(some, h2[some]),
            "none": of_pairs.derivatives(empty, np.empty(0)),
            "values": of_pairs.values(some, h2[some]),
            "volume": (sums.full.at(h2),),
            "climb": of_pairs.climb(every, h2, low, high, mesh[-1]),
            "search": of_pairs.search(mesh),
            "mesh": of_pairs.on_mesh(mesh)[:1],
        }

    fast, slow = found(kernels), found(NUMPY)
    for name, expected in slow.items():
        for one, other in zip(fast[name], expected, strict=True):
            assert one.dtype == other.dtype
            if name not in ("climb", "search"):
                np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10, err_msg=name)
    # The likelihoods themselves have these peaks.
    value = slow["mesh"][0]
    peak = (value >= value.max(axis=0, initial=-np.inf) - 0.1) & wanted
    peak[1:] &= value[1:] > value[:-1]
    peak[:-1] &= value[:-1] >= value[1:]
    pair, point = np.nonzero(peak.T)
    assert not fast["peaks"][2].any()
    np.testing.assert_array_equal(fast["peaks"][:2], (pair, point))
    # Steps of Newton end by a rule: the value is the same, h2 only to the end of the rule.
    sure = slow["climb"][3]
    np.testing.assert_array_equal(fast["climb"][3], sure)
    np.testing.assert_allclose(fast["climb"][1][sure], slow["climb"][1][sure], atol=1e-8)
    np.testing.assert_allclose(fast["search"][1], slow["search"][1], atol=1e-8)


@pytest.mark.parametrize("kernels", available())
def test_a_pair_without_a_clear_peak_is_lost(kernels, monkeypatch):
    """A flat likelihood, whose peaks are rounding, one with many, and one of a perfect fit."""
    monkeypatch.setenv(VARIABLE, kernels)
    block, _, mesh = block_of(reml=False)
    wavy = 1.0 + 1e-6 * np.cos(np.pi * np.arange(len(mesh)))
    one = np.ones((1, len(mesh)))
    i, j = np.array([3, 3]), np.array([5, 6])
    block = replace(block, weights=np.ones_like(block.weights), xx=1e9 * one.repeat(30, axis=0))
    for root in (wavy[None], -one, np.nan * one):
        _, peaks = replace(block, root=root).terms(i, j, np.array([True, False]))
        assert not len(peaks.pair)
        np.testing.assert_array_equal(peaks.lost, [True, False])


@needed
def test_blocks_that_do_not_fit_are_refused():
    block, _, mesh = block_of(reml=False)
    i, wanted = np.arange(4), np.ones(4, np.bool_)
    for changed, marker, error in [
        ({"x": block.x[:, 1:].copy()}, 0, "y has to have -1 rows of 39"),
        ({"squares": block.squares[1:]}, 0, "squares has to have 30 rows of"),
        ({"root": np.ones((2, len(mesh)))}, 0, "root has 2 rows, not 1 or 30"),
        ({"xx": block.xx[:, 1:].copy()}, 0, "xx has to have 30 rows of"),
        ({}, 27, "i has 30, but there are 30"),
    ]:
        with pytest.raises((ValueError, IndexError), match=error):
            replace(block, **changed).terms(i + marker, i, wanted)


@pytest.mark.parametrize("kernels", available())
def test_log_volumes_lose_no_digits_where_eigenvalues_are_near_one(kernels, monkeypatch):
    monkeypatch.setenv(VARIABLE, kernels)
    poles = np.array([0.0, 1e-9, 1 - 1e-9, 1.0, 1 + 1e-12, 1.0005, 0.7, 1.5, 1e4])
    h2 = np.array([0.0, 1e-12, 0.3, 0.5, 0.999])
    for pole in poles:
        volume = LogVolume(np.array([pole]), np.ones(1))
        change = pole - 1.0
        expected = np.log1p(change * h2) / change if change else h2
        np.testing.assert_allclose(volume.at(h2), expected, rtol=1e-12, atol=1e-15)


@needed
def test_terms_that_do_not_fit_are_refused():
    module = built()
    poles, terms, some, h2 = np.ones(2), np.ones((2, 3, 4)), np.arange(4), np.zeros(4)
    out = np.empty((3, 4))
    with pytest.raises(ValueError, match="24 terms are not 3 of each of 3 poles"):
        module.pair_values(np.ones(3), terms[:, :, ::1], some, h2, out, 0)
    with pytest.raises(IndexError, match="some has 4, but there are 4 pairs"):
        module.pair_values(poles, terms, some + 1, h2, out, 0)
    with pytest.raises(ValueError, match="h2 has to be 4 numbers of a format in 'd'; it is 3"):
        module.pair_values(poles, terms, some, h2[:3], out, 0)
    with pytest.raises(ValueError, match="sums has to be 12 numbers"):
        module.pair_values(poles, terms, some, h2, out[:2], 0)
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        module.pair_values(poles, terms[:, :, ::2], some[:2], h2[:2], out, 0)


def climbed(scanner, markers, *, single):
    """Value, h2 and doubt of all pairs of a block, (markers, traits)."""
    traits, expansion = scanner.traits, scanner.folded
    x = markers.rotated @ expansion.projected.vectors[: markers.rotated.shape[1]]
    squares = (x * x) @ expansion.projected.compression.matrix
    n, count, reml = traits.basis.n, traits.count, traits.reml
    out = np.full((3, len(x), len(traits.h2)), np.nan)
    for tile in Climb(expansion, x, squares, n, count, reml=reml, single=single):
        for into, part in zip(out, (tile.value, tile.h2, tile.unsure), strict=True):
            into[tile.rows, tile.columns] = part.T
    return out


@pytest.mark.parametrize("kernels", available()[1:])
@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", ["distinct", "strains", "nearly unrelated"])
def test_climbs_are_those_of_numpy(kernels, reml, single, kind, monkeypatch):
    """Traits at both ends of the interval, perfect ones, and tiles that are not full."""
    rng = np.random.default_rng(5)
    n, p, m = 80, 531, 70
    strains = np.repeat(np.arange(20), 4) if kind == "strains" else np.arange(n)
    dosage = rng.binomial(2, 0.4, (p, n))[:, strains].astype(float)
    related = rng.binomial(2, 0.4, (300, n))[:, strains] - 0.8
    kinship = related.T @ related / 100
    if kind == "nearly unrelated":
        kinship = np.eye(n) + 1e-3 * kinship
    y = rng.standard_normal((n, m))
    y[:, 20:] += 3 * (related.T @ rng.standard_normal((300, m - 20))) / 17
    y[:, 30:40] += rng.uniform(1, 3, 10) * dosage[:10].T
    y[:, 45] = dosage[11]  # a perfect fit
    basis = make_basis(kinship, np.ones((n, 1)))
    model = fit_null(basis, y, reml=reml)
    scanner = AltExact.of(basis, model, reml=reml, refine_above=3.0)
    markers = prepare_markers(basis, dosage)
    monkeypatch.setenv(VARIABLE, kernels)
    value, h2, unsure = climbed(scanner, markers, single=single)
    monkeypatch.setenv(VARIABLE, NUMPY)
    expected, place, doubt = climbed(scanner, markers, single=single)
    both = (unsure == 0) & (doubt == 0)
    assert both.mean() > 0.5
    assert (unsure != doubt).mean() < 0.002  # those on the edge of a limit
    # What rounding leaves of either: hundreds of roundings of single precision in nats.
    np.testing.assert_allclose(value[both], expected[both], atol=3e-5, rtol=1e-5)
    steep = np.abs(expected[both]) > 1e-3
    assert np.quantile(np.abs(h2 - place)[both][steep], 0.99) < 1e-3


@needed
def test_tables_that_do_not_fit_are_refused():
    a, g = np.zeros((4, 2, 3), np.float32), np.ones((9, 2, 3), np.float32)
    inverse, far = np.ones((5, 3), np.float32), np.ones((1, 3), np.float32)
    limits = Limits(50, 50, 1e6, 0.01, 0.3, 0.999, False)

    def table(nodes, heights, columns=36, far_row=0):
        node = np.full((2, 4), nodes)
        places, rows = np.zeros((2, 4, 7), np.float32), np.array([-1, far_row])
        of_traits = np.zeros((2, columns), np.float32)
        return TraitTable(of_traits, node, np.array([heights] * 2), places, rows)

    with pytest.raises(ValueError, match="table has to be 72 numbers"):
        climb_tile(a, g, far, table(0, 4, columns=35), inverse, inverse, 0, limits, 0)
    for nodes, heights, first in [(5, 4, 0), (-1, 1, 0), (0, 5, 0), (0, -1, 0), (0, 4, 1)]:
        with pytest.raises(ValueError, match="do not fit each other"):
            climb_tile(a, g, far, table(nodes, heights), inverse, inverse, first, limits, 0)
    with pytest.raises(ValueError, match="do not fit each other"):
        climb_tile(a, g, far, table(0, 4, far_row=1), inverse, inverse, 0, limits, 0)
    value, _, unsure = climb_tile(a, g, far, table(4, 4), inverse, inverse, 0, limits, 0)
    assert value.shape == (2, 3)
    assert unsure.all()  # a range of t of nothing


@needed
@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("traits", "points", "markers"), [(3, 10, 200), (2, 1, 64), (0, 3, 5)])
@pytest.mark.parametrize("n", [20, 2000])
def test_the_best_of_several_points_has_the_least_cost(which, dtype, traits, points, markers, n):
    rng = np.random.default_rng(3)
    all_markers, first = markers + 7, 5
    score, inverse = (
        tile((traits, points, markers), dtype)[0],
        tile((points, all_markers), dtype)[1],
    )
    score[:, :, :2] = 1e-9  # no digit of a small r2 is lost
    inverse = inverse.astype(dtype)
    volume = rng.uniform(0.99, 1.01, (points, all_markers)).astype(dtype)
    factor = np.exp(rng.exponential(0.1, (traits, points))).astype(dtype)
    full = -rng.exponential(1.0, (traits, points)).astype(dtype)
    here = slice(first, first + markers)
    r2 = score.astype(float) ** 2 * inverse[:, here]
    score /= np.sqrt(np.maximum(r2 / 0.999, 1.0)).astype(dtype)
    r2 = score.astype(float) ** 2 * inverse[:, here]
    cost = (1 - r2) * factor[:, :, None] * volume[:, here]
    found = grid_tile(score, inverse, volume, factor, full, first, n, 0.6, 1 + 1e-3, which)
    assert found.lod.dtype == dtype
    if traits:
        least = np.take_along_axis(cost, found.best[:, None], axis=1)[:, 0]
        np.testing.assert_allclose(least, cost.min(axis=1), rtol=3 * np.finfo(dtype).eps / 1e-3)
        ties = (cost < 1.001 * cost.min(axis=1, keepdims=True)).sum(axis=1) > 1
        assert (ties != found.ties).mean() < 0.01
        np.testing.assert_array_equal((r2 > 0.6).any(axis=1), found.inexact)
    at = np.take_along_axis(r2, found.best[:, None], axis=1)[:, 0]
    value = np.take_along_axis(full.astype(float), found.best, axis=1)
    expected = (value - n / 2 * np.log1p(-at)) / np.log(10)
    eps = np.finfo(dtype).eps
    allowed = eps * (n * at / (1 - at) + 5 * np.abs(expected) + np.abs(value)) + 1e-300
    assert (np.abs(found.lod - expected) <= allowed).all()


@pytest.mark.parametrize("kernels", available()[1:])
@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_grids_are_those_of_numpy(kernels, reml, precision, monkeypatch):
    ds = studies.study(n=60, p=90, m=70, covariates=1, seed=4)
    ds["sample_trait"][:, :5] += 3 * ds.call_dosage[:5].T.values
    ds["call_dosage"][17] = 1.0
    ds["sample_trait"][:, 6] = ds.call_dosage[30].values  # a perfect fit
    options = {"method": "alt-grid", "reml": reml, "precision": precision}
    monkeypatch.setenv(VARIABLE, kernels)
    found = blmm.scan(ds, **options).compute()
    monkeypatch.setenv(VARIABLE, NUMPY)
    expected = blmm.scan(ds, **options).compute()
    allowed = 1e-4 if precision == "single" else 1e-9
    low = expected.lod.values < 100
    np.testing.assert_allclose(found.lod.values[low], expected.lod.values[low], atol=allowed)
    np.testing.assert_allclose(found.lod.values[~low], expected.lod.values[~low], rtol=1e-6)
    assert (found.h2_alt.values == expected.h2_alt.values).mean() > 0.999
