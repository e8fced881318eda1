"""Stores of runs that were stopped, and their locks."""

from __future__ import annotations

import json
import os
import time

import dask
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.storage.results.soundness import finished

CHUNKS = {"variants": 7, "traits": 5}
FOLDER = "manifest_blocks"


def part_of(ds, path, blocks=4):
    """A store of which only some blocks are written, as a stopped run leaves it."""

    def stop(progress):
        if progress.done == blocks:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), dask.config.set(scheduler="synchronous"):
        blmm.scan(ds, store=path, chunks=CHUNKS, progress=stop)
    assert finished(path)[0] == blocks
    return path


def file(path):
    return path / FOLDER / "lock.json"


def record(**entries) -> bytes:
    """A lock of a process of another machine."""
    known = {"machine": "0f0f", "pid": 1, "birth": 5, "host": "node7", "user": "ann"}
    started = {"token": "t", "started": "2026-01-02T03:04:05+00:00"}
    return json.dumps(started | known | entries).encode()


def lock_it(path, age=0.0, **entries):
    """Put a lock into a store, last renewed so many seconds ago."""
    file(path).write_bytes(record(**entries))
    os.utime(file(path), (time.time() - age,) * 2)


def is_free(path):
    return [one.name for one in file(path).parent.iterdir() if "lock" in one.name] == []
