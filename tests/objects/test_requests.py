"""How many requests are made: what a bill is counted by, and what latency multiplies."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.storage.places.base import CLAIM
from bulklmm_dask.storage.proof import manifest
from bulklmm_dask.storage.results import journal

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("endpoint", ["moto"], indirect=True)]


OF_TRAITS = ("h2", "sigma2", "n_samples", "trait_status")


@pytest.fixture(scope="module")
def wide():
    """A study of enough markers and traits for many blocks."""
    return studies.study(n=20, p=400, m=140)


def scan_of(study, store, chunks):
    """Scan it, however slow the machine is: no marks are written for time that has passed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_SECONDS", float("inf"))
        blmm.scan(study, store=store, chunks=chunks)


def files_of(array, chunks, wide):
    return math.prod(-(-wide.sizes[dim] // chunks[dim]) for dim in array)


def test_a_save_writes_each_file_once(bucket, wide, endpoint):
    blmm.save(wide, bucket / "study.zarr")
    made = bucket.list("study.zarr/")
    written = Counter(endpoint.keys("PUT", "study.zarr/"))
    assert {written.pop(key) for key in made} == {1}
    assert set(written) == {f"study.zarr/{CLAIM}"}
    print(len(made), "objects:", dict(endpoint.count()))


def test_opening_lists_at_most_once_and_reads_nothing_twice(bucket, wide, endpoint):
    blmm.save(wide, bucket / "study.zarr")
    blmm.scan(blmm.open_dataset(bucket / "study.zarr"), store=bucket / "lod.zarr")
    for call, name in ((blmm.open_dataset, "study.zarr"), (blmm.open_result, "lod.zarr")):
        endpoint.forget()
        call(bucket / name)
        assert endpoint.count()["LIST"] <= 1, endpoint.count()
        assert all(request.reads for request in endpoint.requests)
        read = Counter(endpoint.keys("GET") + endpoint.keys("HEAD"))
        assert max(read.values()) == 1, read.most_common(5)
        large = (f"{name}/call_dosage/c/", f"{name}/sample_trait/c/", f"{name}/lod/c/")
        assert not [key for key in read if key.startswith(large)]


def test_a_scan_writes_each_block_once(bucket, wide, endpoint):
    """And little else: what every run writes, and one object more for each 256 blocks."""
    others = {}
    for number, (variants, traits) in enumerate(((400, 7), (10, 7))):
        chunks = {"variants": variants, "traits": traits}
        endpoint.forget()
        scan_of(wide, bucket / f"{number}.zarr", chunks)
        blocks = files_of(("variants", "traits"), chunks, wide)
        written = endpoint.keys("PUT", f"{number}.zarr/lod/c/")
        assert len(written) == len(set(written)) == blocks
        of_traits = [endpoint.keys("PUT", f"{number}.zarr/{name}/c/") for name in OF_TRAITS]
        assert {len(each) for each in of_traits} == {files_of(["traits"], chunks, wide)}
        lock = f"{number}.zarr/manifest_blocks/lock.json"  # it is renewed every 15 seconds
        others[blocks] = endpoint.count(without=[lock])["PUT"] - blocks
        assert not bucket.list(f"{number}.zarr/manifest_blocks/journal/")
        print(blocks, "blocks:", dict(endpoint.count()))
    few, many = sorted(others)
    assert others[many] - others[few] <= (many - few) / 256, others


def test_a_scan_reads_each_chunk_whole_and_once_a_pass(bucket, wide, endpoint):
    """It is read for the frequencies, and to be scanned."""
    blmm.save(wide, bucket / "study.zarr")
    study = blmm.open_dataset(bucket / "study.zarr")
    chunks = bucket.list("study.zarr/call_dosage/c/")
    endpoint.forget()
    scan_of(study, bucket / "lod.zarr", {"variants": 100, "traits": 35})
    of_genotypes = [each for each in endpoint.requests if each.key in chunks]
    assert len(of_genotypes) <= 2 * len(chunks), Counter(each.verb for each in of_genotypes)
    assert not [each for each in of_genotypes if each.ranged]


# Requests that wait for each other, at most; a busy machine tears apart what goes out together.
ROUNDS = {
    "save": 18,
    "open_dataset": 6,
    "scan": 16,
    "open_result": 6,
    "max_lod": 5,
    "verify": 14,
}
# Of a scan of a study in memory; the rounds that make its store are among the first. One in the
# bucket is opened in two rounds, and its genotypes are a third one.
MOST_BEFORE, MOST_AFTER, MOST_OPENED = 12, 6, 14
MOST_WAITED_FOR = {"sample_trait": 5, "call_dosage": 6}  # 2 and 3
LATENCY = 0.1  # seconds


def test_requests_that_need_not_wait_for_each_other_go_out_together(bucket, endpoint):
    """What latency multiplies: 27, 7, 53, 7, 15 and 85 when each waited for the one before."""
    ds, study, lod = studies.study(n=20, p=60, m=12), bucket / "study.zarr", bucket / "lod.zarr"
    endpoint.latency = LATENCY
    found = {}

    def rounds_of(name, call):
        endpoint.forget()
        given = call()
        found[name] = [f"{each.verb} {each.key}" for each in endpoint.rounds()]
        return given

    rounds_of("save", lambda: blmm.save(ds, study))
    opened = rounds_of("open_dataset", lambda: blmm.open_dataset(study))
    chunks = {"variants": 30, "traits": 6}
    rounds_of("scan", lambda: scan_of(opened, lod, chunks))
    result = rounds_of("open_result", lambda: blmm.open_result(lod))
    rounds_of("max_lod", lambda: blmm.max_lod(result))
    assert rounds_of("verify", lambda: blmm.verify(lod)).empty
    for name, most in ROUNDS.items():
        assert len(found[name]) <= most, (name, found[name])
    print({name: len(each) for name, each in found.items()})


def test_rounds_around_the_blocks_do_not_grow_with_them(bucket, wide, endpoint):
    """Before the first block is written, and after the last; others wait while some compute."""
    endpoint.latency = LATENCY
    for number, chunks in enumerate(
        ({"variants": 200, "traits": 70}, {"variants": 40, "traits": 14})
    ):
        endpoint.forget()
        scan_of(wide, bucket / f"{number}.zarr", chunks)
        before, after = endpoint.rounds_around("zarr/lod/c/")
        assert len(before) <= MOST_BEFORE, before
        assert len(after) <= MOST_AFTER, after
        print(files_of(("variants", "traits"), chunks, wide), "blocks:", len(before), len(after))


def test_of_a_study_in_the_bucket_all_is_read_at_once(bucket, wide, endpoint):
    """What the root names, then the traits beside a look at the store, then the genotypes."""
    blmm.save(wide, bucket / "study.zarr")
    endpoint.latency = LATENCY
    endpoint.forget()
    opened = blmm.open_dataset(bucket / "study.zarr")
    scan_of(opened, bucket / "lod.zarr", {"variants": 40, "traits": 14})
    before, after = endpoint.rounds_around("zarr/lod/c/")
    assert len(before) <= MOST_OPENED, before
    assert len(after) <= MOST_AFTER, after
    waited_for = {each: endpoint.rounds_until(f"study.zarr/{each}/c/") for each in MOST_WAITED_FOR}
    for name, most in MOST_WAITED_FOR.items():
        assert len(waited_for[name]) <= most, (name, waited_for[name])
    print(len(before), len(after), {name: len(each) for name, each in waited_for.items()})


def test_of_large_files_one_trait_is_read_alone(bucket, endpoint, monkeypatch):
    monkeypatch.setattr(manifest, "_LARGE", 0)
    monkeypatch.setattr(manifest, "_FEW", 2)
    many = studies.study(n=20, p=60, m=256)
    scan_of(many, bucket / "lod.zarr", {"variants": 30, "traits": 256})
    result = blmm.open_result(bucket / "lod.zarr")
    endpoint.forget()
    one = result.lod.isel(traits=100).compute()
    assert endpoint.count() == {"GET": 4}
    assert all(request.ranged for request in endpoint.requests)
    np.testing.assert_array_equal(one, result.lod.compute().isel(traits=100))


def test_a_run_that_goes_on_reads_nothing_twice(bucket, endpoint):
    ds = studies.study(n=20, p=60, m=12)
    blmm.save(ds, bucket / "study.zarr")
    study = blmm.open_dataset(bucket / "study.zarr")
    scan_of(study, bucket / "lod.zarr", {"variants": 30, "traits": 6})
    endpoint.forget()
    scan_of(study, bucket / "lod.zarr", "auto")
    assert not [each for each in endpoint.requests if each.key.startswith("study.zarr/call_dosage")]
    assert not endpoint.keys("PUT", "lod.zarr/lod")
    assert endpoint.count()["LIST"] <= 4, endpoint.count()
