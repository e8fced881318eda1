"""A standing cluster: from Python outside of it, and as large as it is told or has work."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from doc_pages import ROOT, blocks

import bulklmm_dask as blmm
from clusters.everywhere import assert_same, cell, command, make_script, make_study
from clusters.kubernetes.conftest import CONFIGS
from clusters.kubernetes.results import same

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

GUIDE = (ROOT / "docs" / "guide" / "kubernetes.md").read_text()
COOLDOWN = "kubernetes.dask.org/cooldown-until"
# More than any number of workers does within minutes.
LOAD = """
import time
from distributed import Client
client = Client("tcp://bulklmm-scheduler:8786")
futures = client.map(time.sleep, [1] * 10000, pure=False)
futures[0].result()
print("begun", flush=True)
time.sleep(600)
"""


@pytest.fixture
def cluster(kubectl, bucket, claim, apply_keys):
    """The cluster of cluster.yaml, once it runs."""
    apply_keys(kubectl)
    for name in ("volume", "cluster"):
        kubectl(f"kubectl apply -f cluster_configs/kubernetes/{name}.yaml")
    kubectl("kubectl wait --for=jsonpath={.status.phase}=Running daskcluster/bulklmm")


@pytest.fixture
def applied(kubectl, tmp_path):
    """Apply one of the files with a line changed."""

    def apply(name: str, before: str, after: str) -> None:
        text = (CONFIGS / name).read_text()
        assert text.count(before) == 1
        (tmp_path / name).write_text(text.replace(before, after))
        kubectl(f"kubectl apply -f {name}")

    return apply


def test_it_serves_python_and_scales(kubectl, cluster, applied, double, local, tmp_path):
    def workers() -> int:
        return len(kubectl.pods(component="worker"))

    (code,) = blocks(GUIDE, "python")
    from_outside(code, double, tmp_path)
    same("s3://lab-bucket/lod.zarr", local())
    assert workers() == 2

    # More, as the file says. The cluster goes on with its workers as they were.
    before = set(kubectl.pods(component="worker"))
    applied("cluster.yaml", "replicas: 2", "replicas: 3")
    kubectl.until(lambda: workers() == 3, "a worker was added")
    assert before < set(kubectl.pods(component="worker"))
    applied("cluster.yaml", "replicas: 2", "replicas: 2")
    kubectl.until(lambda: workers() == 2, "a worker was retired")

    # More, because there is work; fewer, because there is none.
    with working(double, tmp_path):
        applied("autoscaler.yaml", "maximum: 20", "maximum: 3")
        kubectl.until(lambda: workers() == 3, "work has added a worker")
    for left in (2, 1):
        warm_up(double)
        kubectl.until(lambda left=left: workers() == left, f"{left} workers are left")


def test_the_command_the_script_and_the_cell_of_everywhere(
    kubectl, cluster, claim, double, tmp_path
):
    """The first two at the desk, on the claim; the cell outside, on the bucket."""
    kubectl("kubectl apply -f cluster_configs/kubernetes/desk.yaml")
    kubectl("kubectl wait --for=condition=Ready pod/bulklmm-desk")
    study = make_study(claim)
    make_script(tmp_path)
    kubectl("kubectl cp scan.py bulklmm-desk:/data/scan.py")
    there, where = "/data/study.zarr", ("--scheduler", "tcp://bulklmm-scheduler:8786")
    words = ["bulklmm", *command(there, "/data/lod.zarr", *where)]
    kubectl(f"kubectl exec bulklmm-desk -- {shlex.join(words)}")
    words = ["python", "/data/scan.py", there, "/data/again.zarr", *where]
    kubectl(f"kubectl exec bulklmm-desk -- {shlex.join(words)}")
    assert_same(claim / "lod.zarr", claim / "again.zarr")

    blmm.save(blmm.open_dataset(study), "s3://lab-bucket/small.zarr")
    (code,) = blocks(GUIDE, "python")
    connect = code[: code.index("ds =")]
    store = "s3://lab-bucket/small-lod.zarr"
    from_outside(cell("s3://lab-bucket/small.zarr", store, connect), double, tmp_path)
    assert_same(store)


def warm_up(double) -> None:
    """Let the autoscaler look again at once, in place of 15 seconds later."""
    path = "/apis/kubernetes.dask.org/v1/namespaces/default/daskautoscalers/bulklmm"
    patch = {"metadata": {"annotations": {COOLDOWN: None}}}
    double.request("PATCH", path, patch, "application/merge-patch+json")


def from_outside(code: str, double, folder: Path) -> None:
    """Run Python as somebody who has a kubeconfig, and the keys of the bucket."""
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    own = {"KUBECONFIG": str(double.kubeconfig), "PYTHONPATH": str(ROOT)}
    with _python(code, {**keys, **own}, folder) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said


@contextmanager
def working(double, folder: Path) -> Iterator[None]:
    """Give the cluster much to do, until the end of the block."""
    with _python(LOAD, double.environment("load"), folder) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n", process.communicate()
            yield
        finally:
            process.kill()


def _python(code: str, variables: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    script = folder / "script.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
