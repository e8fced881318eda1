"""Hits: the pairs above a threshold, streamed from any result."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
import weakref

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, false_discovery_control
from studies import result_of

import bulklmm_dask as blmm
from bulklmm_dask.analyses.options import PASSING_SCAN, SCAN
from bulklmm_dask.cli import main
from bulklmm_dask.results import hit_search, hit_sift, hit_tables, runs
from bulklmm_dask.results import hits as module
from bulklmm_dask.storage.places.location import Location

COLUMNS = ["trait", "variant", "contig", "position", "lod", "h2"]
LAST = ["effect_allele", "other_allele", "frequency", "n"]
LOOSE = {"check_dtype": False, "rtol": 1e-6}  # of tables that were written as text


@pytest.fixture
def lod():
    lod = np.random.default_rng(0).exponential(size=(100, 12)).astype("float32")
    lod[50] = lod[20]  # equal LODs
    lod[:, 5] = np.nan
    return lod


def slow(lod, threshold, top) -> list[tuple[str, str]]:
    """Names of the hits, trait by trait, of falling LOD."""
    out = []
    for j in range(lod.shape[1]):
        column = [(-value, i) for i, value in enumerate(lod[:, j]) if value >= threshold]
        out += [(f"t{j}", f"m{i}") for _, i in sorted(column)[:top]]
    return out


@pytest.mark.parametrize("chunks", [None, (100, 12), (7, 5), (33, 1)])
@pytest.mark.parametrize(("threshold", "top"), [(3, None), (3, 2), (None, 3), (None, 200)])
def test_hits_are_those_of_the_whole_matrix(lod, chunks, threshold, top):
    contig = np.repeat([0, 1, 2], [40, 25, 35])
    result = result_of(lod if chunks is None else da.from_array(lod, chunks=chunks), contig)
    table = blmm.find_hits(result, threshold=threshold, top=top)
    assert list(table) == [*COLUMNS, *LAST]
    expected = slow(lod, -np.inf if threshold is None else threshold, top)
    assert list(zip(table.trait, table.variant, strict=True)) == expected
    i = [int(name[1:]) for name in table.variant]
    j = [int(name[1:]) for name in table.trait]
    np.testing.assert_array_equal(table.lod, lod[i, j])
    assert table.contig.tolist() == [f"c{contig[k]}" for k in i]
    np.testing.assert_array_equal(table.position, i)
    np.testing.assert_array_equal(table.h2, np.linspace(0, 1, 12)[j])


def test_the_threshold_itself_is_a_hit():
    assert len(blmm.find_hits(result_of(np.array([[4.3, 4.2]], "float32")), threshold=4.3)) == 1


def test_thresholds_by_trait_and_contig(lod):
    result = result_of(da.from_array(lod, chunks=(9, 5)), np.repeat([0, 1], 50))
    by_trait = pd.Series(np.linspace(1, 5, 12), index=result.traits.values)
    table = blmm.find_hits(result, threshold=by_trait[::-1])
    assert len(table) == (lod >= by_trait.to_numpy().astype("float32")).sum()
    by_contig = xr.DataArray([2.0, np.inf], {"contigs": ["c0", "c1"]}, "contigs")
    assert len(blmm.find_hits(result, threshold=by_contig)) == (lod[:50] >= 2).sum()
    both = by_contig + xr.DataArray(by_trait, dims="traits", coords={"traits": by_trait.index})
    expected = (lod[:50] >= (2 + by_trait.to_numpy()).astype("float32")).sum()
    assert len(blmm.find_hits(result, threshold=both)) == expected


@pytest.mark.slow
def test_all_that_a_scan_tells_of_a_pair():
    ds = studies.study(n=40, p=30, m=9, covariates=1, missing=0.2)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    wanted = ("beta", "se", "neg_log10_p", "explained")
    chunks = {"variants": 7, "traits": 4}
    result = blmm.scan(ds, loco=True, method="alt-exact", statistics=wanted, chunks=chunks)
    table = blmm.find_hits(result, threshold=1)
    assert list(table) == [*COLUMNS, "h2_alt", "refined", *wanted, *LAST, "effect_unit"]
    known = result.compute()
    for row in table.itertuples():
        pair = known.sel(variants=row.variant, traits=row.trait)
        for name in ("lod", "h2_alt", *wanted):
            assert getattr(row, name) == pair[name]
        assert row.h2 == known.h2.sel(contigs=row.contig, traits=row.trait)
    assert len(table) == (known.lod >= 1).sum() > 5


def test_effects_of_several_genotypes_have_a_column_each():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), size=(40, 20))
    ds = blmm.create_dataset(shares, rng.standard_normal((40, 5)))
    ds = ds.assign_coords(genotype_id=("genotypes", np.array(["AA", "AB", "BB"], object)))
    result = blmm.scan(ds, kinship=None, statistics=("beta",))
    table = blmm.find_hits(result, top=1)
    effects = [f"beta_{name}" for name in result.genotypes.values]
    assert list(table) == [*COLUMNS, "df", *effects, *LAST, "effect_unit"]
    first = table.iloc[0]
    expected = result.beta.sel(variants=first.variant, traits=first.trait)
    np.testing.assert_array_equal(first[effects].to_numpy(float), expected)


def test_without_a_map_the_place_is_empty(lod):
    bare = result_of(lod).drop_vars(["variant_contig", "variant_position", "contig_id"])
    table = blmm.find_hits(bare, threshold=3)
    assert set(table.contig) == {""}
    assert table.position.isna().all()


def test_cis_hits(lod):
    result = result_of(da.from_array(lod, chunks=(9, 5)))
    places = pd.DataFrame({"contig": "c0", "position": 50.0}, index=[f"t{i}" for i in range(11)])
    table = blmm.find_hits(result, threshold=2, trait_positions=places, cis_window=10)
    inside = (table.position - 50).abs() <= 10
    assert table.cis.isna().tolist() == (table.trait == "t11").tolist()
    assert table.cis.fillna(False).tolist() == (inside & (table.trait != "t11")).tolist()


@pytest.mark.parametrize(
    "scheduler",
    ["synchronous", "threads", pytest.param("processes", marks=pytest.mark.slow)],
    indirect=True,
)
def test_a_parquet_folder_holds_the_same(lod, tmp_path, scheduler):
    pytest.importorskip("pyarrow")
    lod[:, 8:] /= 100  # a chunk of traits without hits
    result = result_of(da.from_array(lod, chunks=(30, 4)))
    path = tmp_path / "hits.parquet"
    with dask.config.set(scheduler=scheduler):
        written = blmm.find_hits(result, threshold=3, store=path)
    expected = blmm.find_hits(result, threshold=3)
    assert written == len(expected)
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected)
    assert len(list(path.iterdir())) == 2
    with pytest.raises(blmm.StoreError, match="exists"):
        blmm.find_hits(result, threshold=3, store=path)
    assert blmm.find_hits(result, threshold=99, store=path, overwrite=True) == 0
    none = pd.read_parquet(path)
    assert none.empty
    assert list(none) == [*COLUMNS, *LAST]


@pytest.fixture
def tight(monkeypatch):
    """Hardly any memory: every hit goes through files, few at a time."""
    monkeypatch.setattr(hit_search, "_IN_MEMORY", 0)
    monkeypatch.setattr(hit_sift, "_MOST", 40)
    monkeypatch.setattr(hit_tables, "_GROUP", 50)
    monkeypatch.setattr(runs, "_TOGETHER", 60)
    monkeypatch.setattr(runs, "_LEAST", 4)


@pytest.mark.parametrize("where", ["disk", "memory"])
@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.5},
        {"threshold": 1, "top": 3},
        {"top": 4},
        {"threshold": 99},
        {"fdr": 0.9},
        {"fdr": 1e-9},
        {"fdr": 0.8, "top": 2},
    ],
    ids=str,
)
def test_hits_that_do_not_fit_into_memory_are_the_same(mixed, tmp_path, tight, where, options):
    result = result_of(da.from_array(mixed, chunks=(30, 7)), np.repeat([0, 1], 100))
    result = result.assign(beta=(("variants", "traits"), -result.lod.data))
    expected = blmm.find_hits(result, **options)
    path = tmp_path / "hits.parquet" if where == "disk" else f"memory://{uuid.uuid4()}/h.parquet"
    for again in (False, True):
        assert blmm.find_hits(result, store=path, overwrite=again, **options) == len(expected)
        names = Location.of(path).names()
        assert all(hit_tables.is_part(name) for name in names)
        pq = pytest.importorskip("pyarrow.parquet")
        with Location.of(path).at_hand() as folder:
            pd.testing.assert_frame_equal(pd.read_parquet(folder), expected)
            groups = [pq.ParquetFile(folder / name).num_row_groups for name in names]
        assert max(groups) > (len(expected) > 1000)


@pytest.mark.parametrize(
    "scheduler", [pytest.param("processes", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("options", [{"threshold": 0.5}, {"fdr": 0.8}], ids=str)
def test_processes_hand_hits_on_through_files(mixed, tmp_path, monkeypatch, scheduler, options):
    monkeypatch.setattr(hit_search, "_IN_MEMORY", 0)
    result = result_of(da.from_array(mixed, chunks=(30, 7)))
    with dask.config.set(scheduler=scheduler):
        blmm.find_hits(result, store=tmp_path / "hits.parquet", **options)
    found = pd.read_parquet(tmp_path / "hits.parquet")
    pd.testing.assert_frame_equal(found, blmm.find_hits(result, **options))


def test_nothing_that_a_killed_worker_was_writing_stays(lod, tmp_path, monkeypatch):
    def left_behind(tables, runs, chunk, beside):
        (tables.folder / f".part-{chunk}.parquet.partial").local.write_text("half")
        return part(tables, runs, chunk, beside)

    part = hit_tables.Tables.part
    monkeypatch.setattr(hit_tables.Tables, "part", left_behind)
    result = result_of(da.from_array(lod, chunks=(30, 4)))
    blmm.find_hits(result, threshold=1, store=tmp_path / "hits.parquet")
    names = sorted(path.name for path in (tmp_path / "hits.parquet").iterdir())
    assert names == [f"part-0000{chunk}.parquet" for chunk in range(3)]


MEASURED = """
import sys
import numpy as np
import bulklmm_dask as blmm
from bulklmm_dask.engine.local import workers

if __name__ == "__main__":
    study, out, variants, traits, threshold, fdr = sys.argv[1:]
    ds = blmm.open_dataset(study).isel(variants=slice(int(variants)), traits=slice(int(traits)))
    result = blmm.scan(ds, kinship=None, chunks={"variants": 512, "traits": 512})
    how = {"fdr": float(fdr)} if float(fdr) else {"threshold": float(threshold)}
    with workers(threads=1):
        hits = blmm.find_hits(result, store=out, overwrite=True, **how)
    status = open("/proc/self/status").read()
    print(hits, next(line.split()[1] for line in status.splitlines() if "VmHWM" in line))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_grows_with_neither_markers_nor_traits_nor_hits(tmp_path):
    """Where many pairs are hits, each of which takes 70 bytes of a table at least.

    Genotypes, here 240 bytes a marker, are held as long as other chunks of traits need them.
    """
    rng = np.random.default_rng(0)
    n, p, m = 60, 8192, 2048
    factor = rng.standard_normal((n, 1))
    dosages = np.clip(np.round(1 + factor + rng.standard_normal((n, p))), 0, 2)
    ds = blmm.create_dataset(dosages, factor + rng.standard_normal((n, m)))
    blmm.save(ds, tmp_path / "study.zarr")
    (tmp_path / "measured.py").write_text(MEASURED)

    def measured(variants, traits, threshold, fdr=0):
        arguments = [tmp_path / "study.zarr", tmp_path / "hits.parquet", variants, traits]
        arguments += [threshold, fdr]
        command = [sys.executable, tmp_path / "measured.py", *arguments]
        done = subprocess.run(
            [str(part) for part in command],
            env=os.environ | {"MALLOC_ARENA_MAX": "1"},
            check=True,
            capture_output=True,
            text=True,
        )
        hits, peak = done.stdout.split()
        return int(hits), int(peak) / 1024

    once, peak = measured(p // 2, m // 2, 3.5)
    for options in (
        (p, m // 2, 3.5),
        (p // 2, m, 3.5),
        (p // 2, m // 2, 2.0),
        (p // 2, m // 2, 0, 0.01),
    ):
        hits, other = measured(*options)
        assert (hits - once) * 70 / 2**20 > 50, options
        assert other < 1.15 * peak, options


def test_a_folder_of_other_things_is_never_replaced(lod, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(blmm.StoreError, match="not replaced"):
        blmm.find_hits(result_of(lod), top=1, store=tmp_path, overwrite=True)


def test_without_pyarrow_nothing_is_begun(lod, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(blmm.InputError, match="pip install pyarrow"):
        blmm.find_hits(result_of(lod), top=1, store=tmp_path / "hits.parquet")
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_leaves_nothing_behind(tmp_path):
    pytest.importorskip("pyarrow")

    def block(block_id):
        if block_id == (3, 3):
            raise RuntimeError("lost")
        return np.ones((5, 5), "float32")

    lod = da.map_blocks(block, chunks=((5,) * 4, (5,) * 4), dtype="f4", meta=np.empty((0, 0), "f4"))
    with pytest.raises(RuntimeError, match="lost"):
        blmm.find_hits(result_of(lod), threshold=1, store=tmp_path / "hits.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["hits", "top", "peaks"])
def test_every_block_is_computed_once_and_few_are_held(what):
    lock, computed, held, most = threading.Lock(), [], set(), [0]

    def block(block_id):
        with lock:
            out = np.full((10, 5), sum(block_id), dtype="float32")
            computed.append(block_id)
            held.add(block_id)
            most[0] = max(most[0], len(held))
            weakref.finalize(out, held.discard, block_id)
        return out

    chunks = ((10,) * 20, (5,) * 30)
    lod = da.map_blocks(block, chunks=chunks, dtype="f4", meta=np.empty((0, 0), "f4"))
    result = result_of(lod, np.repeat([0, 1, 2, 3], 50))
    second = {"beta": (("variants", "traits"), -lod)}
    if what == "peaks":
        assert len(blmm.find_peaks(result, threshold=45)) == 5 * 3
    elif what == "top":
        assert len(blmm.find_hits(result.assign(second), top=1)) == 150
    else:
        found = blmm.find_hits(result.assign(second), threshold=48)
        assert (found.lod == -found.beta).all()
        assert len(found) == 50
    assert sorted(computed) == sorted(np.ndindex(20, 30))
    assert most[0] <= 60  # of 600


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the genotypes are read as they are used")
def test_hits_of_a_scan_too_large_for_memory():
    """200,000 x 40,000 scores are 32 GB; the hits of some traits take a moment."""
    n = 20
    rng = np.random.default_rng(0)
    genotypes = da.from_array(rng.binomial(2, 0.5, (n, 1000)).astype(np.float32), chunks=(n, 1000))
    ds = blmm.create_dataset(
        da.concatenate([genotypes] * 200, axis=1),
        da.from_array(rng.standard_normal((n, 40_000)), chunks=(n, 4096)),
        maximum=2,
    )
    result = blmm.scan(ds, kinship=np.eye(n))
    assert result.lod.nbytes == 32e9
    few = result.isel(traits=slice(0, 4), variants=slice(0, 20_000))
    table = blmm.find_hits(few, top=20)
    narrow = blmm.scan(ds.isel(traits=slice(0, 4), variants=slice(0, 1000)), kinship=np.eye(n))
    best = blmm.max_lod(narrow)
    assert (table.groupby("trait").lod.nunique() == 1).all()  # each marker is there 20 times
    np.testing.assert_allclose(table.lod[::20], best.lod, atol=1e-6)


def test_options_that_make_no_sense(lod):
    result = result_of(lod)
    with pytest.raises(blmm.InputError, match=r"give threshold=5, or fdr=0.05, or top=10"):
        blmm.find_hits(result)
    with pytest.raises(blmm.InputError, match="exclude each other"):
        blmm.find_hits(result, threshold=5, fdr=0.05)
    for fdr in (0, 1, 5, "low", np.nan):
        with pytest.raises(blmm.InputError, match="fdr is"):
            blmm.find_hits(result, fdr=fdr)
    for top in (0, 1.5, "x"):
        with pytest.raises(blmm.InputError, match="whole number from 1 on"):
            blmm.find_hits(result, top=top)
    with pytest.raises(blmm.InputError, match="threshold is nan"):
        blmm.find_hits(result, threshold=np.nan)
    with pytest.raises(blmm.InputError, match="find_hits needs the Dataset"):
        blmm.find_hits(result.lod, top=1)
    with pytest.raises(blmm.InputError, match="has no LODs"):
        blmm.find_hits(result.isel(traits=slice(0)), top=1)


def all_rates(result) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p of the whole matrix, NaN where there is no test."""
    lod = result.lod.values
    df = result.df.values if "df" in result else np.ones(lod.shape, int)
    p = np.where(df > 0, chi2.sf(2 * np.log(10) * np.maximum(lod, 0), np.maximum(df, 1)), 1.0)
    out = np.full(lod.shape, np.nan)
    known = ~np.isnan(lod)
    out[known] = false_discovery_control(p[known])
    return out


def require_equal_rates(result, fdr, **options) -> pd.DataFrame:
    table = blmm.find_hits(result, fdr=fdr, **options)
    rates = xr.DataArray(all_rates(result), dims=("variants", "traits"), coords=result.lod.coords)
    assert len(table) == (rates <= fdr).sum()
    i, j = xr.DataArray(table.variant, dims="hit"), xr.DataArray(table.trait, dims="hit")
    np.testing.assert_allclose(table.fdr, rates.sel(variants=i, traits=j), rtol=1e-9)
    assert (table.groupby("trait", sort=False).lod.diff().dropna() <= 0).all()
    return table


@pytest.fixture
def mixed():
    """LODs, most of them of chance alone, with ties, negative ones and a trait without any."""
    rng = np.random.default_rng(3)
    lod = (rng.chisquare(1, (200, 30)) / (2 * np.log(10))).astype("float32")
    lod[rng.integers(200, size=40), rng.integers(30, size=40)] += 5
    lod[100:110] = lod[90:100]
    lod[:, 4] = np.nan
    lod[7] = 0
    lod[8, :5] = -1e-5
    return lod


@pytest.mark.parametrize("chunks", [None, (30, 7)])
@pytest.mark.parametrize("fdr", [1e-9, 0.01, 0.05, 0.3, 0.9])
def test_a_false_discovery_rate_is_that_of_all_pairs(mixed, chunks, fdr):
    result = result_of(mixed if chunks is None else da.from_array(mixed, chunks=chunks))
    table = require_equal_rates(result, fdr)
    assert list(table) == [*COLUMNS, "fdr", *LAST]
    assert len(table) > 5 or fdr < 0.01
    double = result_of(mixed.astype(float))
    assert len(require_equal_rates(double, fdr)) == len(table)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    lods=st.lists(st.sampled_from([0.0, 0.3, 0.31, 1.0, 2.0, 2.5, 40.0]), min_size=1, max_size=40),
    fdr=st.floats(0.001, 0.999),
)
def test_any_set_of_tied_lods_has_the_rates_of_scipy(lods, fdr):
    result = result_of(np.array([lods]).T)
    rates = all_rates(result)
    if np.abs(rates - fdr).min() > 1e-9:
        require_equal_rates(result, fdr)


def test_no_hit_at_a_rate_is_an_empty_table(lod):
    table = blmm.find_hits(result_of(lod * 0), fdr=0.5)
    assert list(table) == [*COLUMNS, "fdr", *LAST]
    assert table.empty
    assert blmm.find_hits(result_of(lod * np.nan), fdr=0.5).empty


def test_p_values_too_small_for_a_float_keep_their_order():
    lod = np.full((50, 4), 0.1)
    lod[0] = [400.0, 500.0, 600.0, 5.0]
    table = require_equal_rates(result_of(lod), 0.05)
    assert table.fdr.tolist()[:3] == [0.0] * 3


@pytest.mark.parametrize("fdr", [0.05, 0.5])
def test_the_rate_of_a_scan_with_several_degrees_of_freedom(fdr):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), size=(40, 20))
    shares[:, :5] = np.eye(3)[rng.integers(2, size=(40, 5))]  # two of three genotypes: 1 df
    shares[:, 5] = 1 / 3  # nothing to test
    ds = blmm.create_dataset(shares, rng.standard_normal((40, 30)) + 2 * shares[:, [8], 0])
    result = blmm.scan(ds, kinship=None, chunks={"variants": 6, "traits": 8}).compute()
    assert set(np.unique(result.df)) == {0, 1, 2}
    table = require_equal_rates(result, fdr)
    assert {1, 2} == set(table.df) or fdr < 0.5
    best = blmm.find_hits(result, fdr=fdr, top=2)
    expected = table.groupby("trait", sort=False).head(2).reset_index(drop=True)
    pd.testing.assert_frame_equal(best, expected)


def test_the_rate_of_a_scan_that_leaves_contigs_out():
    ds = studies.study(n=40, p=30, m=20, missing=0.2)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    result = blmm.scan(ds, loco=True, statistics="beta", chunks={"variants": 7, "traits": 4})
    known = result.compute()
    table = require_equal_rates(known, 0.5)
    pd.testing.assert_frame_equal(blmm.find_hits(result, fdr=0.5), table)
    assert list(table) == [*COLUMNS, "fdr", "beta", *LAST, "effect_unit"]
    for row in table.itertuples():
        assert row.h2 == known.h2.sel(contigs=row.contig, traits=row.trait)


@pytest.mark.parametrize("fdr", [0.05, 0.8])
def test_a_parquet_folder_of_a_rate_holds_the_same(mixed, tmp_path, fdr):
    pytest.importorskip("pyarrow")
    result = result_of(da.from_array(mixed, chunks=(30, 7)))
    places = pd.DataFrame({"contig": "c0", "position": 50.0}, index=[f"t{i}" for i in range(11)])
    options = {"fdr": fdr, "top": 4, "trait_positions": places}
    path = tmp_path / "hits.parquet"
    expected = blmm.find_hits(result, **options)
    assert blmm.find_hits(result, store=path, **options) == len(expected)
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected)
    assert expected.cis.notna().any()
    assert blmm.find_hits(result, fdr=1e-300, store=path, overwrite=True) == 0
    assert pd.read_parquet(path).empty


@pytest.mark.parametrize(("fdr", "passes"), [(0.01, 1), (0.6, 2)])
def test_blocks_are_computed_again_only_where_hits_are_many(mixed, fdr, passes):
    computed = []

    def block(lod):
        computed.append(lod.shape)
        return lod

    # 0.5% of all pairs fit into the first pass
    lod = np.tile(mixed[:, :3] * 0.01, (1, 10)) if fdr < 0.1 else mixed
    lod[0, 0] = 9
    lazy = da.from_array(lod, chunks=(100, 10)).map_blocks(block, meta=np.empty((0, 0), "f4"))
    assert len(blmm.find_hits(result_of(lazy), fdr=fdr)) >= 1
    assert len(computed) == 6 * passes


def test_an_infinite_threshold_lets_nothing_through(lod):
    assert blmm.find_hits(result_of(lod), threshold=np.inf, top=3).empty


def run(*arguments, code=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("hits") / "lod.zarr"
    ds = blmm.simulate_study(n_traits=30, n_samples=60, n_variants=200, seed=1)
    blmm.scan(ds.assign(kinship=blmm.kinship(ds)), store=path)
    return path


@pytest.mark.slow
def test_commands_give_what_the_library_gives(stored, tmp_path):
    result = blmm.open_result(stored)
    out = tmp_path / "hits.csv"
    assert "written to" in run("hits", stored, "--threshold", 3, "--top", 2, "--out", out).stderr
    expected = blmm.find_hits(result, threshold=3, top=2)
    assert "cis" in expected
    pd.testing.assert_frame_equal(pd.read_csv(out, dtype={"contig": str}), expected, **LOOSE)
    rate = run("hits", stored, "--fdr", 0.1).stdout.splitlines()
    assert len(rate) == len(blmm.find_hits(result, fdr=0.1)) + 1 > 10
    shown = run("hits", stored, "--top", 1, "--cis-window", 1).stdout
    assert len(shown.splitlines()) == 31
    peaks = tmp_path / "peaks.csv"
    run("peaks", stored, "--threshold", 4, "--peakdrop", 2, "--drop", 1, "--out", peaks)
    expected = blmm.find_peaks(result, threshold=4, peakdrop=2, drop=1)
    pd.testing.assert_frame_equal(pd.read_csv(peaks, dtype={"contig": str}), expected, **LOOSE)
    bayes = run("peaks", stored, "--prob", 0.9).stdout
    assert len(bayes.splitlines()) == len(blmm.find_peaks(result, prob=0.9)) + 1
    counted = tmp_path / "hotspots.csv"
    run("hotspots", peaks, "--window", 10, "--out", counted)
    expected = blmm.hotspots(blmm.find_peaks(result, threshold=4, peakdrop=2, drop=1), window=10)
    pd.testing.assert_frame_equal(pd.read_csv(counted, dtype={"contig": str}), expected, **LOOSE)


def test_the_command_writes_parquet_and_reads_it_again(stored, tmp_path):
    pytest.importorskip("pyarrow")
    out = tmp_path / "hits.parquet"
    run("hits", stored, "--threshold", 3, "--out", out)
    assert "--overwrite" in run("hits", "--help").stdout
    assert "exists" in run("hits", stored, "--threshold", 3, "--out", out, code=1).stderr
    run("hits", stored, "--threshold", 3, "--out", out, "--overwrite")
    assert len(run("hotspots", out, "--window", 5).stdout.splitlines()) > 2


@pytest.mark.slow
def test_files_have_the_adjusted_p_of_the_table(study, tmp_path, monkeypatch):
    """The same in a table and in files, whose row groups are adjusted one after another."""
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("bulklmm_dask.results.hit_tables._GROUP", 7)
    perm, lod = tmp_path / "perm.zarr", tmp_path / "lod.zarr"
    run("permute", study, perm, "--permutations", 250)
    run("scan", study, lod, "--chunks", "100,8")
    for source in (study, lod):
        out = tmp_path / f"{source.stem}.parquet"
        run("hits", source, "--threshold", 1.5, "--perm", perm, "--out", out)
        expected = blmm.adjusted_p(
            blmm.open_result(perm), blmm.find_hits(blmm.open_result(lod), threshold=1.5)
        )
        assert set(expected.p_source) == {"counted", "tail"}
        pd.testing.assert_frame_equal(pd.read_parquet(out), expected)
        table = tmp_path / f"{source.stem}.csv"
        run("hits", source, "--threshold", 1.5, "--perm", perm, "--out", table)
        assert list(pd.read_csv(table)) == list(expected)
    found = blmm.find_hits(blmm.open_result(lod), threshold=1.5, perm=blmm.open_result(perm))
    pd.testing.assert_frame_equal(found, expected)
    out = tmp_path / "none.parquet"
    run("hits", lod, "--threshold", 500, "--perm", perm, "--out", out)
    assert list(pd.read_parquet(out)) == list(expected)
    with pytest.raises(blmm.InputError, match="needs the Dataset that permute gives"):
        blmm.find_hits(blmm.open_result(lod), threshold=1.5, perm=blmm.open_result(lod))


@pytest.fixture(scope="module")
def study(stored):
    path = stored.parent / "study.zarr"
    ds = blmm.simulate_study(n_traits=30, n_samples=60, n_variants=200, seed=1)
    blmm.save(ds.assign(kinship=blmm.kinship(ds)), path)
    return path


def test_hits_of_a_study_are_those_of_its_result(study, stored):
    of_study = run("hits", study, "--fdr", 0.1)
    assert "30 traits x 200 markers, 60 samples; " in of_study.stderr
    assert "only the hits are kept" in of_study.stderr
    of_result = run("hits", stored, "--fdr", 0.1)
    assert of_study.stdout == of_result.stdout
    assert len(of_study.stdout.splitlines()) > 5


def test_hits_of_a_study_take_the_options_of_a_scan(study, tmp_path):
    pytest.importorskip("pyarrow")
    out = tmp_path / "hits.parquet"
    given = ("--method", "alt-grid", "--reml", "--statistics", "beta,se")
    given += ("--precision", "single", "--chunks", "64,8", "--covariates", "none")
    run("hits", study, "--threshold", 2, "--out", out, *given)
    result = blmm.scan(
        blmm.open_dataset(study),
        method="alt-grid",
        reml=True,
        statistics=["beta", "se"],
        precision="single",
        covariates=False,
    )
    expected = blmm.find_hits(result, threshold=2)
    pd.testing.assert_frame_equal(pd.read_parquet(out), expected, rtol=1e-4)
    assert len(expected) > 5
    shown = run("hits", "--help").stdout
    for row in SCAN:
        assert (row.flag in shown) == (row.name not in ("compression", "digits", "share"))


def test_options_of_a_scan_are_refused_for_its_result(stored):
    for row in PASSING_SCAN:
        value = () if row.kind is bool else (row.choices or ("1",))[:1]
        done = run("hits", stored, "--top", 1, row.flag, *value, code=2)
        assert row.flag in done.stderr


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_path_is_refused_by_the_name_of_its_argument(empty, stored):
    for command, name in (
        (("hits", empty), "STUDY|RESULT"),
        (("maxima", empty), "RESULT"),
        (("maxima", stored, "--out", empty), "--out"),
        (("hits", stored, "--top", 1, "--perm", empty), "--perm"),
        (("scan", empty, "x"), "STUDY"),
        (("scan", stored, empty), "RESULT"),
        (("info", empty), "STORE"),
        (("verify", empty), "STORES"),
    ):
        said = run(*command, code=2).stderr
        assert f"'{name}" in said
        assert f"the path {empty!r} names nothing" in said


def test_commands_say_what_is_wrong(stored, tmp_path):
    assert "give --threshold 5" in run("hits", stored, code=2).stderr
    assert "exclude each other" in run("peaks", stored, "--drop", 1, "--prob", 0.9, code=2).stderr
    assert "there is no" in run("hotspots", tmp_path / "no.csv", "--window", 5, code=1).stderr
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    odd = run("hotspots", tmp_path / "odd.csv", "--window", 5, code=1).stderr
    assert "no column 'trait'" in odd
