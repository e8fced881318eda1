"""Credentials are in the environment, and nowhere else."""

from __future__ import annotations

import json
import logging
import pickle

import pytest

import bulklmm_dask as blmm
from objects.conftest import CHUNKS
from objects.proxy import FORBIDDEN
from objects.servers import KEY, SECRET

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("endpoint", ["moto"], indirect=True)]


def test_credentials_are_kept_nowhere(bucket, ds, endpoint, caplog, capfd, machines):
    """Neither in stores, attributes, names of tasks, what is sent to workers, nor in messages."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "botocore")  # of the client of this test
    blmm.save(ds, bucket / "study.zarr")
    study = blmm.open_dataset(bucket / "study.zarr")
    result = blmm.scan(study, store=bucket / "lod.zarr", chunks=CHUNKS)
    blmm.find_hits(result, threshold=1, store=bucket / "hits.parquet")
    lazy = blmm.scan(study)
    endpoint.fault = lambda _: FORBIDDEN
    with pytest.raises(blmm.StoreError) as caught:
        blmm.save(ds, bucket / "other.zarr")
    endpoint.behave()
    running = machines.finish(
        *("scan", bucket / "study.zarr", bucket / "again.zarr", "--workers", 2, "--threads", 1)
    )
    stored = [bucket.read(key) for key in bucket.list()]
    assert len(stored) > 50
    keys = [str(key) for one in (study, result, lazy) for key in one.__dask_graph__()]
    sent = [pickle.dumps(dict(one.__dask_graph__())) for one in (study, result, lazy)]
    said = [caplog.text, *capfd.readouterr(), str(caught.value), running.said, repr(study.attrs)]
    for secret in (KEY, SECRET):
        for text in (*keys, *said, repr(result), repr(lazy.attrs)):
            assert secret not in text
        for data in (*stored, *sent):
            assert secret.encode() not in data


def test_urls_are_the_names_of_stores(bucket, ds):
    blmm.save(ds, bucket / "study.zarr")
    blmm.scan(blmm.open_dataset(bucket / "study.zarr"), store=bucket / "lod.zarr")
    attrs = json.loads(bucket.read("lod.zarr/zarr.json"))["attributes"]
    assert attrs["bulklmm_study"] == bucket / "study.zarr"
