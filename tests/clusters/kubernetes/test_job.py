"""Jobs from job.yaml: disturbed, that cannot succeed, corrected, ended by their deadline."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import yaml
from doc_pages import ROOT, blocks
from faults.machines import blocks_of

from clusters.everywhere import assert_same, make_script, make_study
from clusters.kubernetes.conftest import CONFIGS
from clusters.kubernetes.results import same

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

GUIDE = (ROOT / "docs" / "guide" / "kubernetes.md").read_text()
# 960 blocks, each some 5 ms of work: more than are done while a pod is replaced.
SCAN = ["--method", "alt-exact", "--chunks", "10,25"]
BLOCKS = 960
RUNNER = "bulklmm-scan-runner"
METHOD = "            - null-exact"
APPLY, DELETE = "kubectl apply -f job.yaml", "kubectl delete daskjob bulklmm-scan"
STATUS = "kubectl get daskjob bulklmm-scan -o jsonpath={.status.jobStatus}"
SUCCESSFUL = "kubectl wait --for=jsonpath={.status.jobStatus}=Successful daskjob/bulklmm-scan"
FAILED = "kubectl wait --for=jsonpath={.status.jobStatus}=Failed daskjob/bulklmm-scan"


@pytest.fixture
def job(kubectl, study, claim, tmp_path) -> Callable[..., None]:
    """Write job.yaml with lines changed, as the guide says; there is a study on the claim."""
    shutil.copytree(study, claim / "study.zarr")
    kubectl("kubectl apply -f cluster_configs/kubernetes/volume.yaml")

    def written(*changes: tuple[str, str]) -> None:
        text = (CONFIGS / "job.yaml").read_text()
        for before, after in changes:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        (tmp_path / "job.yaml").write_text(text)

    return written


def started_again(double) -> int:
    """How often the scan's container was started again."""
    pod = double.ask(lambda: double.objects.find("pods", "default", RUNNER)) or {}
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return sum(each["restartCount"] for each in statuses)


def test_what_is_killed_comes_back(kubectl, job, claim, local, double):
    """The scan's container, a worker's pod and the scheduler's, one after the other."""
    path = claim / "lod.zarr"
    job((METHOD, "            - alt-exact\n            - --chunks\n            - 10,25"))
    kubectl(APPLY)

    kubectl.until(lambda: blocks_of(path) >= 2, "two blocks are written")
    kubectl.container(RUNNER).kill()
    kubectl.until(lambda: started_again(double) == 1, "the scan's container is started again")

    before = blocks_of(path)
    assert before < BLOCKS
    kubectl.until(lambda: blocks_of(path) > before, "it goes on")
    kubectl(f"kubectl delete pod {kubectl.pods(component='worker')[0]}")
    kubectl.until(lambda: len(kubectl.pods(component="worker")) == 4, "the worker is replaced")

    assert blocks_of(path) < BLOCKS
    (scheduler,) = kubectl.pods(component="scheduler")
    kubectl(f"kubectl delete pod {scheduler}")
    kubectl.until(lambda: started_again(double) >= 2, "the scan has ended without a scheduler")

    kubectl(SUCCESSFUL)
    said = kubectl(f"kubectl logs {RUNNER}")
    assert "Traceback" not in said
    assert said.count("error: ") == started_again(double) - 1, said
    same(path, local(*SCAN))
    kubectl.until(lambda: kubectl.pods() == [RUNNER], "the cluster is gone")


def test_a_script_in_place_of_the_command(kubectl, claim, tmp_path):
    """The args of the guide, and the script that runs everywhere."""
    kubectl("kubectl apply -f cluster_configs/kubernetes/volume.yaml")
    make_study(claim)
    make_script(claim)
    (lines,) = (block for block in blocks(GUIDE, "yaml") if "scan.py" in block)
    manifest = yaml.safe_load((CONFIGS / "job.yaml").read_text())
    (container,) = manifest["spec"]["job"]["spec"]["containers"]
    container |= yaml.safe_load(lines)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(manifest))
    kubectl(APPLY)
    kubectl(SUCCESSFUL)
    assert_same(claim / "lod.zarr")


def test_a_command_that_cannot_succeed(kubectl, job, claim, local, double):
    """It is started again until the deadline. A corrected file needs the job deleted first."""
    job(("/data/study.zarr", "/data/absent.zarr"))
    assert "created" in kubectl(APPLY)
    kubectl.until(lambda: started_again(double) >= 2, "the scan's container is started again")
    assert kubectl(STATUS) == "Running"
    said = kubectl(f"kubectl logs {RUNNER}")
    assert said.count("error: ") == 2, said
    assert "absent.zarr" in said
    double.ask(lambda: double.kubelet.pass_deadline(("pods", "default", RUNNER)))
    kubectl(FAILED)
    kubectl.until(lambda: kubectl.pods() == [RUNNER], "the cluster is gone")

    job()
    assert "configured" in kubectl(APPLY)
    assert kubectl(STATUS) == "Failed"
    assert "absent.zarr" in " ".join(kubectl.container(RUNNER).command)
    assert not (claim / "lod.zarr").exists()

    kubectl(DELETE)
    kubectl.until(lambda: not kubectl.pods(), "the pod is gone")
    assert "created" in kubectl(APPLY)
    kubectl(SUCCESSFUL)
    same(claim / "lod.zarr", local())
    assert "unchanged" in kubectl(APPLY)
