"""Plans of scans and permutations: what they say, against runs; what they read: nothing."""

from __future__ import annotations

import json
from dataclasses import fields

import dask
import dask.array as da
import numpy as np
import pytest
import studies
from studies import told

import bulklmm_dask as blmm
from bulklmm_dask.analyses.plan import foretold
from bulklmm_dask.engine.calibration import Rates
from bulklmm_dask.storage.places.location import Location

RATES = Rates(5e10, 5e10, 2e10, 5e-7, 5e-9, 3e-8, 0.0, 4e8, 0.9, 0.15, 1e-9)


@pytest.fixture
def rates(monkeypatch):
    """The speed of an imagined machine: no time goes into measuring that of this one."""
    monkeypatch.setattr("bulklmm_dask.analyses.plan.calibrate", lambda *_, **__: RATES)


def plan(*args, **options):
    return told(blmm.plan, *args, **options)[0]


HUGE = {
    "many traits": (248, 7_321, 32_445, "8GB"),
    "many pairs": (1_000, 10_000_000, 1_000_000, "16GB"),
    "many samples": (50_000, 500_000, 20_000, "400GB"),
}


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("method", ["null-exact", "alt-exact", "per-trait"])
def test_studies_of_any_size_are_planned(rates, name, method):
    n, variants, traits, memory = HUGE[name]
    sizes = {"n_samples": n, "n_variants": variants, "n_traits": traits}
    planned = plan(**sizes, method=method, workers=16, threads=2, memory=memory)
    assert planned.memory_bytes <= 0.7 * planned.memory_limit
    assert planned.memory["basis"] == 16 * n**2 or planned.memory["basis"] == 0
    rows = planned.chunks.get("variants", planned.chunks.get("permutations"))
    along = variants if "variants" in planned.chunks else 1000
    assert planned.n_blocks == -(-along // rows) * -(-traits // planned.chunks["traits"])
    assert planned.n_tasks > planned.n_blocks
    tests = float(variants) * traits * (planned.n_permutations or 1)
    assert planned.flops["blocks"] > 2 * tests * min(n, 100)
    # `alt-exact` decomposes also what is beside the covariates, and multiplies both.
    assert planned.flops["bases"] == (22.0 if method == "alt-exact" else 9.0) * n**3
    assert planned.total_seconds >= planned.seconds["scheduler"] + planned.seconds["bases"]
    if not planned.n_permutations:
        least = 4 if method == "null-exact" else 13
        assert planned.written_bytes == pytest.approx(0.9 * least * tests, rel=0.01)


def test_the_blocks_are_those_of_the_run(rates, tmp_path):
    ds = studies.study(n=30, p=50, m=20)
    for chunks in ("auto", {"variants": 7, "traits": 6}, {"traits": 3}):
        planned = plan(ds, chunks=chunks)
        seen = []
        store = tmp_path / str(len(str(chunks)))
        blmm.scan(ds, chunks=chunks, store=store, progress=seen.append)
        assert planned.n_blocks == seen[-1].total
        again = blmm.scan(ds, chunks=planned.chunks).lod
        assert again.data.blocks.size == planned.n_blocks


def test_permutations_are_cut_as_in_the_run(rates, tmp_path):
    ds = studies.study(n=30, p=50, m=20)
    seen = []
    blmm.permute(ds, n_permutations=40, store=tmp_path / "max.zarr", progress=seen.append)
    planned = plan(ds, "per-trait", n_permutations=40)
    assert planned.n_blocks == seen[-1].total
    assert planned.chunks == {"permutations": 40, "traits": 3}
    assert planned.n_permutations == 40


KERNELS = {"additive": "kinship", "cage": "@cage"}


def caged(**options):
    ds = studies.study(n=30, p=50, **options)
    return ds.assign(sample_cage=("samples", np.arange(30) % 7))


def test_several_kernels_are_cut_as_in_the_run(rates, tmp_path):
    ds = caged(m=20)
    seen = []
    blmm.permute(ds, kinship=KERNELS, n_permutations=5, store=tmp_path / "p", progress=seen.append)
    planned = plan(ds, "per-trait", kinship=KERNELS, n_permutations=5)
    assert planned.n_blocks == seen[-1].total
    assert planned.chunks == {"permutations": 5, "traits": 16}
    assert planned.notes == (
        "2 kernels, permuted with all components: shares are estimated again each time",
    )
    three = KERNELS | {"dominance": "dominance"}
    for kinship, way in ((KERNELS, "one trait after the other"), (three, "one trait after")):
        planned = plan(ds, kinship=kinship)
        lazy = blmm.scan(ds, kinship=KERNELS, chunks=planned.chunks)
        assert lazy.lod.data.blocks.size == planned.n_blocks
        assert way in planned.notes[0]
    many = plan(caged(m=80), kinship=KERNELS)
    assert many.notes[0].startswith("2 kernels, traits in bulk: ")
    assert many.memory["block"] > planned.memory["block"]


def test_it_is_said_before_a_run_with_several_kernels(rates):
    ds = caged(m=20)
    ds["sample_trait"] = ds.sample_trait.chunk(traits=5)
    how = {"kinship": KERNELS, "loco": False, "strata": None, "share": None}
    with dask.config.set(num_workers=3):
        said = foretold(ds, "null-exact", how)
        assert said == "2 kernels, one trait after the other: about 0:01"
        assert foretold(ds, "per-trait", how).startswith(
            "2 kernels, permuted with all components: "
        )
        with dask.config.set(num_workers=1):
            long = foretold(caged(m=4000), "null-exact", how)
    assert long.startswith("2 kernels, traits in bulk: about ")
    assert foretold(ds, "null-exact", {"kinship": "kinship"}) is None


def test_several_kernels_are_planned_without_them(rates):
    ds = caged(m=20)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    for method in ("null-exact", "per-trait"):
        known = plan(ds, method, kinship=KERNELS, loco=True)
        assert known.n_bases == 2
        lazy = ds.copy()
        for name in ("call_dosage", "sample_trait", "kinship", "kinship_loco"):
            lazy[name] = (ds[name].dims, refusing(ds[name].values), ds[name].attrs)
        planned = plan(lazy, method, kinship=KERNELS | {"cis": "centered:2"}, loco=True)
        assert planned.n_blocks == known.n_blocks
        assert planned.memory["basis"] > known.memory["basis"]
        sizes = {"n_samples": 30, "n_variants": 50, "n_traits": 20, "n_contigs": 2}
        other = plan(**sizes, method=method, kinship=KERNELS, loco=True)
        assert (other.memory, other.flops) == (known.memory, known.flops)
        for wrong, words in (
            ({"cage": "@age"}, "'age'.* no variable of that name"),
            ({"cage": "age"}, "the study has no matrix and no sample variable"),
            ({"residual": "kinship"}, "give it another name"),
        ):
            with pytest.raises(blmm.InputError, match=words):
                blmm.plan(ds, method, kinship=wrong)
    with pytest.raises(blmm.InputError, match=r"alt-exact.* and 2 kernels by name"):
        blmm.plan(ds, "alt-exact", kinship=KERNELS)
    with pytest.raises(blmm.InputError, match="names a part of a study, but only sizes"):
        blmm.plan(n_samples=30, n_variants=9, n_traits=2, kinship={"a": np.eye(30)})


def refusing(array):
    """A lazy array that cannot be computed."""

    def fail(block):
        raise AssertionError("read")

    return da.from_array(array).map_blocks(fail, dtype=array.dtype, meta=array[:0, :0])


@pytest.mark.parametrize("method", ["null-exact", "alt-grid", "per-trait"])
def test_nothing_of_a_lazy_study_is_read(rates, method):
    ds = studies.study(n=30, p=50, m=20)
    known = plan(ds, method)
    for name in ("call_dosage", "sample_trait", "kinship"):
        ds[name] = (ds[name].dims, refusing(ds[name].values), ds[name].attrs)
    planned = plan(ds, method)
    assert planned.n_blocks == known.n_blocks
    assert planned.memory == known.memory
    assert "same samples" in planned.notes[0]
    assert not known.notes


def test_sizes_are_planned_as_the_study_of_these_sizes(rates):
    ds = studies.study(n=30, p=50, m=20, covariates=2)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    sizes = {"n_samples": 30, "n_variants": 50, "n_traits": 20, "n_covariates": 2}
    for options in (
        {},
        {"method": "alt-exact", "reml": True},
        {"loco": True},
        {"kinship": None},
        {"covariates": False},
        {"statistics": ["beta", "neg_log10_p"], "chunks": {"variants": 10}},
    ):
        contigs = {"n_contigs": 2} if "loco" in options else {}
        one, other = plan(ds, **options), plan(**sizes, **contigs, **options)
        left = {"read_bytes", "notes"}
        for each in {field.name for field in fields(one)} - left:
            assert getattr(one, each) == getattr(other, each), each


def test_a_kinship_to_come_is_planned(rates):
    ds = studies.study(n=30, p=50, m=20)
    known = plan(ds)
    planned = plan(ds.drop_vars("kinship"))
    assert planned.memory == known.memory
    assert planned.notes == ("the study has no kinship yet; it is planned as if it had",)
    loco = plan(ds.drop_vars("kinship"), loco=True)
    assert loco.n_bases == 2
    with pytest.raises(blmm.InputError, match="no variable 'relation'"):
        plan(ds, kinship="relation")


def test_patterns_of_missing_values_are_counted_or_given(rates):
    ds = studies.study(n=30, p=50, m=20, missing=0.2)
    patterns = len(np.unique(np.isnan(ds.sample_trait.values), axis=1).T)
    assert patterns > 1
    assert plan(ds).n_bases == 1 + patterns
    assert plan(ds, n_patterns=7).n_bases == 8
    assert plan(ds, n_patterns=1).n_bases == 1


def test_the_bytes_are_those_of_the_files(tmp_path):
    ds = blmm.simulate_study(n_samples=60, n_strains=None, n_variants=700, n_traits=900)
    ds["kinship"] = blmm.kinship(ds)
    blmm.save(ds, tmp_path / "study.zarr")
    study = blmm.open_dataset(tmp_path / "study.zarr")
    planned = plan(study)
    sizes = {
        name: (Location.of(tmp_path / "study.zarr") / name).size()
        for name in ("call_dosage", "sample_trait")
    }
    assert planned.read_bytes == 3 * sum(sizes.values())  # two passes before the one for blocks
    assert plan(ds).read_bytes == 0
    for digits in (None, 3):
        store = tmp_path / f"lod{digits}.zarr"
        blmm.scan(study, store=store, digits=digits)
        written = Location.of(store).size()
        assert plan(study, digits=digits).written_bytes == pytest.approx(written, rel=0.25)


def test_hits_and_maxima_take_less_room(rates):
    sizes = {"n_samples": 100, "n_variants": 10**5, "n_traits": 10**4}
    whole = plan(**sizes)
    hits = [plan(**sizes, keep="hits", threshold=lod).written_bytes for lod in (3, 5, 7)]
    assert whole.written_bytes > hits[0] > hits[1] > hits[2] > 0
    # P(chi2 > 2 ln(10) 5) = 1.6e-6
    assert hits[1] == pytest.approx(40 * 1.6e-6 * 10**9, rel=0.02)
    maxima = plan(**sizes, keep="maxima")
    assert maxima.written_bytes == 40 * 10**4
    assert maxima.read_bytes < whole.read_bytes


def test_more_workers_take_less_time_until_the_scheduler_is_the_limit(rates):
    sizes = {"n_samples": 100, "n_variants": 10**6, "n_traits": 10**6, "threads": 1}
    times, notes = [], []
    for workers in (1, 2, 8, 64, 4096):
        found, said = told(blmm.plan, **sizes, workers=workers)
        times.append(found.total_seconds)
        notes.append(said)
    assert times == sorted(times, reverse=True)
    assert times[0] == pytest.approx(2 * times[1], rel=0.01)
    assert not any(notes[:3])
    assert "about 667 a second; use fewer workers, or larger chunks" in notes[4]
    assert times[4] == pytest.approx(1.5e-3 * found.n_blocks + found.seconds["bases"])


def test_bases_that_do_not_fit_are_said(rates):
    sizes = {"n_samples": 400_000, "n_variants": 10**5, "n_traits": 10}
    with pytest.warns(blmm.StudyWarning, match=r"1 kinship.* 2.56 TB, .*they do not fit.*memory"):
        blmm.plan(**sizes)
    with pytest.raises(blmm.InputError, match=r"64 GB .* 2.56 TB for 1 kinship"):
        blmm.plan(**sizes, memory="64GB")


def test_it_is_a_table_a_page_and_a_dict(rates):
    planned = plan(n_samples=100, n_variants=5000, n_traits=700, workers=2, threads=3)
    text = str(planned)
    for words in (
        "700 traits x 5,000 markers, 100 samples",
        "3 of 2,048 variants x 700 traits",
        "2 workers of 3 threads",
        "worker 205 MB",
        "note: all traits are taken",
    ):
        assert words in text
    html = planned._repr_html_()
    assert html.count("<tr>") == len(text.splitlines())
    assert "<td>700 traits x 5,000 markers, 100 samples</td>" in html
    kept = json.loads(json.dumps(planned.to_dict()))
    assert kept["memory_bytes"] == sum(kept["memory"].values()) == planned.memory_bytes
    assert set(kept) == {field.name for field in fields(planned)} | {"memory_bytes"}


SIZES = {"n_samples": 100, "n_variants": 5000, "n_traits": 700}
WRONG = {
    "nothing": ({}, "neither a study nor its sizes; give one, or n_samples, n_variants, n_traits"),
    "one size": ({"n_samples": 5}, "or n_variants, n_traits$"),
    "method": ({**SIZES, "method": "exact"}, "unknown method 'exact'.*per-trait"),
    "shared": ({**SIZES, "method": "shared"}, "unknown method 'shared'"),
    "size": ({**SIZES, "n_traits": 0}, "n_traits is 0"),
    "fraction": ({**SIZES, "n_samples": 1.5}, "n_samples is 1.5"),
    "genotypes": ({**SIZES, "n_genotypes": 1}, "n_genotypes is 1"),
    "loco": ({**SIZES, "loco": True}, "number of chromosomes; give n_contigs"),
    "names": ({**SIZES, "covariates": ["sex"]}, "give their number, n_covariates"),
    "parts": ({**SIZES, "weights": "w"}, "weights='w' names a part of a study"),
    "matrix": ({**SIZES, "kinship": np.eye(3)}, "kinship names a part of a study"),
    "memory": ({**SIZES, "memory": "much"}, "memory='much' is no amount"),
    "workers": ({**SIZES, "workers": 0}, "workers is 0"),
    "threads": ({**SIZES, "threads": 0}, "threads is 0"),
    "threshold": (
        {**SIZES, "threshold": 5},
        "threshold=5 is the LOD of hits, but keep='lods' keeps none",
    ),
    "hits": ({**SIZES, "keep": "hits"}, "threshold is the LOD of hits"),
    "low": ({**SIZES, "keep": "hits", "threshold": -1}, "threshold is -1"),
    "keep": ({**SIZES, "keep": "all"}, "unknown keep 'all'"),
    "chunks": ({**SIZES, "chunks": "small"}, "chunks is 'small'"),
    "grid": ({**SIZES, "h2_grid": [0.1]}, r"h2_grid=\[0.1\] and method='null-exact' exclude"),
    "none": ({**SIZES, "kinship": None, "method": "alt-exact"}, "none without a kinship"),
    "pools": ({**SIZES, "by": "contig"}, "by='contig' is an option of method='per-trait'"),
    "permuted": (
        {**SIZES, "method": "per-trait", "statistics": "beta"},
        "statistics is an option of a scan, and method='per-trait' has none",
    ),
    "patterns": ({**SIZES, "n_patterns": 0}, "n_patterns is 0"),
    "tiny": ({**SIZES, "memory": "200MB"}, "the smallest block, 256 variants x 128 traits, needs"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_planned_is_told(rates, name):
    options, words = WRONG[name]
    with pytest.raises(blmm.InputError, match=words):
        blmm.plan(**options)


def test_a_study_and_sizes_are_one_too_many(rates):
    for name in ("n_traits", "n_contigs", "n_covariates", "n_genotypes"):
        with pytest.raises(blmm.InputError, match=f"{name}=.* is given beside a study"):
            blmm.plan(studies.study(), **{name: 5})


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "single", "n_samples": 2000},
        {"method": "alt-exact"},
        {"n_genotypes": 4, "statistics": ["beta", "se"]},
        {"method": "per-trait"},
    ],
    ids=str,
)
def test_the_speed_of_this_machine_is_measured(options):
    """Any machine computes between a hundred and ten thousand millions of operations a second."""
    planned = plan(**{"n_samples": 300, "n_variants": 10**5, "n_traits": 10**4} | options)
    blocks = planned.flops["blocks"]
    assert blocks / 1e13 / planned.threads < planned.seconds["blocks"]
    assert planned.seconds["bases"] > 0
    assert planned.seconds["fits"] > 0
    if not planned.n_permutations:
        stored = planned.written_bytes / (10**9 * 4)
        assert 0.3 < stored < 20


def test_weights_of_very_different_size_take_more(rates):
    ds = studies.study(n=200, p=2000, m=600)
    ds["kinship"] = blmm.kinship(ds)
    rng = np.random.default_rng(0)
    found = {}
    for name, decades in {"alike": 0.5, "different": 2.5}.items():
        ds["weight"] = ("samples", 10.0 ** rng.uniform(-decades / 2, decades / 2, 200))
        found[name] = plan(ds, "alt-exact", weights="weight")
    assert found["different"].memory_bytes > 1.1 * found["alike"].memory_bytes
    assert found["different"].flops["blocks"] > 5 * found["alike"].flops["blocks"]
    assert found["alike"].n_blocks == found["different"].n_blocks


def test_copies_take_less_time_where_they_are_known(rates):
    sizes = {"n_samples": 120, "n_variants": 500, "n_traits": 300}
    ds = blmm.simulate_study(n_strains=12, **sizes)
    ds["kinship"] = blmm.kinship(ds).compute()
    known = plan(ds, workers=1, threads=1)
    assert known.flops["blocks"] < 0.3 * plan(**sizes, workers=1, threads=1).flops["blocks"]
    noisy = ds.assign(kinship=ds.kinship + 0.1 * np.eye(120))  # of full rank
    lazy = ds.chunk(variants=100, samples=120)  # strains are known, copies of markers are not
    for other in (noisy, lazy, ds.drop_vars("sample_strain")):
        assert known.flops["blocks"] < plan(other, workers=1, threads=1).flops["blocks"]
    assert known.flops["bases"] == plan(noisy).flops["bases"]
    to_come = plan(ds.drop_vars("kinship"), workers=1, threads=1)
    assert to_come.flops == known.flops
    none = plan(ds, kinship=None, workers=1, threads=1)
    assert none.flops["blocks"] > known.flops["blocks"]


def test_what_is_not_stored_is_not_compressed(rates):
    sizes = {"n_samples": 100, "n_variants": 10**5, "n_traits": 10**4, "workers": 1, "threads": 1}
    whole, maxima = plan(**sizes).seconds, plan(**sizes, keep="maxima").seconds
    assert maxima["fits"] == whole["fits"]
    less = whole["blocks"] - maxima["blocks"]
    # Ten ns a pair for compression, 4 ms a block for its files; one ns to look at it.
    assert less == pytest.approx(1e9 * (4 / 4e8 - 1e-9) + 49 * 3 * 4e-3, rel=1e-6)


def test_few_traits_take_less(rates):
    sizes = {"n_samples": 500, "n_variants": 100_000}
    alone = {"workers": 1, "threads": 1}
    one, ten, eleven = (blmm.plan(**sizes, **alone, n_traits=count) for count in (1, 10, 11))
    # Rotations of half a second and of a whole one.
    assert one.seconds["blocks"] < ten.seconds["blocks"] < eleven.seconds["blocks"] - 0.4
    with_effects = blmm.plan(**sizes, **alone, n_traits=1, statistics=["beta"])
    assert with_effects.seconds["blocks"] > one.seconds["blocks"] + 0.4
