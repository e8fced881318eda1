"""Nothing that is read runs: no module unpickles files, and pickled inputs are refused unread."""

from __future__ import annotations

import ast
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import run
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.study.readers.registry import READERS

ROOT = Path(blmm.__file__).parent
# Fits that go from one worker to another, in Dask's own transport.
TRANSPORT = {"engine/fits.py"}
LIBRARIES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "fromfile", "read_hdf", "unsafe_load", "full_load"}
LOADERS = {"BaseLoader", "SafeLoader", "CSafeLoader", "CBaseLoader"}


def risks(source: str) -> set[str]:
    """What in a module could run code of a file."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = set()
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {str(node.module).split(".")[0]}
        found |= names & LIBRARIES
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            found |= {node.func.id} & CALLS
        if isinstance(node.func, ast.Attribute):
            found |= {node.func.attr} & METHODS
            if ast.unparse(node.func) in ("np.load", "numpy.load"):
                found.add("np.load")
            if ast.unparse(node.func) == "yaml.load":
                loader = [ast.unparse(one.value) for one in node.keywords if one.arg == "Loader"]
                found |= set() if {one.split(".")[-1] for one in loader} & LOADERS else {"yaml"}
        found |= {one.arg for one in node.keywords if one.arg == "allow_pickle"}
    return found


@pytest.mark.parametrize(
    ("source", "risk"),
    [
        ("import pickle", "pickle"),
        ("from cloudpickle import loads", "cloudpickle"),
        ("np.load(file)", "np.load"),
        ("f(file, allow_pickle=True)", "allow_pickle"),
        ("yaml.load(file)", "yaml"),
        ("yaml.load(file, Loader=yaml.Loader)", "yaml"),
        ("pd.read_pickle(file)", "read_pickle"),
        ("eval(text)", "eval"),
    ],
)
def test_risks_are_seen(source, risk):
    assert risks(source) == {risk}
    assert not risks("yaml.load(file, Loader=yaml.BaseLoader); json.load(file); re.compile('a')")


def test_no_module_runs_what_it_reads():
    found = {
        path.relative_to(ROOT).as_posix(): risks(path.read_text())
        for path in sorted(ROOT.rglob("*.py"))
    }
    assert {name: one for name, one in found.items() if one} == {
        name: {"pickle"} for name in TRANSPORT
    }


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def _npz(data: bytes, name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def payloads(ran: Path) -> dict[str, bytes]:
    """Files of several kinds that make `ran` when they are unpickled."""
    pickled = pickle.dumps(Payload(ran))
    stream = io.BytesIO()
    np.save(stream, np.array([Payload(ran)], dtype=object), allow_pickle=True)
    array = stream.getvalue()
    return {
        "a.pkl": pickled,
        "a.npy": array,
        "a.npz": _npz(array, "kinship.npy"),
        "a.zip": _npz(pickled, "geno.csv"),
        "a.csv": pickled,
        "a.parquet": pickled,
        "a.geno": array,
        "a.yaml": f"!!python/object/apply:builtins.open ['{ran}', 'w']\n".encode(),
    }


KINDS = list(payloads(Path("ran")))


@pytest.fixture
def ran(tmp_path):
    return tmp_path / "ran"


@pytest.mark.parametrize("kind", [one for one in KINDS if one in ("a.pkl", "a.npy", "a.csv")])
def test_the_payloads_do_run_where_they_are_unpickled(tmp_path, ran, kind):
    file = tmp_path / kind
    file.write_bytes(payloads(ran)[kind])
    np.load(file, allow_pickle=True)
    assert ran.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_runs_them(tmp_path, ran, kind):
    file = tmp_path / kind
    file.write_bytes(payloads(ran)[kind])
    for name in READERS:
        words = ["--genotypes", file] if "--genotypes" in READERS[name].options else []
        found = run("import", name, file, tmp_path / "new.zarr", *words, code=None)
        assert found.exit_code in (1, 2), found.output
        assert not ran.exists(), name
        assert not (tmp_path / "new.zarr").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_no_option_runs_them(tmp_path, ran, kind):
    blmm.save(study(12, 6, 2), tmp_path / "s.zarr")
    file = tmp_path / kind
    file.write_bytes(payloads(ran)[kind])
    for option in ("--kinship", "--covariates", "--weights", "--condition"):
        found = run("scan", tmp_path / "s.zarr", tmp_path / "r.zarr", option, file, code=None)
        assert found.exit_code in (1, 2), found.output
        assert not ran.exists(), option
    for command in ("info", "verify", "maxima", "scan", "probabilities"):
        new = [tmp_path / "x.zarr"] if command in ("scan", "probabilities") else []
        found = run(command, file, *new, code=None)
        assert found.exit_code in (1, 2), found.output
        assert not ran.exists(), command


@pytest.mark.parametrize("name", ["sample_trait", "call_dosage", "kinship"])
def test_pickled_chunks_of_a_study_are_refused(tmp_path, ran, name):
    """A chunk is bytes of numbers, whatever they look like."""
    blmm.save(study(12, 6, 2), tmp_path / "s.zarr")
    for chunk in [one for one in (tmp_path / "s.zarr" / name / "c").rglob("*") if one.is_file()]:
        chunk.write_bytes(pickle.dumps(Payload(ran)))
    with pytest.raises(blmm.StoreError, match=name):
        blmm.scan(blmm.open_dataset(tmp_path / "s.zarr")).compute()
    assert not ran.exists()
