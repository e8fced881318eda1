"""Disks that are full: one message with the bytes needed and free; the same command finishes."""

import os
import subprocess

import pytest

from faults.conftest import SCAN
from faults.machines import blocks_of, content, leftovers, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture
def disk(tmp_path):
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no small file system can be made here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk):
    with (disk / "filler").open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass


@pytest.mark.skipif(os.name != "posix", reason="file systems of POSIX")
@pytest.mark.parametrize("where", [["--threads", "1"], ["--workers", "2", "--threads", "1"]])
def test_full(where, machines, disk, study, undisturbed):
    path = disk / "lod.zarr"
    scan = machines.bulklmm("scan", study, path, *SCAN, *where)
    wait_for(lambda: blocks_of(path) >= 2)
    fill(disk)
    scan.require_error(
        f"{path} cannot be written: the disk is full; finished blocks are kept: make room",
        " are still to be written, 0 bytes are free)",
    )
    (disk / "filler").unlink()
    assert not leftovers(path)
    machines.finish("scan", study, path, *SCAN, *where)
    assert content(path) == undisturbed
