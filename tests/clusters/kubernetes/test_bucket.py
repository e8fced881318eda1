"""The job for an object store: job-bucket.yaml, with the keys in bucket.yaml."""

from __future__ import annotations

import os

import pytest
import yaml
from objects.servers import CREDENTIALS, SECRET, client_of, missing, running

import bulklmm_dask as blmm
from clusters.kubernetes.conftest import CONFIGS
from clusters.kubernetes.results import same

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

URL = "s3://lab-bucket/lod.zarr"


@pytest.fixture
def server(study, tmp_path_factory):
    """A bucket with the study; the environment of this process has its keys. Gives its URL."""
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


def test_a_scan_in_a_bucket(kubectl, server, local, tmp_path):
    keys = yaml.safe_load((CONFIGS / "bucket.yaml").read_text())
    assert keys["stringData"].keys() == CREDENTIALS.keys()
    keys["stringData"] = {**CREDENTIALS, "AWS_ENDPOINT_URL": server}
    (tmp_path / "bucket.yaml").write_text(yaml.safe_dump(keys))

    kubectl("kubectl apply -f cluster_configs/kubernetes/job-bucket.yaml")
    kubectl.until(lambda: "bulklmm-scan-runner" in kubectl.pods(), "there is the pod of the job")
    kubectl("kubectl apply -f bucket.yaml")  # pods wait for it
    kubectl("kubectl wait --for=jsonpath={.status.jobStatus}=Successful daskjob/bulklmm-scan")
    same(URL, local())
    assert SECRET not in kubectl("kubectl logs bulklmm-scan-runner")
