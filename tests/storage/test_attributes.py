"""Damaged attributes and parts of stores: a StoreError names the file and what is wrong."""

from __future__ import annotations

import json
import shutil

import pytest
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.describe import describe
from bulklmm_dask.storage.proof.attributes import _KINDS


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    ds = study(16, 8, 3, covariates=1)
    blmm.save(ds, folder / "study.zarr")
    blmm.scan(ds, store=folder / "scan.zarr")
    blmm.permute(ds, n_permutations=5, store=folder / "perm.zarr")
    return folder


@pytest.fixture
def stores(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "my stores")


def change(file, edit):
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def uses(stores, name):
    """What may be done with a store, by its name."""
    path = stores / name
    yield lambda: describe(path)
    if name == "study.zarr":
        yield lambda: blmm.open_dataset(path)
        return
    yield lambda: blmm.open_result(path)

    def resume():
        ds = blmm.open_dataset(stores / "study.zarr")
        if name == "scan.zarr":
            return blmm.scan(ds, store=path)
        return blmm.permute(ds, n_permutations=5, store=path)

    yield resume


def test_a_whole_store_is_used(stores):
    for name in ("study.zarr", "scan.zarr", "perm.zarr"):
        for use in uses(stores, name):
            assert use() is not None


@pytest.mark.parametrize("name", ["study.zarr", "scan.zarr", "perm.zarr"])
def test_an_attribute_of_another_kind(stores, name):
    file = stores / name / "zarr.json"
    before = file.read_text()
    known = [key for key in json.loads(before)["attributes"] if key in _KINDS]
    assert known
    for key in known:
        change(file, lambda root, key=key: root["attributes"].update({key: {"x": [1]}}))
        for use in list(uses(stores, name))[: 3 if key == known[0] else 1]:
            what = rf"'.*my stores/{name}/zarr\.json' is damaged: its attribute {key} is "
            with pytest.raises(blmm.StoreError, match=what):
                use()
        file.write_text(before)


@pytest.mark.parametrize("key", ["block", "statistics", "of_traits"])
def test_a_lost_attribute(stores, key):
    change(stores / "scan.zarr" / "zarr.json", lambda root: root["attributes"].pop(key))
    for use in uses(stores, "scan.zarr"):
        with pytest.raises(blmm.StoreError, match=rf"zarr\.json' is damaged: .* lost \({key}\)"):
            use()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", "[" * 10**5, '"x"', "\x00", "1"])
@pytest.mark.parametrize("name", ["study.zarr", "scan.zarr"])
def test_metadata_that_are_none(stores, name, content):
    (stores / name / "zarr.json").write_text(content)
    for use in uses(stores, name):
        with pytest.raises(blmm.StoreError, match=rf"my stores/{name}"):
            use()


ARRAY = {
    "shape": [7, 3],
    "data_type": "int8",
    "dimension_names": ["variants", "samples"],
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 1]}},
    "codecs": [],
    "fill_value": "x",
    "zarr_format": 2,
    "node_type": "group",
}


@pytest.mark.parametrize("key", ARRAY)
@pytest.mark.parametrize(
    "array",
    [
        "lod",
        "h2",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("variants", "manifest_blocks")),
        "contig_id",
    ],
)
def test_metadata_of_an_array(stores, array, key):
    file = stores / "scan.zarr" / array / "zarr.json"
    change(file, lambda root: root.update({key: ARRAY[key]}))
    use = list(uses(stores, "scan.zarr"))[1]
    if array != "lod" and key == "fill_value":
        return  # of use only where a chunk is absent
    with pytest.raises(blmm.StoreError, match=r"my stores/scan\.zarr"):
        use().load()


@pytest.mark.parametrize("store", ["study.zarr", "scan.zarr", "perm.zarr"])
def test_chunks_that_cannot_be_decoded(stores, store):
    """The header names another length unpacked; the file has its own."""
    large = {"study.zarr": "call_dosage", "scan.zarr": "lod", "perm.zarr": "max_lod"}[store]
    file = next(file for file in (stores / store / large / "c").rglob("*") if file.is_file())
    content = bytearray(file.read_bytes())
    content[4] ^= 0xFF
    file.write_bytes(content)
    opened = blmm.open_dataset if store == "study.zarr" else blmm.open_result
    with pytest.raises(blmm.StoreError, match=rf"my stores/{store}/{large}' is damaged"):
        opened(stores / store)[large].load()
