"""The job for an object store: job-bucket.yaml, with the keys in bucket.yaml."""

from __future__ import annotations

import pytest
from objects.servers import SECRET

from clusters.kubernetes.results import same

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


def test_a_scan_in_a_bucket(kubectl, bucket, apply_keys, local):
    kubectl("kubectl apply -f cluster_configs/kubernetes/job-bucket.yaml")
    kubectl.until(lambda: "bulklmm-scan-runner" in kubectl.pods(), "there is the pod of the job")
    apply_keys(kubectl)  # pods wait for them
    kubectl("kubectl wait --for=jsonpath={.status.jobStatus}=Successful daskjob/bulklmm-scan")
    same("s3://lab-bucket/lod.zarr", local())
    assert SECRET not in kubectl("kubectl logs bulklmm-scan-runner")
