"""Graphs are small, their keys mean something, and what they need travels once."""

import logging
import pickle
import re
import uuid
import warnings
from collections import Counter
from math import prod
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import studies
import xarray as xr
from dask.utils import key_split
from distributed import Client, LocalCluster, futures_of, progress

import bulklmm_dask as blmm
from bulklmm_dask.engine.held import HeldLayer, held_array, held_object, held_objects
from bulklmm_dask.engine.rules import RuleLayer, ruled

CHUNKS = {"variants": 4, "traits": 3}


@pytest.fixture(scope="module")
def client():
    """A cluster in this process, which starts at once; its scheduler logs here."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as running,
        Client(running, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def ds():
    """A study with LOCO kinships; its blocks of four markers reach over two contigs."""
    made = studies.study(n=40, p=30, m=30, covariates=1)
    made["kinship_loco"] = blmm.kinship(made, loco=True).compute()
    return made


def tasks_of(collection):
    (optimised,) = dask.optimize(collection)
    return dict(optimised.__dask_graph__())


@pytest.mark.parametrize("options", [{}, {"method": "alt-grid"}, {"loco": True}], ids=str)
def test_a_maximum_takes_few_tasks_a_block(ds, options):
    result = blmm.scan(ds, chunks=CHUNKS, **options)
    blocks = prod(result.lod.data.numblocks)
    found = Counter(key_split(key) for key in tasks_of(result.lod.max().data))
    inputs = {"genotypes", "markers", "traits", "trait-names", "null-fit", "eigenbasis", "samples"}
    beside = sum(count for name, count in found.items() if name in inputs)
    assert sum(found.values()) - beside <= 2.5 * blocks
    assert found["null-fit"] <= result.lod.data.numblocks[1] * (2 if options.get("loco") else 1)


def test_a_scan_of_lods_is_one_layer(ds):
    layers = blmm.scan(ds, chunks=CHUNKS).lod.data.dask.layers
    kinds = Counter(key_split(name) for name in layers)
    assert set(kinds.values()) == {1}
    assert {"lod-block", "null-fit", "eigenbasis"} <= set(kinds)
    assert all(type(layer).__name__ in {"Blockwise", "HeldLayer"} for layer in layers.values())


def test_keys_of_kinships_and_permutations_say_what_they_compute(ds):
    kinship = {key_split(key) for key in tasks_of(blmm.kinship(ds, loco=True).data)}
    assert {"kinship", "kinship-block", "kinship-sum"} <= kinship
    result = blmm.permute(ds, n_permutations=10)
    permutations = {key_split(key) for key in tasks_of(result.max_lod.data)}
    assert {"permuted-maxima", "permutations", "null-fit"} <= permutations


@pytest.mark.parametrize("options", [{}, {"loco": True}, {"statistics": ["lod", "beta"]}], ids=str)
def test_the_same_scan_has_the_same_keys_and_another_scan_has_others(ds, options):
    first, again = (blmm.scan(ds, chunks=CHUNKS, **options).lod.data.name for _ in range(2))
    assert first == again
    other = ds.copy(deep=True)
    other.call_dosage[0, 0] = 1 - other.call_dosage[0, 0]
    assert blmm.scan(other, chunks=CHUNKS, **options).lod.data.name != first
    assert blmm.scan(ds, chunks=CHUNKS, reml=True, **options).lod.data.name != first


def test_a_sum_over_a_dimension_takes_a_list_of_its_blocks():
    parts = held_array(np.arange(12.0).reshape(3, 4), (1, 2))
    offset = held_object("offset", 100.0)

    def add(index, blocks, more):
        assert [block.shape for block in blocks] == [(1, 2)] * 3
        return sum(block[0] for block in blocks) + more + 1000 * index[0]

    found = ruled(
        add, "t", parts, "vt", offset, "", listed="v", with_index=True, name="sum", dtype=float
    )
    layer = found.dask.layers["sum"]
    assert isinstance(layer, RuleLayer)
    assert len(layer) == len(list(layer)) == 2
    assert ("sum", 1) in layer
    for key in ("sum", ("sum",), ("sum", 2), ("sum", 0, 0), ("other", 0)):
        assert key not in layer
    with pytest.raises(KeyError):
        layer["other", 0]
    np.testing.assert_array_equal(found.compute(), [112.0, 115.0, 1118.0, 1121.0])
    np.testing.assert_array_equal(found[2:].compute(), [1118.0, 1121.0])


def test_blocks_take_what_their_numbers_say():
    chosen = [held_objects("of", [(k, j) for j in range(2)], ((1, 1),), k) for k in range(3)]
    rows = held_array(np.zeros(3), 1)

    def told(_, *given):
        return np.array([[[k for k, _ in given] + [j for _, j in given]]], dtype=object)

    numbers = ((0,), (0, 2), (1, 2))
    by = {"chosen": [(chosen, "t")], "numbers": numbers, "chosen_by": "v"}
    found = ruled(told, "vt", rows, "v", name="told", **by)
    for i, wanted in enumerate(numbers):
        for j in range(2):
            ((key,),) = found.blocks[i, j].__dask_keys__()
            assert tasks_of(found)["told", i, j] is not None
            got = dask.get(found.blocks[i, j].__dask_graph__(), key)
            assert got.ravel().tolist() == [*wanted, *(j for _ in wanted)]


def test_held_values_are_the_array_however_it_is_cut():
    values = np.arange(35.0).reshape(5, 7)
    for chunks in (1, (2, 3), -1, ((1, 4), (7,))):
        held = held_array(values, chunks)
        np.testing.assert_array_equal(held.compute(scheduler="sync"), values)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(held)).compute(), values)


def test_held_values_travel_once(client, monkeypatch):
    """Into the memory of a cluster, not into graphs; wherever else they are pickled, they are."""
    values = np.random.default_rng(0).random((100, 1000))
    held = held_array(values, (10, 1000))
    (layer,) = held.dask.layers.values()
    assert isinstance(layer, HeldLayer)
    sizes = []
    send = client._send_to_scheduler

    def counted(message):
        if message["op"] == "update-graph":
            sizes.append(sum(memoryview(frame).nbytes for frame in message["expr_ser"].frames))
        send(message)

    monkeypatch.setattr(client, "_send_to_scheduler", counted)
    with dask.config.set(scheduler=client):
        for _ in range(3):
            assert (held + 1).sum().compute() == pytest.approx((values + 1).sum())
        assert [size > values.nbytes for size in sizes] == [True, False, False, False]
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(held)).compute(), values)
        client.cancel(layer._sent[client], force=True)
        np.testing.assert_array_equal(held.compute(), values)
    np.testing.assert_array_equal(held.compute(scheduler="sync"), values)


@pytest.fixture
def nothing_said(caplog):
    """Dask, distributed and this package warn of nothing, whatever is computed on a cluster."""
    # A graph of 10 MB is large for dask; none of these may even be near that.
    limit = {"distributed.admin.large-graph-warning-threshold": "200 kB"}
    with warnings.catch_warnings(), dask.config.set(limit), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", blmm.StudyWarning)
        yield
    said = [one for one in caplog.records if one.name.startswith(("distributed", "dask"))]
    assert not [one.getMessage() for one in said]


@pytest.mark.slow
def test_no_public_function_is_warned_of_with_a_client(client, nothing_said, tmp_path):
    wide = studies.study(n=60, p=2000, m=40)  # a megabyte of dosages, more of names
    with dask.config.set(scheduler=client):
        wide["kinship"] = blmm.kinship(wide)
        wide["kinship_loco"] = blmm.kinship(wide, loco=True)
        blmm.heritability(wide)
        blmm.profile(wide, str(wide.traits.values[3]))
        chunks = {"variants": 200, "traits": 20}
        for options in ({}, {"loco": True}, {"statistics": ["lod", "beta", "se"]}):
            ask(blmm.scan(wide, chunks=chunks, **options), tmp_path)
        stored = blmm.scan(wide, chunks=chunks, store=tmp_path / "scan.zarr")
        for result in (stored, stored.compute()):
            ask(result, tmp_path)
        for method in ("per-trait", "shared"):
            blmm.thresholds(blmm.permute(wide, n_permutations=20, method=method))
        blmm.permute(wide, n_permutations=20, store=tmp_path / "perm.zarr")
        blmm.save(wide, tmp_path / "study.zarr")
        ask(blmm.scan(blmm.open_dataset(tmp_path / "study.zarr")), tmp_path)
        blmm.verify(tmp_path / "scan.zarr")


def ask(result: xr.Dataset, folder: Path) -> None:
    """Ask of a result what is asked of results."""
    result.lod.max().compute()
    blmm.max_lod(result, by="contig")
    blmm.find_hits(result, threshold=1)
    blmm.find_hits(result, fdr=0.1)
    blmm.find_hits(result, threshold=2, store=folder / f"{uuid.uuid4()}.parquet")
    blmm.find_peaks(result, threshold=2, drop=1.5)
    blmm.pvalue_counts(result)
    blmm.plot.heatmap(result)


@pytest.mark.slow
def test_progress_of_what_is_persisted_has_the_names_of_the_guide(client, ds, capsys):
    with dask.config.set(scheduler=client), client.as_current():
        result = blmm.scan(ds, chunks=CHUNKS).persist()
        progress(result, notebook=False)
    assert "100% Completed" in capsys.readouterr().out
    page = Path(__file__).parents[2] / "docs" / "guide" / "clusters.md"
    told = {
        name for row in page.read_text().splitlines() for name in re.findall(r"`([a-z-]+)`", row)
    }
    names = {key_split(future.key) for future in futures_of(result)}
    assert "lod-block" in {name for name in names if name.endswith("-block")} <= told


@pytest.mark.slow
def test_persisted_results_can_be_asked_further(client, nothing_said, ds):
    with dask.config.set(scheduler=client):
        for options in ({}, {"statistics": ["lod", "beta"]}, {"loco": True}):
            result = blmm.scan(ds, chunks=CHUNKS, **options)
            kept = result.persist()
            for one in (kept, result, kept.isel(traits=slice(3))):
                blmm.max_lod(one)
                one.lod.max().compute()
            xr.testing.assert_identical(kept.compute(), result.compute())


@pytest.mark.parametrize("loco", [False, True])
def test_a_store_has_the_same_bits_as_the_lazy_result(ds, loco, tmp_path):
    options = {"statistics": ["lod", "beta", "se"], "chunks": CHUNKS, "loco": loco}
    lazy = blmm.scan(ds, **options).compute()
    stored = blmm.scan(ds, **options, store=tmp_path / "scan.zarr").compute()
    for name, variable in lazy.variables.items():
        other = stored[name].variable
        if variable.dtype.kind in "fiu":
            assert variable.values.tobytes() == other.values.tobytes(), name
        else:
            assert variable.equals(other), name


def test_a_lazy_study_gives_the_same_as_one_in_memory(ds):
    cut = {"variants": 7, "traits": 4, "samples": -1, "samples_0": -1, "samples_1": 11}
    lazy = ds.chunk(cut)
    assert isinstance(lazy.kinship.data, da.Array)
    for options in ({}, {"loco": True}):
        one, other = (blmm.scan(each, chunks=CHUNKS, **options).compute() for each in (ds, lazy))
        xr.testing.assert_identical(one, other)
