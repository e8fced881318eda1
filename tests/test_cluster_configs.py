"""The cluster files: valid for their tools, and with commands that our command line takes."""

import importlib.metadata
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

import bulklmm_dask
from bulklmm_dask.cli import main

CONFIGS = Path(__file__).resolve().parents[1] / "cluster_configs"
SBATCH = CONFIGS / "slurm" / "scan.sbatch"
MANIFESTS = sorted((CONFIGS / "kubernetes").glob("*.yaml"))
CRD_FOLDER = "deployment/helm/dask-kubernetes-operator/crds"


def parse(words: list[str]) -> click.Context:
    """Let click parse a command line of ours; nothing runs. Raises UsageError where it cannot."""
    assert words[0] == "bulklmm"
    group = main.make_context("bulklmm", words[1:])
    _, command, rest = main.resolve_command(group, group._protected_args + group.args)
    return command.make_context(command.name, rest, parent=group)


def commands_in(text: str) -> list[list[str]]:
    """The lines of a text that call bulklmm, as words."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [line.strip() for line in lines if line.strip().startswith("bulklmm ")]
    return [shlex.split(line.removesuffix("&"), comments=True) for line in found]


def python_in(text: str) -> list[str]:
    """The Python blocks of a Markdown text."""
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_sbatch_script_is_bash():
    subprocess.run(["bash", "-n", str(SBATCH)], check=True)


def test_sbatch_command_parses():
    (words,) = commands_in(SBATCH.read_text())
    arguments = ["study.zarr", "lod.zarr", "--reml"]
    given = [arg for word in words for arg in (arguments if word == "$@" else [word])]
    context = parse(given)
    assert context.params["study"] == "study.zarr"
    assert context.params["scheduler"] == "$file"
    assert context.params["reml"]


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.md")), ids=str)
def test_readme_commands_parse(path):
    words = commands_in(path.read_text())
    assert words
    for line in words:
        parse(line)


def test_readme_names_what_there_is():
    text = (CONFIGS / "README.md").read_text()
    for name in re.findall(r"(?:slurm|kubernetes)/[\w.-]*\w", text):
        assert (CONFIGS / name).is_file(), name
    for code in python_in(text):
        for name in re.findall(r"blmm\.(\w+)", code):
            assert hasattr(bulklmm_dask, name), name


def custom_resources() -> dict[str, dict]:
    """Schema of every custom resource of the dask-kubernetes package, by kind."""
    try:
        files = importlib.metadata.files("dask-kubernetes") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("dask-kubernetes is not installed; it comes with the extra 'test'")
    schemas = {}
    for file in files:
        if CRD_FOLDER in str(file):
            crd = yaml.load(Path(file.locate()).read_text(), Loader=yaml.CSafeLoader)
            (version,) = crd["spec"]["versions"]
            schemas[crd["spec"]["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
    return schemas


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict]:
    return custom_resources()


def strict(schema):
    """The schema as the API server applies it: unknown fields are refused, null where nullable."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        out.setdefault("additionalProperties", False)
    return out


def problems(manifest: dict, schema: dict) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    whole = strict(schema)
    del whole["additionalProperties"]  # apiVersion, kind and metadata are the API's own
    found = jsonschema.Draft4Validator(whole).iter_errors(manifest)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in found]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_their_schema(path, schemas):
    for manifest in yaml.safe_load_all(path.read_text()):
        if manifest["apiVersion"] == "kubernetes.dask.org/v1":
            assert problems(manifest, schemas[manifest["kind"]]) == []
        else:
            assert (manifest["apiVersion"], manifest["kind"]) == ("v1", "PersistentVolumeClaim")


def test_a_wrong_manifest_is_found(schemas):
    job = yaml.safe_load((CONFIGS / "kubernetes" / "job.yaml").read_text())
    job["spec"]["cluster"]["spec"]["worker"]["replicas"] = "four"
    job["spec"]["job"]["spec"]["container"] = []
    found = problems(job, schemas["DaskJob"])
    assert len(found) == 2
    assert any("'four'" in problem for problem in found)
    assert any("'container'" in problem for problem in found)


def by_kind() -> dict[str, dict]:
    manifests = [yaml.safe_load(path.read_text()) for path in MANIFESTS]
    return {manifest["kind"]: manifest for manifest in manifests}


def test_job_command_parses():
    (container,) = by_kind()["DaskJob"]["spec"]["job"]["spec"]["containers"]
    context = parse(container["args"])
    assert context.params["scheduler"] == "$(DASK_SCHEDULER_ADDRESS)"


def test_names_that_must_agree_do():
    kinds = by_kind()
    cluster, job = kinds["DaskCluster"], kinds["DaskJob"]
    assert kinds["DaskAutoscaler"]["spec"]["cluster"] == cluster["metadata"]["name"]
    claim = kinds["PersistentVolumeClaim"]["metadata"]["name"]
    pods = [job["spec"]["job"]["spec"]]
    for owner, spec in ((cluster, cluster["spec"]), (job, job["spec"]["cluster"]["spec"])):
        selector = spec["scheduler"]["service"]["selector"]
        assert selector["dask.org/cluster-name"] == owner["metadata"]["name"]
        pods.append(spec["worker"]["spec"])
    for pod in pods:
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/data"


def test_worker_commands_are_dasks():
    from distributed.cli.dask_worker import main as dask_worker

    for spec in (by_kind()["DaskCluster"]["spec"], by_kind()["DaskJob"]["spec"]["cluster"]["spec"]):
        command, sub, *rest = spec["worker"]["spec"]["containers"][0]["args"]
        assert (command, sub) == ("dask", "worker")
        context = dask_worker.make_context("worker", rest)
        assert context.params["nthreads"] == 4
