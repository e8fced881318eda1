"""The image: what its file says, and, where the tools are, the image itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from clusters.kubernetes.conftest import CONFIGS, ROOT, image

FILE = CONFIGS / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# The base of the tests: what Debian has, in the place of an image of a registry.
BASE = "localhost/debian-python:bookworm"
# Ways to keep images, the faster one first; within a container only the other one may work.
DRIVERS = ("overlay", "vfs")
PACKAGES = "ca-certificates,python3-dev,python3-venv"
BOOTSTRAP = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}"]


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile in order, each on one line."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    words = [line.split(maxsplit=1) for line in lines if line.strip()]
    return [(name, re.sub(r"\s+", " ", rest)) for name, rest in words]


def values(name: str) -> list[str]:
    """What stands behind the instructions of a name."""
    return [rest for known, rest in instructions() if known == name]


def test_the_base_is_pinned():
    (base,) = re.findall(r"^BASE=(\S+)$", values("ARG")[0])
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-[a-z]+", base)
    assert values("FROM") == ["${BASE} AS build", "${BASE}"]
    assert ":latest" not in FILE.read_text()


def test_it_runs_as_a_user_and_tells_its_health():
    names = [name for name, _ in instructions()]
    (user,) = values("USER")
    assert user == "1000:1000"
    assert names.index("USER") > max(at for at, name in enumerate(names) if name in ("RUN", "COPY"))
    (health,) = values("HEALTHCHECK")
    code = json.loads(health.split("CMD ", 1)[1])
    compile(code[2], "HEALTHCHECK", "exec")
    (labels,) = values("LABEL")
    told = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
    assert told.keys() >= {"title", "description", "version", "licenses"}
    assert told["licenses"] == PROJECT["license"]
    assert told["version"] == Version(PROJECT["version"]).base_version == image().split(":")[1]


def test_it_has_the_packages_for_object_stores():
    assert "EXTRAS=objects" in values("ARG")
    assert "objects" in PROJECT["optional-dependencies"]


def test_every_library_is_pinned_as_the_project_allows():
    lines = (CONFIGS / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["objects"]]
    for requirement in map(Requirement, wanted):
        pin = pins[canonicalize_name(requirement.name)]
        assert pin in requirement.specifier, requirement


def test_what_is_copied_exists():
    for words in values("COPY"):
        if not words.startswith("--from"):
            *sources, _ = words.split()
            for source in sources:
                assert (ROOT / source).exists(), source


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Build the image; gives what runs a command in it, as its user."""
    for program in ("buildah", "debootstrap"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    if os.getuid():
        pytest.skip("images are built by root only")
    folder = tmp_path_factory.mktemp("image")
    stores = ["--root", folder / "root", "--runroot", folder / "run", "--storage-driver"]
    driver = next(each for each in DRIVERS if _works([*stores, each]))

    def buildah(command: str, *words: object) -> str:
        line = ["buildah", *stores, driver, command, *words]
        done = subprocess.run(list(map(str, line)), capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout

    base = folder / "base"
    made = subprocess.run([*BOOTSTRAP, "bookworm", base], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"debootstrap cannot make a base here: {made.stdout.splitlines()[-1]}")
    container = buildah("from", "scratch").strip()
    buildah("add", "-q", container, base, "/")
    buildah("commit", "-q", container, BASE)
    # Packages come from where this machine takes them, by the authorities that it trusts.
    (folder / "pip.conf").write_text(f"[global]\ncert = {AUTHORITIES}\n")
    mounts = [f"{folder / 'pip.conf'}:/etc/pip.conf:ro", f"{AUTHORITIES}:{AUTHORITIES}:ro"]
    buildah(
        "bud", "--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE={BASE}",
        *(f"--volume={mount}" for mount in mounts), "-f", FILE, "-t", image(), ROOT,
    )  # fmt: skip
    container = buildah("from", f"localhost/{image()}").strip()
    yield lambda *words: buildah("run", "--isolation", "chroot", container, "--", *words)
    shutil.rmtree(folder)


def _works(stores: list[object]) -> bool:
    """Whether images can be kept so."""
    line = ["buildah", *map(str, stores), "info"]
    return subprocess.run(line, capture_output=True).returncode == 0


@pytest.mark.kubernetes
@pytest.mark.slow
def test_it_is_built_and_scans(run):
    assert run("id", "-u").strip() == "1000"
    assert PROJECT["version"].removesuffix(".dev0") in run("bulklmm", "--version")
    pins = (CONFIGS / "constraints.txt").read_text()
    assert f"dask=={run('dask', '--version').split()[-1]}\n" in pins
    loops = "from bulklmm_dask.lmm.compiled import loops; import obstore; print('compiled')"
    assert run("python3", "-c", loops).strip() == "compiled"
    scan = (
        "cd && bulklmm simulate s.zarr --traits 20 --samples 40 --strains 20 --variants 90"
        " && bulklmm kinship s.zarr && bulklmm scan s.zarr l.zarr && bulklmm maxima l.zarr --top 5"
    )
    table = run("sh", "-c", scan).splitlines()
    assert table[0].startswith("trait,")
    assert len(table) == 6


@pytest.mark.kubernetes
@pytest.mark.slow
def test_its_scheduler_is_healthy_until_it_is_frozen(run):
    (health,) = values("HEALTHCHECK")
    code = json.loads(health.split("CMD ", 1)[1])[2]
    script = f"""
import os, signal, subprocess, sys, time
check = [sys.executable, "-c", {code.replace("8787", "18787").replace("=10", "=2")!r}]
before = subprocess.run(check).returncode
scheduler = subprocess.Popen(["dask", "scheduler", "--port", "0", "--dashboard-address", ":18787"])
import socket
while socket.socket().connect_ex(("127.0.0.1", 18787)):
    time.sleep(0.1)
running = subprocess.run(check).returncode
scheduler.send_signal(signal.SIGSTOP)
frozen = subprocess.run(check, stderr=subprocess.DEVNULL).returncode
scheduler.kill()
print(before, running, frozen)
"""
    assert run("python3", "-c", script).splitlines()[-1] == "0 0 1"
