"""One cluster for all tests of this folder, with the Dask operator in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import commands
import pytest
import yaml
from objects.servers import CREDENTIALS, client_of, missing, running

import bulklmm_dask as blmm

if TYPE_CHECKING:
    from clusters.kubernetes.double import Double
    from clusters.kubernetes.kubectl import Kubectl

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "cluster_configs" / "kubernetes"
# The double is made with libraries of the operator; without them its modules cannot be imported.
if not find_spec("dask_kubernetes"):
    collect_ignore_glob = ["[!t]*.py"]


def image() -> str:
    """The image that all files name."""
    job = yaml.safe_load((CONFIGS / "job.yaml").read_text())
    (container,) = job["spec"]["job"]["spec"]["containers"]
    return str(container["image"])


@pytest.fixture(scope="package")
def double(tmp_path_factory) -> Iterator[Double]:
    """The cluster; its processes end with the tests."""
    for name in ("dask_kubernetes", "kopf", "kr8s", "aiohttp"):
        pytest.importorskip(name, reason="dask-kubernetes is not installed; it comes with [test]")
    from clusters.kubernetes.double import Double, operator

    running = Double(tmp_path_factory.mktemp("kubernetes"), {image()})
    running.start()
    try:
        with operator(running):
            yield running
    finally:
        running.stop()


@pytest.fixture
def kubectl(double, study, tmp_path) -> Iterator[Kubectl]:
    """Commands that are typed in a folder with the files of the repository and a study.

    Afterwards nothing is left in the cluster.
    """
    from clusters.kubernetes.kubectl import Kubectl

    (tmp_path / "cluster_configs").symlink_to(ROOT / "cluster_configs")
    (tmp_path / "study.zarr").symlink_to(study)
    running = Kubectl(double, tmp_path)
    yield running
    plurals = [
        "daskjobs", "daskautoscalers", "daskclusters", "pods", "persistentvolumeclaims", "secrets"
    ]  # fmt: skip
    for plural in plurals:
        for name in running(f"kubectl get {plural}").split():
            double.ask(lambda p=plural, n=name: double.objects.find(p, "default", n)
                       and double.objects.delete(p, "default", n, grace=0))  # fmt: skip
    running.until(lambda: not running("kubectl get pods"), "all pods are gone")


@pytest.fixture(scope="package")
def study(tmp_path_factory) -> Path:
    """A study with its kinship."""
    path = tmp_path_factory.mktemp("study") / "study.zarr"
    return commands.simulated(path, traits=200, variants=1200, samples=80, strains=40)


@pytest.fixture(scope="package")
def local(study) -> Callable[..., Path]:
    """Scan on this machine with options; gives the result."""

    def scanned(*options: str) -> Path:
        path = study.with_name(f"lod{''.join(options)}.zarr".replace("/", ""))
        if not path.exists():
            commands.run("scan", study, path, *options)
        return path

    return scanned


@pytest.fixture
def claim(double) -> Path:
    """The folder of the claim of volume.yaml, empty."""
    volume = yaml.safe_load((CONFIGS / "volume.yaml").read_text())
    folder = double.kubelet.claim(volume["metadata"]["name"])
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


@pytest.fixture
def bucket(study, tmp_path_factory) -> Iterator[str]:
    """A bucket with the study; the environment of this process has its keys. Gives the server."""
    pytest.importorskip("obstore")
    pytest.importorskip("boto3")
    if missing("moto"):
        pytest.skip(missing("moto"))
    with (
        running("moto", tmp_path_factory.mktemp("moto")) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        url = "http://{}:{}".format(*address)
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        client_of(*address).create_bucket(Bucket="lab-bucket")
        blmm.save(blmm.open_dataset(study), "s3://lab-bucket/study.zarr")
        yield url


@pytest.fixture
def apply_keys(bucket, tmp_path) -> Callable[[Kubectl], None]:
    """Apply bucket.yaml, with the keys of the bucket in it."""
    secret = yaml.safe_load((CONFIGS / "bucket.yaml").read_text())
    assert secret["stringData"].keys() == CREDENTIALS.keys()
    secret["stringData"] = {**CREDENTIALS, "AWS_ENDPOINT_URL": bucket}
    (tmp_path / "bucket.yaml").write_text(yaml.safe_dump(secret))
    return lambda kubectl: kubectl("kubectl apply -f bucket.yaml")
