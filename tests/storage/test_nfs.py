"""The lock of a store on NFS, by what differs there from a local disk.

Kernels of test machines rarely have an NFS client, so these differences are put into the calls of
the system: no two names can be swapped, a rename whose answer was lost is answered by "no such
file" when it is sent again, and a file that was replaced since it was opened is stale.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest
import studies
from locks import CHUNKS, file, is_free, lock_it, part_of

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import files, lock, signs
from bulklmm_dask.storage.places.location import Disk, Location

RENAME, OPEN = Path.rename, Disk.open


def twice(self, target):
    """A rename of a lock that is answered by an error, though it was done."""
    done = RENAME(self, target)
    if self.name.startswith("lock"):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(self))
    return done


def stale(times):
    """Opening of locks to read them that fails so many times, as their handle is stale."""
    left = [times]

    def open_it(self):
        if self.name == lock.LOCK and left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, "Stale file handle", str(self))
        return OPEN(self)

    return open_it


DIFFERENCES = {
    "a rename answered twice": lambda: (Path, "rename", twice),
    "a stale file": lambda: (Disk, "open", stale(3)),
    "names are not swapped": lambda: (files, "exchange", lambda *_: False),
}


@pytest.fixture(params=DIFFERENCES.values(), ids=DIFFERENCES)
def nfs(request, monkeypatch):
    monkeypatch.setattr(signs, "WATCHED", 0.01)
    monkeypatch.setattr(*request.param())


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=30, m=12)


def test_one_run_at_a_time_writes(nfs, ds, tmp_path):
    path = tmp_path / "r.zarr"
    said = []

    def second(progress):
        if progress.done == 3:
            with pytest.raises(blmm.StoreError, match="is being written by process") as refused:
                blmm.scan(ds, store=path)
            said.append(str(refused.value))

    result = blmm.scan(ds, store=path, chunks=CHUNKS, progress=second)
    assert len(said) == 1
    np.testing.assert_allclose(result.lod, blmm.scan(ds).lod, atol=1e-6)
    assert not file(path).exists()
    blmm.save(result, path, overwrite=True)
    np.testing.assert_array_equal(blmm.open_result(path).lod, result.lod)


@pytest.mark.filterwarnings("ignore:.*was being written by process 1 of ann")
def test_the_lock_of_a_dead_run_is_taken_over(nfs, ds, tmp_path):
    path = tmp_path / "r.zarr"
    lock_it(part_of(ds, path), 1000.0)
    result = blmm.scan(ds, store=path)
    np.testing.assert_allclose(result.lod, blmm.scan(ds).lod, atol=1e-6)
    assert not file(path).exists()


def test_a_run_that_is_alive_keeps_its_lock(nfs, ds, tmp_path):
    path = tmp_path / "r.zarr"
    lock_it(part_of(ds, path), 30.0)
    with pytest.raises(blmm.StoreError, match=r"process 1 of ann on node7.*last sign of life"):
        blmm.scan(ds, store=path)
    assert b"node7" in file(path).read_bytes()


def test_what_stays_stale_is_an_error(ds, tmp_path, monkeypatch):
    path = tmp_path / "r.zarr"
    lock_it(part_of(ds, path), 30.0)
    monkeypatch.setattr("bulklmm_dask.storage.places.paths._PAUSE", 0.0)
    monkeypatch.setattr(Disk, "open", stale(10**6))
    with pytest.raises(blmm.StoreError, match=r"r\.zarr cannot be written: Stale file handle"):
        blmm.scan(ds, store=path)


def test_a_lock_that_was_replaced_while_it_was_looked_at(tmp_path, monkeypatch):
    """Its age is that of the new one."""
    place = Location.of(tmp_path / lock.LOCK)
    place.create(b"x")
    os.utime(place, (0, 0))
    look = os.fstat
    found = [OSError(errno.ESTALE, "Stale file handle")]

    def first_stale(number):
        if found:
            os.utime(place, (time.time() - 5,) * 2)
            raise found.pop()
        return look(number)

    monkeypatch.setattr(os, "fstat", first_stale)
    assert 4 < place.age() < 60


def test_what_is_left_of_a_rename_is_removed_by_the_next_run(ds, tmp_path, monkeypatch):
    path = tmp_path / "r.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", twice)
        part_of(ds, path)
    assert not is_free(path)
    monkeypatch.setattr("bulklmm_dask.storage.places.process.Process.has_ended", lambda _: True)
    blmm.scan(ds, store=path)
    assert is_free(path)
