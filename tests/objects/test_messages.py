"""What cannot be: one sentence that names the URL and says the remedy, and soon."""

from __future__ import annotations

import re

import pytest
from commands import run
from faults.machines import FULL

import bulklmm_dask as blmm
from objects.proxy import FORBIDDEN
from objects.servers import KEY, SECRET

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("endpoint", ["moto"], indirect=True)]

# A process in which the extra is not installed.
_WITHOUT = "import sys; sys.modules['obstore'] = None; from bulklmm_dask.cli import main; main()"


def test_no_credentials(bucket, machines, on_disk, endpoint):
    """The server refuses what is not signed."""
    endpoint.fault = lambda request: None if request.signed else FORBIDDEN
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del machines.environment[name]
    for arguments in (
        ["info", bucket / "study.zarr"],
        ["scan", on_disk / "study.zarr", bucket / "lod.zarr"],
    ):
        machines.bulklmm(*arguments).require_error(
            f"s3://{bucket.name}", "credentials", "AWS_ACCESS_KEY_ID"
        )


def test_credentials_that_are_refused(bucket, on_disk, endpoint):
    endpoint.fault = lambda _: FORBIDDEN
    said = run("info", bucket / "study.zarr", code=1).stderr
    assert bucket / "study.zarr" in said
    assert re.search("permission|credentials", said)


@pytest.mark.parametrize("command", ["info", "scan"])
@pytest.mark.parametrize("key", ["", "/lod.zarr"])
def test_no_such_bucket(endpoint, on_disk, bucket, command, key):
    if command == "scan" and not key:
        pytest.skip("no store is written as a whole bucket")
    url = f"s3://there-is-none{key}"
    arguments = [url] if command == "info" else [on_disk / "study.zarr", url]
    said = run(command, *arguments, code=1).stderr.splitlines()
    assert "there is no bucket s3://there-is-none" in said[-1]
    assert len([line for line in said if "there-is-none" in line]) == 1


def test_a_read_only_bucket(bucket, endpoint, ds, on_disk):
    blmm.save(ds, bucket / "study.zarr")
    endpoint.fault = lambda request: None if request.reads else FORBIDDEN
    study = blmm.open_dataset(bucket / "study.zarr")
    for write in (
        lambda: blmm.save(ds, bucket / "other.zarr"),
        lambda: blmm.scan(study, store=bucket / "lod.zarr"),
        lambda: blmm.find_hits(blmm.scan(study), threshold=1, store=bucket / "hits.parquet"),
    ):
        with pytest.raises(blmm.StoreError, match=rf"s3://{bucket.name}/.*permission") as caught:
            write()
        assert "\n" not in str(caught.value)
    assert blmm.scan(study).lod.max().compute() > 0


def test_nothing_there(bucket):
    for call in (blmm.open_dataset, blmm.open_result, blmm.verify):
        with pytest.raises((blmm.InputError, blmm.StoreError), match=r"there is no .*none\.zarr"):
            call(bucket / "none.zarr")


@pytest.mark.parametrize("url", ["ftp://lab/study.zarr", "hdfs://lab/study.zarr"])
def test_an_unknown_kind_of_url(url, on_disk, endpoint):
    said = run("scan", on_disk / "study.zarr", url, code=1).stderr
    assert url in said
    assert "s3" in said


@pytest.mark.skipif(not FULL, reason="requests are tried for a minute: make faults")
def test_a_server_that_cannot_be_reached(bucket, endpoint, machines):
    endpoint.leave()
    host = endpoint.url.removeprefix("http://")
    running = machines.bulklmm("info", bucket / "study.zarr")
    running.require_error(bucket / "study.zarr", host)


def test_the_extra_is_not_installed(endpoint, machines, bucket):
    running = machines.start("-c", _WITHOUT, "info", bucket / "study.zarr")
    running.require_error("pip install obstore")


@pytest.mark.parametrize(
    "url",
    [
        f"https://{KEY}:{SECRET}@lab.org/study.zarr",
        f"s3://{KEY}:{SECRET}@lab/study.zarr",
        f"https://lab.org/study.zarr?X-Amz-Credential={KEY}&X-Amz-Signature={SECRET}",
    ],
)
def test_urls_with_secrets_are_refused_and_not_told(url, endpoint):
    """Where they are taken, as signed queries may be, what is said is without them."""
    with pytest.raises(blmm.InputError) as caught:
        blmm.open_dataset(url)
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)
