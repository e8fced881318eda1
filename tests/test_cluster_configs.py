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
SBATCH = {path.stem: path for path in sorted((CONFIGS / "slurm").glob("*.sbatch"))}
# What the scripts give the command behind their own arguments.
PLACES = {"scan": ("scheduler", "$file"), "array": ("share", "3/10")}
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


@pytest.mark.parametrize("name", SBATCH)
def test_sbatch_script_is_bash(name):
    subprocess.run(["bash", "-n", str(SBATCH[name])], check=True)


@pytest.mark.parametrize("name", PLACES)
def test_sbatch_command_parses(name):
    place, value = PLACES[name]
    (words,) = commands_in(SBATCH[name].read_text())
    arguments = ["study.zarr", "lod.zarr", "--reml"]
    given = [arg for word in words for arg in (arguments if word == "$@" else [word])]
    given = ["3/10" if word == "$share" else word for word in given]
    context = parse(given)
    assert context.params["study"] == "study.zarr"
    assert str(context.params[place]) == value
    assert context.params["reml"]


@pytest.mark.parametrize("name", PLACES)
def test_sbatch_scripts_run_a_script_as_they_run_the_command(name):
    """Behind ``python`` stands what stands behind ``bulklmm scan``; the script takes it."""
    text = SBATCH[name].read_text()
    (command,) = re.findall(r"^ +bulklmm scan (.*)$", text, flags=re.MULTILINE)
    (script,) = re.findall(r"^ +python (.*)$", text, flags=re.MULTILINE)
    assert script == command
    place, _ = PLACES[name]
    assert f'"--{place}"' in (CONFIGS / "scan.py").read_text()


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.md")), ids=str)
def test_readme_commands_parse(path):
    words = commands_in(path.read_text())
    assert words
    for line in words:
        parse(line)


def test_readme_names_what_there_is():
    text = (CONFIGS / "README.md").read_text()
    for name in re.findall(r"\b(?:slurm|kubernetes)/[\w-]+(?:\.\w+)?", text):
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
            assert manifest["apiVersion"] == "v1"
            assert manifest["kind"] in ("PersistentVolumeClaim", "Pod", "Secret")


def test_a_wrong_manifest_is_found(schemas):
    job = yaml.safe_load((CONFIGS / "kubernetes" / "job.yaml").read_text())
    job["spec"]["cluster"]["spec"]["worker"]["replicas"] = "four"
    job["spec"]["job"]["spec"]["container"] = []
    found = problems(job, schemas["DaskJob"])
    assert len(found) == 2
    assert any("'four'" in problem for problem in found)
    assert any("'container'" in problem for problem in found)


def manifest(name: str) -> dict:
    return yaml.safe_load((CONFIGS / "kubernetes" / f"{name}.yaml").read_text())


def pods_of(spec: dict) -> list[dict]:
    """Pods of a cluster."""
    return [spec["worker"]["spec"], spec["scheduler"]["spec"]]


JOBS = {name: manifest(name)["spec"] for name in ("job", "job-bucket")}
CLUSTERS = {"cluster": manifest("cluster")["spec"]} | {
    name: job["cluster"]["spec"] for name, job in JOBS.items()
}
PODS = [
    *(pod for cluster in CLUSTERS.values() for pod in pods_of(cluster)),
    *(job["job"]["spec"] for job in JOBS.values()),
    manifest("desk")["spec"],
]


@pytest.mark.parametrize("name", JOBS)
def test_job_commands_parse(name):
    (container,) = JOBS[name]["job"]["spec"]["containers"]
    context = parse(container["args"])
    assert context.params["scheduler"] == "$(DASK_SCHEDULER_ADDRESS)"


@pytest.mark.parametrize("name", JOBS)
def test_jobs_end(name):
    """A command that cannot succeed is started again, until a deadline."""
    pod = JOBS[name]["job"]["spec"]
    assert pod["restartPolicy"] == "OnFailure"
    assert pod["activeDeadlineSeconds"] == 24 * 60 * 60


def test_names_that_must_agree_do():
    autoscaler, cluster = manifest("autoscaler"), manifest("cluster")
    assert autoscaler["spec"]["cluster"] == cluster["metadata"]["name"]
    for name, spec in CLUSTERS.items():
        selector = spec["scheduler"]["service"]["selector"]
        assert selector["dask.org/cluster-name"] == manifest(name)["metadata"]["name"]
    claim, secret = (manifest(name)["metadata"]["name"] for name in ("volume", "bucket"))
    with_claim = [pod for pod in PODS if "volumes" in pod]
    assert len(with_claim) == 4  # of cluster.yaml, of job.yaml, and the desk
    for pod in with_claim:
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/data"
    sources = [pod["containers"][0].get("envFrom", ()) for pod in PODS]
    keys = [source["secretRef"] for each in sources for source in each]
    # Workers of cluster.yaml take them if they are there; the scan and workers of job-bucket.yaml
    # need them.
    assert keys == [{"name": secret, "optional": True}, {"name": secret}, {"name": secret}]


def test_pods_have_one_image_and_its_user():
    images = {container["image"] for pod in PODS for container in pod["containers"]}
    (image,) = images
    assert not image.endswith(":latest")
    dockerfile = (CONFIGS / "kubernetes" / "Dockerfile").read_text()
    assert f"-t {image} ." in dockerfile
    (user,) = re.findall(r"^USER (\d+):\d+$", dockerfile, flags=re.MULTILINE)
    for pod in PODS:
        assert pod["securityContext"]["runAsUser"] == int(user)
        assert pod["securityContext"]["runAsNonRoot"]


def test_what_waits_for_the_scheduler_does_not_wait_long():
    for cluster in CLUSTERS.values():
        probe = cluster["scheduler"]["spec"]["containers"][0]["readinessProbe"]
        assert probe.get("initialDelaySeconds", 0) + probe["periodSeconds"] <= 2


def test_worker_commands_are_dasks():
    from distributed.cli.dask_worker import main as dask_worker

    for spec in CLUSTERS.values():
        command, sub, *rest = spec["worker"]["spec"]["containers"][0]["args"]
        assert (command, sub) == ("dask", "worker")
        context = dask_worker.make_context("worker", rest)
        assert context.params["nthreads"] == 4
