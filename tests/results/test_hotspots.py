"""Hotspots: traits counted in sliding windows."""

from __future__ import annotations

import dask
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import result_of

import bulklmm_dask as blmm
from bulklmm_dask.analyses.hotspot_baseline import hotspot_baseline
from bulklmm_dask.analyses.inputs.covariates import covariate_matrix, model_columns
from bulklmm_dask.analyses.null_studies import NullStudy
from bulklmm_dask.cli import main
from bulklmm_dask.describe import describe
from bulklmm_dask.lmm.permute.signs import Directions, random_signs
from bulklmm_dask.lmm.samples import Samples


def findings(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["trait", "contig", "position"])


@pytest.mark.slow
@settings(max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "X"]), st.integers(0, 40)
        ),
        min_size=1,
    ),
    window=st.sampled_from([1.0, 4.0, 7.0]),
    step=st.sampled_from([None, 1.0, 3.0]),
)
def test_counts_are_those_of_looking_into_every_window(rows, window, step):
    table = findings(rows)
    counts = blmm.hotspots(table, window=window, step=step)
    assert set(counts.contig) == set(table.contig)
    for row in counts.itertuples():
        near = (table.position - row.position).abs() <= window / 2
        inside = table[near & (table.contig == row.contig)]
        assert row.findings == len(inside)
        assert row.traits == inside.trait.nunique()
    for name, mine in counts.groupby("contig"):
        position = table.position[table.contig == name]
        assert mine.position.min() <= position.min() <= position.max() <= mine.position.max()
        np.testing.assert_allclose(np.diff(mine.position), step or window / 2)


def test_with_a_study_counts_are_at_its_markers():
    position = np.array([0.0, 5, 5, 10, 2, 4])
    study = result_of(np.zeros((6, 1)), contig=[0, 0, 0, 0, 1, 1], position=position)
    table = findings([("a", "c0", 4.0), ("b", "c0", 6.0), ("b", "c0", 7.5), ("c", "c0", 9.0)])
    counts = blmm.hotspots(table, study, window=5)
    assert counts.contig.tolist() == ["c0", "c0", "c0", "c1", "c1"]
    assert counts.position.tolist() == [0, 5, 10, 2, 4]
    assert counts.findings.tolist() == [0, 3, 2, 0, 0]
    assert counts.traits.tolist() == [0, 2, 2, 0, 0]
    steps = blmm.hotspots(table, study, window=5, step=4)
    assert steps.position.tolist() == [0, 4, 8, 12, 0, 4]
    with pytest.raises(blmm.InputError, match="not in the study: '7'"):
        blmm.hotspots(findings([("a", "7", 1.0)]), study, window=5)


def test_without_findings_there_are_no_hotspots():
    assert list(blmm.hotspots(findings([]), window=1)) == [
        "contig",
        "position",
        "traits",
        "findings",
    ]
    study = result_of(np.zeros((3, 1)))
    assert blmm.hotspots(findings([]), study, window=1).traits.tolist() == [0, 0, 0]


def test_what_makes_no_sense_is_refused():
    table = findings([("a", "1", 1.0)])
    for options, message in (
        ({"window": 0}, "window is 0; it should be positive"),
        ({"window": "wide"}, "window is 'wide'"),
        ({"window": 1, "step": -1}, "step is -1"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            blmm.hotspots(table, **options)
    with pytest.raises(blmm.InputError, match="no column 'contig'"):
        blmm.hotspots(table.drop(columns="contig"), window=1)
    with pytest.raises(blmm.InputError, match="1 of the findings have no position"):
        blmm.hotspots(findings([("a", "", np.nan)]), window=1)


@pytest.fixture(scope="module")
def study():
    """60 samples of 20 strains, 40 traits, of which ten share a locus."""
    ds = blmm.simulate_study(
        n_traits=40, n_samples=60, n_strains=20, n_variants=80, n_contigs=4, n_covariates=1, seed=5
    )
    rng = np.random.default_rng(0)
    ds["sample_trait"] = ds.sample_trait * 0 + rng.standard_normal((60, 40))
    ds["sample_trait"][:, :10] += 2 * ds.call_dosage.values[30][:, None]
    ds["kinship"] = blmm.kinship(ds).compute()
    return ds


def baseline_of(traits, **attrs) -> pd.DataFrame:
    table = pd.DataFrame({"permutation": np.arange(len(traits)), "traits": traits})
    table.attrs.update({"window": 4.0, "step": None, "threshold": None, "seed": 0} | attrs)
    return table


@settings(max_examples=60)
@given(
    highest=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    alpha=st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9]),
)
def test_a_count_above_the_threshold_is_one_of_a_small_p(highest, alpha):
    whole = result_of(np.zeros((7, 1)), contig=np.arange(7), position=np.zeros(7))
    table = findings([(f"{k}-{j}", f"c{k}", 0.0) for k in range(7) for j in range(k)])
    baseline = baseline_of(highest)
    if alpha * (1 + len(highest)) < 1 - 1e-9:
        with pytest.raises(blmm.InputError, match="gives levels from"):
            blmm.hotspots(table, whole, window=4, baseline=baseline, alpha=alpha)
        return
    counts = blmm.hotspots(table, whole, window=4, baseline=baseline, alpha=alpha)
    assert counts.traits.tolist() == list(range(7))
    for row in counts.itertuples():
        as_many = sum(each >= row.traits for each in highest)
        assert row.p_adjusted == (1 + as_many) / (1 + len(highest))
        assert (row.traits > counts.attrs["threshold"]) == (row.p_adjusted <= alpha + 1e-12)
    assert counts.attrs["alpha"] == alpha


def test_a_baseline_of_something_else_is_refused(study):
    table = findings([("a", "1", 1.0)]).assign(lod=3.5)
    for options, message in (
        ({"baseline": baseline_of([1])}, "give the study"),
        ({"study": study, "baseline": baseline_of([1], window=5.0)}, "window is 4.0, but 5.0"),
        ({"study": study, "baseline": baseline_of([1], step=2.0)}, "step is None, but 2.0"),
        ({"study": study, "baseline": baseline_of([1], threshold=4.0)}, "has LOD 3.5"),
        ({"study": study, "baseline": table}, "baseline should be what hotspot_baseline"),
        ({"study": study, "baseline": baseline_of([1] * 19), "alpha": 0.01}, "from 0.05 to"),
        ({"study": study, "baseline": baseline_of([1] * 19), "alpha": 2}, "alpha is 2"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            blmm.hotspots(table, window=4, **options)


@pytest.mark.slow
def test_a_hotspot_is_found_and_the_same_seed_gives_the_same(study):
    options = {"window": 5.0, "threshold": 1.5}
    baseline = hotspot_baseline(study, n_permutations=19, seed=1, **options)
    assert baseline.traits.between(1, 9).all()
    peaks = blmm.find_peaks(blmm.scan(study), threshold=1.5)
    counts = blmm.hotspots(peaks, study, window=5, baseline=baseline)
    best = counts.loc[counts.traits.idxmax()]
    assert best.traits >= 9 > counts.attrs["threshold"]
    assert best.p_adjusted == 1 / 20
    again = hotspot_baseline(study, n_permutations=4, seed=1, **options)
    assert again.traits.tolist() == baseline.traits.tolist()[:4]
    lazy = study.chunk({"traits": 7, "variants": 30})
    with dask.config.set(scheduler="synchronous"):
        other = hotspot_baseline(lazy, n_permutations=4, seed=1, chunks={"traits": 9}, **options)
    assert other.equals(again)
    assert not hotspot_baseline(study, n_permutations=4, seed=2, **options).equals(again)


def null_traits(ds, number=0, weights=None):
    """The traits of a null data set."""
    matrix = covariate_matrix(ds, model_columns(ds, True))
    samples = Samples(matrix, ds.kinship.values, weights)
    signs = random_signs(0, number, ds.sizes["samples"])
    return NullStudy.of(ds, samples).with_signs(signs).sample_trait


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_changing_signs_keeps_every_h2(study, reml, weighted):
    weights = np.random.default_rng(0).uniform(0.5, 2, 60) if weighted else None
    traits = null_traits(study, weights=weights)
    options = {"reml": reml, "weights": weights}
    known = blmm.scan(study, **options)
    other = blmm.scan(study.assign(sample_trait=traits), **options)
    np.testing.assert_allclose(other.h2, known.h2, atol=1e-6)
    np.testing.assert_allclose(other.sigma2, known.sigma2, rtol=1e-6)
    assert np.abs(other.lod - known.lod).max() > 1


def test_values_that_are_missing_stay_missing(study):
    values = study.sample_trait.values.copy()
    values[:7, 3:9] = np.nan
    values[20:22, 8] = np.nan
    values[:, 11] = np.nan
    values[:, 12] = 4.0
    ds = study.assign(sample_trait=(("samples", "traits"), values))
    traits = null_traits(ds).values
    usual = np.setdiff1d(np.arange(40), [11, 12])
    np.testing.assert_array_equal(np.isnan(traits[:, usual]), np.isnan(values[:, usual]))
    assert np.isnan(traits[:, 11:13]).all()
    whole = np.flatnonzero(~np.isnan(values).any(axis=0) & (np.arange(40) != 12))
    np.testing.assert_array_equal(traits[:, whole], null_traits(study).values[:, whole])
    scatter = np.nanvar(traits[:, 3:9], axis=0) / np.nanvar(values[:, 3:9], axis=0)
    assert scatter.min() > 0.5
    assert scatter.max() < 2


def test_samples_without_a_covariate_take_no_part(study):
    ds = study.copy(deep=True)
    ds["sample_covariate"][4, 0] = np.nan
    with pytest.warns(blmm.StudyWarning, match="lack a covariate"):
        traits = null_traits(ds).values
    assert np.isnan(traits[4]).all()
    assert not np.isnan(np.delete(traits, 4, axis=0)).any()
    with pytest.warns(blmm.StudyWarning, match="lack a covariate"):
        few = hotspot_baseline(ds, window=5, n_permutations=2)
    rest = np.delete(np.arange(60), 4)
    without = ds.isel(samples=rest, samples_0=rest, samples_1=rest)
    assert few.equals(hotspot_baseline(without, window=5, n_permutations=2))


@pytest.mark.slow
def test_leaving_contigs_out_and_ordinary_regression(study):
    ds = study.assign(kinship_loco=blmm.kinship(study, loco=True))
    counts = hotspot_baseline(ds, window=5, threshold=2, n_permutations=3, loco=True)
    assert counts.traits.between(1, 39).all()
    plain = hotspot_baseline(
        ds, window=5, threshold=2, n_permutations=3, kinship=None, precision="single"
    )
    assert plain.traits.between(1, 39).all()


@pytest.mark.parametrize("strains", [40, 10])
def test_chance_is_as_frequent_as_it_says(strains):
    """Traits with a genetic background in common, and nothing at any marker beyond that."""
    rng = np.random.default_rng(1)
    n, p, m, repeats, draws, h2 = 40, 60, 50, 300, 9, 0.6
    x = rng.binomial(1, 0.5, (strains, p))[np.arange(n) % strains].astype(float)
    x -= x.mean(axis=0)
    kinship = x @ x.T / np.trace(x @ x.T) * n
    values, vectors = np.linalg.eigh(kinship)
    root = vectors * np.sqrt(np.maximum(values, 0))
    ones = np.ones((n, 1))
    directions = Directions.of(Samples(ones, kinship)).back
    whiten = np.linalg.inv(np.linalg.cholesky(h2 * kinship + (1 - h2) * np.eye(n)))
    base = np.linalg.qr(whiten @ ones)[0]
    free = whiten - base @ (base.T @ whiten)
    markers = free @ x
    markers /= np.linalg.norm(markers, axis=0)

    def most(traits):
        y = free @ traits
        r2 = (markers.T @ y) ** 2 / (y * y).sum(axis=0)
        return (r2 > 0.25).sum(axis=1).max()

    p_values = []
    for _ in range(repeats):
        shared = rng.standard_normal((n, 2)) @ rng.standard_normal((2, m))
        genetic = root @ (shared + rng.standard_normal((n, m)))
        y = np.sqrt(h2 / 3) * genetic + np.sqrt(1 - h2) * rng.standard_normal((n, m))
        along = directions.T @ y
        null = [
            most(directions @ (random_signs(int(rng.integers(1e9)), k, n - 1)[:, None] * along))
            for k in range(draws)
        ]
        p_values.append((1 + sum(each >= most(y) for each in null)) / (1 + draws))
    for alpha in (0.1, 0.3):
        share = np.mean(np.array(p_values) <= alpha)
        assert share <= alpha + 2.6 * np.sqrt(alpha * (1 - alpha) / repeats)
        assert share > 0.3 * alpha  # counts are often equal, which errs on the safe side


def test_a_baseline_says_what_it_cannot_do(study):
    for options, message in (
        ({"n_permutations": 0}, "n_permutations is 0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"condition": "m1"}, "condition is no option"),
        ({"statistics": "beta"}, "statistics is no option"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            hotspot_baseline(study, window=5, **options)
    with pytest.raises(blmm.InputError, match="window is 0"):
        hotspot_baseline(study, window=0, n_permutations=1)
    bare = study.drop_vars("variant_position")
    with pytest.raises(blmm.InputError, match="no variant_position"):
        hotspot_baseline(bare, window=5)


def stop_after(number):
    """A progress that stops a run once so many data sets are finished."""

    def report(progress):
        if progress.done == number:
            raise KeyboardInterrupt

    return report


@pytest.mark.slow
@pytest.mark.parametrize("loco", [False, True])
def test_a_store_goes_on_where_it_stopped(study, tmp_path, loco):
    ds = study.assign(kinship_loco=blmm.kinship(study, loco=True).compute())
    options = {"window": 5, "threshold": 2, "n_permutations": 5, "seed": 3, "loco": loco}
    whole = hotspot_baseline(ds, **options)
    path = tmp_path / "baseline.zarr"
    for done in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            hotspot_baseline(ds, **options, store=path, progress=stop_after(done))
    with pytest.raises(blmm.StoreError, match="unfinished: 4 of 5 blocks"):
        blmm.open_result(path)
    reports = []
    rest = hotspot_baseline(ds, **options, store=path, progress=reports.append)
    pd.testing.assert_frame_equal(rest, whole)
    assert rest.attrs == whole.attrs
    assert [(each.done, each.total) for each in reports] == [(4, 5), (5, 5)]
    assert reports[-1].tests_done == reports[-1].tests_total == 5 * 80 * 40
    reports.clear()
    again = hotspot_baseline(
        ds.chunk({"traits": 7}), **options, store=path, progress=reports.append
    )
    pd.testing.assert_frame_equal(again, whole)
    assert [each.done for each in reports] == [5]
    assert "baseline of hotspots, finished" in describe(path)


def test_a_store_of_something_else_is_refused(study, tmp_path):
    path = tmp_path / "baseline.zarr"
    options = {"window": 5, "n_permutations": 2}
    hotspot_baseline(study, **options, store=path)
    moved = study.assign(variant_position=study.variant_position + 1.0)
    other = study.assign(sample_trait=study.sample_trait + 1.0)
    by_trait = pd.Series(3.0, index=study.traits.values)
    for ds, change, what in (
        (study, {"window": 6}, "options"),
        (study, {"seed": 1}, "options"),
        (study, {"n_permutations": 3}, "options"),
        (study, {"threshold": 4}, "options"),
        (study, {"threshold": by_trait}, "options"),
        (study, {"peakdrop": 1.5}, "options"),
        (study, {"reml": True}, "options"),
        (study, {"weights": np.arange(60) + 1.0}, "weights"),
        (study, {"covariates": False}, "covariates"),
        (study, {"kinship": np.eye(60)}, "kinship"),
        (moved, {}, "labels"),
        (other, {}, "traits"),
    ):
        with pytest.raises(blmm.StoreError, match=f"made from other inputs: .*{what}"):
            hotspot_baseline(ds, **options | change, store=path)
    blmm.scan(study, store=tmp_path / "lod.zarr")
    with pytest.raises(blmm.StoreError, match="not permutations and genomes"):
        hotspot_baseline(study, **options, store=tmp_path / "lod.zarr")


@pytest.mark.slow
def test_the_command_goes_on_with_a_store(study, tmp_path):
    store, peaks = tmp_path / "study.zarr", tmp_path / "peaks.csv"
    blmm.save(study, store)
    blmm.find_peaks(blmm.scan(study), threshold=2.5).to_csv(peaks, index=False)
    kept, out = tmp_path / "baseline.zarr", tmp_path / "hotspots.csv"
    given = [str(peaks), "--window", "5", "--study", str(store), "--permutations", "19"]
    given += ["--threshold", "2.5", "--store", str(kept), "--out", str(out), "--overwrite"]
    tables = []
    for _ in range(2):
        done = CliRunner().invoke(main, ["hotspots", *given])
        assert done.exit_code == 0, done.output
        tables.append(out.read_text())
    assert tables[0] == tables[1]
    assert "done in" in done.stderr
    without = CliRunner().invoke(main, ["hotspots", str(peaks), "--window", "5", "--store", "x"])
    assert without.exit_code == 2
    assert "--store keeps what --permutations" in without.stderr


@pytest.mark.slow
def test_the_command_compares_with_chance(study, tmp_path):
    store, peaks = tmp_path / "study.zarr", tmp_path / "peaks.csv"
    blmm.save(study, store)
    blmm.find_peaks(blmm.scan(study), threshold=2.5).to_csv(peaks, index=False)
    usual = ["hotspots", str(peaks), "--window", "5", "--permutations", "19"]
    without = CliRunner().invoke(main, usual)
    assert without.exit_code == 2
    assert "needs --study and --threshold" in without.stderr
    out = tmp_path / "hotspots.csv"
    more = ["--study", str(store), "--threshold", "2.5", "--seed", "1", "--out", str(out)]
    done = CliRunner().invoke(main, [*usual, *more])
    assert done.exit_code == 0, done.output
    assert "in one window have a probability of 0.05 by chance" in done.stderr
    baseline = hotspot_baseline(study, window=5, threshold=2.5, n_permutations=19, seed=1)
    found = blmm.find_peaks(blmm.scan(study), threshold=2.5)
    expected = blmm.hotspots(found, study, window=5, baseline=baseline)
    table = pd.read_csv(out, dtype={"contig": str})
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)


def test_a_baseline_keeps_the_model_that_it_counts(tmp_path):
    rng = np.random.default_rng(1)
    names = ["AA", "AB", "BB"]
    ds = blmm.create_dataset(
        rng.dirichlet(np.ones(3), size=(30, 5)),
        rng.normal(size=(30, 4)),
        contigs=["1"] * 5,
        positions=range(5),
    ).assign_coords(genotypes=names, genotype_id=("genotypes", names))
    options = {"window": 2, "kinship": None, "n_permutations": 2, "threshold": 1}
    blmm.hotspot_baseline(ds, model="additive", store=tmp_path / "b.zarr", **options)
    assert blmm.open_result(tmp_path / "b.zarr").attrs["model"] == "additive"
