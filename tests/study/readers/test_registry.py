"""The registry of formats: rows that hold, from which commands and documentation derive."""

from __future__ import annotations

import inspect
import subprocess
import sys

import click
import numpy as np
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.cli.importing import import_command
from bulklmm_dask.describe import describe
from bulklmm_dask.study.readers.registry import READERS, markdown_rows, read_alone, with_option


@pytest.mark.parametrize("name", READERS)
def test_a_row_names_a_public_function_and_its_arguments(name):
    reader = READERS[name]
    function = getattr(blmm, reader.python)
    assert reader.function == f"{function.__module__.rpartition('.')[2]}:{function.__name__}"
    arguments = inspect.signature(function).parameters
    assert set(reader.options.values()) <= set(arguments)
    required = [
        key for key, one in list(arguments.items())[1:] if one.default is inspect.Parameter.empty
    ]
    assert required == ([] if reader.needed is None else [reader.options[reader.needed]])


def test_the_command_has_the_options_of_all_formats():
    flags = {
        option.opts[0] for option in import_command.params if isinstance(option, click.Option)
    } - {"--overwrite", "--compression"}  # those of every store
    flags -= {"--threads", "--workers", "--memory", "--scheduler"}  # of all that computes
    flags -= {"--dashboard", "--performance-report"}
    flags -= {"--tls-ca-file", "--tls-cert", "--tls-key"}
    assert flags == {flag for reader in READERS.values() for flag in reader.options}
    text = import_command.help
    for name, reader in READERS.items():
        assert f"\n{name} " in text
        assert " ".join(reader.description.split()) in " ".join(text.split())
    assert with_option("--map") == ["csv", "probabilities"]


def test_the_table_of_the_documentation():
    rows = markdown_rows()
    assert len(rows) == 2 + len(READERS)
    assert all(row.count("|") == 5 for row in rows)
    assert any("`read_bimbam`" in row and "`--annotation`" in row for row in rows)


def test_importing_it_imports_no_reader():
    code = (
        "import sys, types;"
        "package = types.ModuleType('bulklmm_dask'); package.__path__ = [sys.argv[1]];"
        "sys.modules['bulklmm_dask'] = package;"
        "import bulklmm_dask.study.readers.guess, bulklmm_dask.study.readers.registry;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    folder = inspect.getfile(blmm).rpartition("/")[0]
    run = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, check=True)
    loaded = set(run.stdout.decode().split())
    assert not {"zarr", "xarray", "numpy", "pandas", "yaml", "bed_reader", "dask"} & loaded


def test_files_are_described_by_their_format(tmp_path):
    geno = tmp_path / "g.txt"
    geno.write_text("rs1, A, T, 0.02, 1, 1.5\n")
    text = describe(geno)
    assert "BIMBAM mean genotypes (format bimbam)" in text
    assert f"bulklmm import bimbam {geno} STUDY --traits FILE" in text
    with pytest.raises(blmm.InputError, match=r"needs --traits beside it: bulklmm import bimbam"):
        read_alone(geno, "bimbam")
    table = tmp_path / "t.csv"
    table.write_text("sample,height\na,1\n")
    with pytest.raises(blmm.InputError, match=r"of .*t\.csv cannot be told .*rqtl2, csv"):
        describe(table)
    with pytest.raises(blmm.InputError, match="there is no file or folder"):
        describe(tmp_path / "none")


def test_plink_files_are_described(tmp_path):
    from bed_reader import to_bed

    calls = np.array([[0, 1], [2, 1], [1, 0]], dtype=np.float32)
    names = {"iid": ["a", "b", "c"], "sid": ["m1", "m2"], "pheno": ["1.5", "2.5", "3.0"]}
    to_bed(tmp_path / "x.bed", calls, properties=names)
    for source in ("x.bed", "x"):
        lines = describe(tmp_path / source).splitlines()
        assert lines[0] == f"{tmp_path / source}: PLINK files"
        assert lines[1].startswith("3 samples, 2 markers")
