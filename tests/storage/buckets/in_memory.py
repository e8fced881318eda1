"""Buckets in the memory of this process, for tests: what is in them."""

from __future__ import annotations

import json

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import signs
from bulklmm_dask.storage.places.location import Location

CHUNKS = {"variants": 7, "traits": 3}


def keys(url):
    """All objects below a URL, claims and locks too."""
    place = Location.of(url)
    return sorted(one.key.removeprefix(f"{place.key}/") for one in place.bucket.all(place.key))


def of_another_process(**state):
    """A record of a process of this machine that has ended."""
    record = json.loads(signs.new_record(**state))
    record["birth"] += 1
    return json.dumps(record).encode()


def saved_on_disk(ds):
    blmm.save(ds, "on-disk.zarr", overwrite=True)
    return blmm.open_dataset("on-disk.zarr").compute()


def scanned(ds, store):
    """The store, once it holds a finished scan."""
    blmm.scan(ds, store=store, chunks=CHUNKS)
    return store
