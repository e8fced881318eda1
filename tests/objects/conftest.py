"""Servers, buckets, and a study whose results on disk all others must equal."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import studies
from faults.machines import Machines

import bulklmm_dask as blmm
from objects.buckets import Bucket
from objects.proxy import Proxy
from objects.servers import CREDENTIALS, PLAIN, SERVERS, client_of, missing, running

# Blocks of the scans here: 5 x 3.
CHUNKS = {"variants": 7, "traits": 5}
_ANY_NAME = itertools.count()


@pytest.fixture(scope="package", params=SERVERS)
def endpoint(request, tmp_path_factory) -> Iterator[Proxy]:
    """A server behind a proxy, which the environment names."""
    pytest.importorskip("obstore")
    if missing(request.param):
        pytest.skip(missing(request.param))
    folder = tmp_path_factory.mktemp(request.param)
    with (
        running(request.param, folder) as address,
        Proxy(*address, plain=request.param in PLAIN) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": proxy.url}.items():
            patch.setenv(name, value)
        yield proxy


@pytest.fixture(scope="package")
def make_bucket(endpoint) -> Callable[..., Bucket]:
    """Make a bucket of a new name, or of a given one."""
    pytest.importorskip("boto3")
    client = client_of(*endpoint.upstream)

    def make(name: str = "") -> Bucket:
        name = name or f"lab-{next(_ANY_NAME)}"
        client.create_bucket(Bucket=name)
        return Bucket(name, endpoint, client)

    return make


@pytest.fixture
def bucket(make_bucket, endpoint) -> Iterator[Bucket]:
    """An empty bucket of its own; the proxy behaves, and has counted nothing."""
    made = make_bucket()
    endpoint.behave()
    yield made
    endpoint.behave()


@pytest.fixture
def machines(endpoint, tmp_path) -> Iterator[Machines]:
    """Processes that have the environment of this one."""
    with Machines(tmp_path) as found:
        yield found


@pytest.fixture(scope="package")
def ds():
    return studies.study(n=30, p=30, m=12)


@pytest.fixture(scope="package")
def on_disk(ds, tmp_path_factory) -> Path:
    """A study and its results in a folder."""
    folder = tmp_path_factory.mktemp("on-disk")
    blmm.save(ds, folder / "study.zarr")
    blmm.scan(ds, store=folder / "null.zarr", chunks=CHUNKS)
    blmm.scan(ds, store=folder / "alt.zarr", chunks=CHUNKS, method="alt-exact")
    blmm.permute(ds, n_permutations=20, seed=1, store=folder / "perm.zarr")
    return folder
