"""What is asked of a stored result is answered from its summary as from its LODs."""

from __future__ import annotations

import pickle
import shutil

import dask
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.engine import plan
from bulklmm_dask.results import summarised
from bulklmm_dask.storage.proof import manifest
from bulklmm_dask.storage.summaries import of_blocks, segments
from bulklmm_dask.storage.summaries.stored import StoredSummary

CHUNKS = {"variants": 8, "traits": 12}


def study(contigs=(17, 2, 21), *, shuffled=False, missing=0.0, founders=False) -> xr.Dataset:
    """A study with a constant trait; its contigs have these sizes, none for no marker map."""
    p = sum(contigs) or 40
    base = studies.study(n=40, p=p, m=30, seed=5, missing=missing)
    traits = base.sample_trait.values.copy()
    traits[:, 3] = 1.0
    dosage = base.call_dosage.values.T
    if founders:
        first = np.clip(dosage.T / 2, 0, 1)
        dosage = np.stack([first, (1 - first) * 0.6, (1 - first) * 0.4], axis=2).transpose(1, 0, 2)
    places = {}
    if contigs:
        code, position = np.repeat(np.arange(len(contigs)), contigs), np.arange(p, dtype=float)
        order = np.random.default_rng(0).permutation(p) if shuffled else np.arange(p)
        places = {"contigs": [f"c{i}" for i in code[order]], "positions": position[order]}
    ds = blmm.create_dataset(dosage, traits, **places)
    ds["kinship"] = base.kinship
    return ds


CASES = {
    "gaps": ({"missing": 0.3}, {"statistics": ["beta", "se"]}),
    "shuffled": ({"shuffled": True}, {}),
    "contigs": ({}, {}),
    "no map": ({"contigs": ()}, {}),
    "doubles": ({}, {"method": "alt-exact"}),
    "below 0": ({}, {"method": "alt-exact", "reml": True, "precision": "single"}),
    "digits": ({}, {"digits": 2}),
    "loco": ({}, {"loco": True}),
    "many contigs": ({"contigs": (1,) * 40}, {}),
    "founders": ({"founders": True}, {"statistics": ["beta"]}),
}


@pytest.fixture(params=CASES, scope="module")
def store(request, tmp_path_factory):
    """Stores of many blocks, in shards, whose summaries take several files each way."""
    of_study, options = CASES[request.param]
    path = tmp_path_factory.mktemp("stores") / "r.zarr"
    ds = study(**of_study)
    if "loco" in options:
        ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_INNER", 4)
        patch.setattr(manifest, "_TOGETHER", 6)
        patch.setattr(segments, "_MOST", 4)
        blmm.scan(ds, store=path, chunks=CHUNKS, **options)
        yield path


def by_trait(result):
    return pd.Series(np.linspace(0.5, 3, result.sizes["traits"]), result.traits.values)


def by_contig(result):
    level = np.where(np.arange(result.sizes["contigs"]) % 2, 2.5, 1.2)
    return xr.DataArray(level, {"contigs": result.contig_id.values}, "contigs")


def by_both(result):
    return by_contig(result) + by_trait(result).rename_axis("traits").to_xarray()


QUESTIONS = {
    "maxima": lambda r: blmm.max_lod(r),
    "hits": lambda r: blmm.find_hits(r, threshold=2.0),
    "few hits": lambda r: blmm.find_hits(r, threshold=float(r.lod.max())),
    "no hits": lambda r: blmm.find_hits(r, threshold=1e4),
    "highest hits": lambda r: blmm.find_hits(r, threshold=1.5, top=2),
    "hits by trait": lambda r: blmm.find_hits(r, threshold=by_trait(r)),
    "hits at a rate": lambda r: blmm.find_hits(r, fdr=0.1),
    "hits at a high rate": lambda r: blmm.find_hits(r, fdr=0.6, top=3),
    "no hits at a rate": lambda r: blmm.find_hits(r, fdr=1e-9),
    "hits at a rate that finds most": lambda r: blmm.find_hits(r, fdr=0.97),
    "p-values": lambda r: blmm.pvalue_counts(r),
}
BY_CONTIG = {
    "maxima by contig": lambda r: blmm.max_lod(r, by="contig"),
    "hits by contig": lambda r: blmm.find_hits(r, threshold=by_contig(r)),
    "hits by both": lambda r: blmm.find_hits(r, threshold=by_both(r)),
    "peaks": lambda r: blmm.find_peaks(r, threshold=2.0),
    "few peaks": lambda r: blmm.find_peaks(r, threshold=float(r.lod.max()) * 0.99, peakdrop=2),
    "no peaks": lambda r: blmm.find_peaks(r, threshold=1e4, drop=None),
    "peaks by contig": lambda r: blmm.find_peaks(r, threshold=by_contig(r)),
}


SOME = {name: QUESTIONS[name] for name in ("maxima", "hits at a rate", "p-values")}


@pytest.fixture(autouse=True)
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


def require_same_answers(result: xr.Dataset, questions: dict | None = None) -> None:
    """Compare the answers with those of LODs in memory, which have no summary."""
    plain = result.compute()
    for name, ask in (SOME if questions is None else questions).items():
        pd.testing.assert_frame_equal(ask(result), ask(plain), check_exact=True, obj=name)


@pytest.mark.filterwarnings("ignore::bulklmm_dask.StudyWarning")
def test_answers_are_those_of_the_lods(store, monkeypatch):
    monkeypatch.setattr(summarised, "_MOST", 1.0)  # chunks are chosen wherever one can be left out
    result = blmm.open_result(store)
    assert StoredSummary.behind(result.lod) is not None
    require_same_answers(result, QUESTIONS | (BY_CONTIG if "contig_id" in result else {}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The study of a store in shards, and the store."""
    folder = tmp_path_factory.mktemp("whole")
    blmm.save(study(), folder / "study.zarr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_INNER", 4)
        patch.setattr(manifest, "_TOGETHER", 6)
        blmm.scan(study(), store=folder / "r.zarr", chunks=CHUNKS)
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole / "r.zarr", tmp_path / "r.zarr")


CHANGES = {
    "some traits": lambda r: r.isel(traits=slice(5, 20)),
    "some markers": lambda r: r.isel(variants=[7, 3, 30]),
    "other order": lambda r: r.sortby("variants", ascending=False),
    "other LODs": lambda r: r.assign(lod=r.lod / 2),
    "masked": lambda r: r.where(r.lod < 2),
    "other chunks": lambda r: r.chunk(traits=7),
    "joined": lambda r: xr.concat(
        [r.isel(traits=slice(15, 30)), r.isel(traits=slice(15))], "traits"
    ),
    "turned": lambda r: r.transpose("traits", "variants", ...),
    "in memory": lambda r: r.persist(),
    "other names": lambda r: r.assign_coords(
        variants=[f"v{i}" for i in range(40)], traits=[f"y{i}" for i in range(30)]
    ),
    "other contigs": lambda r: r.assign_coords(
        variant_contig=("variants", r.variant_contig.values[::-1].copy())
    ).drop_vars("variant_contig_name"),
    "other h2": lambda r: r.assign_coords(h2=r.h2 / 2),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_summary_is_not_taken_for_that_of_other_lods(whole, change):
    changed = change(blmm.open_result(whole / "r.zarr"))
    plain = changed.compute()
    questions = (*SOME.values(), QUESTIONS["hits"], BY_CONTIG["maxima by contig"])
    for ask in questions:
        pd.testing.assert_frame_equal(ask(changed), ask(plain), check_exact=True)


def test_copies_have_the_summary_too(whole):
    result = blmm.open_result(whole / "r.zarr")
    for same in (
        result.copy(deep=True),
        pickle.loads(pickle.dumps(result)),
        result.assign(other=result.lod * 2),
        result.transpose("variants", "traits", ...),
        result[["lod"]],
    ):
        assert StoredSummary.behind(same.lod) is not None


def test_no_lod_is_read_for_maxima_and_p_values(copy):
    result = blmm.open_result(copy)
    expected = result.compute()
    shutil.rmtree(copy / "lod" / "c")
    for by in (None, "contig"):
        pd.testing.assert_frame_equal(blmm.max_lod(result, by=by), blmm.max_lod(expected, by=by))
    assert blmm.find_hits(result, threshold=1e4).empty
    assert blmm.find_hits(result, fdr=1e-9).empty
    assert blmm.find_peaks(result, threshold=1e4).empty
    counts = blmm.pvalue_counts(result)
    pd.testing.assert_frame_equal(counts, blmm.pvalue_counts(expected), check_exact=True)
    assert counts.attrs["tests"] == 40 * 29
    with pytest.raises(blmm.StoreError, match=r"lod is damaged: its file .* is lost"):
        blmm.pvalue_counts(result, traits=["trait4"])


def damage_all_but(store, wanted) -> None:
    """Change a byte of all inner chunks but some, where only decoding them shows it."""
    for i, j in np.ndindex(5, 3):
        file = store / "lod" / "c" / str(i) / str(j)
        content = bytearray(file.read_bytes())
        index = np.frombuffer(bytes(content[-3 * 16 - 4 : -4]), "<u8").reshape(3, 2)
        for k, (start, size) in enumerate(index.tolist()):
            if start < len(content) and (i, 3 * j + k) not in wanted:
                content[start + size // 2] ^= 1
        file.write_bytes(content)


@pytest.mark.parametrize("question", ["hits", "peaks"])
def test_only_chunks_that_can_hold_what_is_found_are_read(copy, question):
    result = blmm.open_result(copy)
    expected = result.compute()
    marker, trait = np.unravel_index(np.nanargmax(expected.lod), expected.lod.shape)
    level = float(expected.lod[marker, trait]) - 1e-6
    contig = expected.variant_contig.values
    rows = np.flatnonzero(contig == contig[marker]) if question == "peaks" else np.array([marker])
    damage_all_but(copy, {(i, trait // 4) for i in np.unique(rows // 8).tolist()})
    ask = blmm.find_hits if question == "hits" else blmm.find_peaks
    found = ask(result, threshold=level)
    pd.testing.assert_frame_equal(found, ask(expected, threshold=level), check_exact=True)
    assert len(found) == 1
    with pytest.raises(blmm.StoreError, match="lod is damaged"):
        ask(result, threshold=0.5)


class StoppedError(Exception):
    pass


def stopped_after(count):
    def stop(progress):
        if progress.done == count:
            raise StoppedError

    return stop


def test_a_run_that_was_stopped_and_resumed_has_the_same_summary(whole, tmp_path):
    path = tmp_path / "r.zarr"
    for count in (4, 9):
        with pytest.raises(StoppedError):
            blmm.scan(study(), store=path, chunks=CHUNKS, progress=stopped_after(count))
        assert blmm.verify(path).empty
    require_same_answers(blmm.scan(study(), store=path, chunks=CHUNKS))
    for name in ("highest", "row", "counts"):
        one, other = (
            zarr.open_array(store, path=f"summary/{name}")[...]
            for store in (path, whole / "r.zarr")
        )
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def half(tmp_path):
    """A run that was stopped after some blocks."""
    path = tmp_path / "half.zarr"
    with pytest.raises(StoppedError):
        blmm.scan(study(), store=path, chunks=CHUNKS, progress=stopped_after(5))
    return path


@pytest.mark.parametrize("name", ["highest", "row", "counts", "checksum"])
def test_an_older_summary_is_refused_and_made_anew_of_the_lods(half, tmp_path, name):
    """Only the part that was written last is lost, as when the power fails."""
    older = shutil.copytree(half / "summary" / name, tmp_path / "older")
    result = blmm.scan(study(), store=half)
    shutil.rmtree(half / "summary" / name)
    shutil.copytree(older, half / "summary" / name)
    with pytest.raises(blmm.StoreError, match=r"summary is damaged: that of \d+ blocks"):
        blmm.find_hits(blmm.open_result(half), fdr=0.1)
    table = blmm.verify(half)
    assert table[["array", "problem"]].to_numpy().tolist() == [["summary", "another file"]]
    steps = []
    again = blmm.scan(study(), store=half, progress=steps.append)
    assert len(steps) == 1  # no block is computed
    assert blmm.verify(half).empty
    require_same_answers(again)
    xr.testing.assert_identical(again.compute(), result.compute())


@pytest.mark.parametrize("name", ["highest", "row", "counts", "checksum", "files"])
def test_a_damaged_summary_is_found_refused_and_made_anew(copy, name):
    for file in sorted((copy / "summary" / name / "c").rglob("*")):
        if file.is_file():
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 4
            file.write_bytes(content)
            break
    table = blmm.verify(copy)
    assert [*table["array"]] == [f"summary/{name}"]
    assert [*table["problem"]] == ["changed"]
    with pytest.raises(blmm.StoreError, match=f"summary/{name} is damaged .*scan into the same"):
        blmm.find_hits(blmm.open_result(copy), fdr=0.1)
    require_same_answers(blmm.scan(study(), store=copy))
    assert blmm.verify(copy).empty


def test_the_summary_of_a_block_is_that_of_the_block_computed_again(copy):
    (copy / "lod" / "c" / "1" / "2").write_bytes(b"")
    files = [copy / "summary" / name / "c" for name in ("highest", "row", "counts", "checksum")]
    for file in files:
        shutil.rmtree(file)
    steps = []
    result = blmm.scan(study(), store=copy, progress=steps.append)
    assert len(steps) == 2
    require_same_answers(result)
    assert blmm.verify(copy).empty


def test_a_block_whose_summary_and_lods_are_damaged_is_computed_again(copy):
    damage_all_but(copy, {(i, j) for i, j in np.ndindex(5, 8) if (i, j) != (2, 4)})
    shutil.rmtree(copy / "summary" / "row" / "c")
    steps = []
    result = blmm.scan(study(), store=copy, progress=steps.append)
    assert len(steps) == 2
    require_same_answers(result)
    assert blmm.verify(copy).empty


@pytest.mark.slow
def test_a_result_of_a_cluster_has_the_same_summary(whole, tmp_path, cluster):
    with cluster.as_current(), dask.config.set(scheduler=cluster):
        blmm.scan(study(), store=tmp_path / "r.zarr", chunks=CHUNKS)
    require_same_answers(blmm.open_result(tmp_path / "r.zarr"))


def test_a_saved_part_has_a_summary_of_its_own(whole, tmp_path):
    part = blmm.open_result(whole / "r.zarr").isel(traits=slice(3, 29), variants=slice(5, 38))
    blmm.save(part, tmp_path / "part.zarr")
    result = blmm.open_result(tmp_path / "part.zarr")
    assert StoredSummary.behind(result.lod) is not None
    require_same_answers(result)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saved_result_with_odd_lods_has_counts_of_all(whole, tmp_path, dtype):
    result = blmm.open_result(whole / "r.zarr").compute()
    lod = result.lod.values.astype(dtype)
    lod[3, :8] = [np.nan, -np.nan, np.inf, -np.inf, -0.0, -1e-3, 1e-30, 3e7]
    lod[:, 11], lod[20] = np.nan, 0.0
    odd = result.assign(lod=(result.lod.dims, lod)).chunk(variants=16, traits=12)
    blmm.save(odd, tmp_path / "odd.zarr")
    stored = blmm.open_result(tmp_path / "odd.zarr")
    assert StoredSummary.behind(stored.lod) is not None
    require_same_answers(stored, {"p-values": blmm.pvalue_counts, "maxima": blmm.max_lod})
    assert blmm.pvalue_counts(stored).attrs["tests"] == (~np.isnan(lod)).sum()


def test_a_store_without_counts_or_with_others_is_gone_on_with_and_read(
    whole, tmp_path, monkeypatch
):
    """Stores of many small blocks have none; those of development versions had other cells."""
    expected = blmm.pvalue_counts(blmm.open_result(whole / "r.zarr").compute())
    for name, value in (("_are_worth", lambda layout: False), ("N_CELLS", 99)):
        path = tmp_path / f"{name}.zarr"
        with monkeypatch.context() as patch:
            patch.setattr(of_blocks, name, value)
            with pytest.raises(StoppedError):
                blmm.scan(study(), store=path, chunks=CHUNKS, progress=stopped_after(0))
        result = blmm.scan(study(), store=path, chunks=CHUNKS)
        require_same_answers(result)
        pd.testing.assert_frame_equal(blmm.pvalue_counts(result), expected, check_exact=True)
        assert StoredSummary.behind(result.lod).counts() is None
        assert blmm.verify(path).empty


def test_permutations_have_none(tmp_path):
    blmm.permute(study(), n_permutations=4, store=tmp_path / "p.zarr")
    assert not (tmp_path / "p.zarr" / "summary").exists()


@pytest.mark.parametrize("inner", [4, 12])
def test_a_summary_is_not_taken_for_that_of_a_shard_with_chunks_of_the_same_size(
    inner, tmp_path, monkeypatch
):
    """What is too small to be compressed has the same size whatever it is; so has its index."""
    monkeypatch.setattr(plan, "_INNER", inner)
    first, second = tmp_path / "first.zarr", tmp_path / "second.zarr"
    ds = study()
    blmm.scan(ds, store=first, chunks={"variants": 4, "traits": 12})
    turned = ds.assign(sample_trait=(("samples", "traits"), ds.sample_trait.values[::-1].copy()))
    blmm.scan(turned, store=second, chunks={"variants": 4, "traits": 12})
    shutil.rmtree(first / "summary")
    shutil.copytree(second / "summary", first / "summary")
    result = blmm.open_result(first)
    for ask in (QUESTIONS["maxima"], QUESTIONS["hits at a rate"]):
        with pytest.raises(blmm.StoreError, match="summary is damaged"):
            ask(result)
    assert ("summary", "another file") in set(
        blmm.verify(first)[["array", "problem"]].itertuples(index=False, name=None)
    )
