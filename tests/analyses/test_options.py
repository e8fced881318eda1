"""Options declared once: signatures, attributes and commands say what the rows say."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.analyses.options import COMPRESSION, DIGITS, PERMUTE, PLAN, SCAN, KinshipMethod
from bulklmm_dask.cli import main
from bulklmm_dask.lmm.derived import GAUSSIAN, PRODUCTS
from bulklmm_dask.lmm.kinship import METHODS

# Where a function reads and writes, and what the command says in another way, is no option.
NO_OPTION = {"ds", "store", "progress"}
NOT_ON_COMMAND_LINE = {"chunks"}
COMPUTE = {
    "scheduler",
    "processes",
    "threads",
    "memory",
    "dashboard",
    "performance_report",
    "tls_ca_file",
    "tls_cert",
    "tls_key",
}
FORM = {"as_json"}


@pytest.mark.parametrize(("name", "rows"), [("scan", SCAN), ("permute", PERMUTE), ("plan", PLAN)])
def test_signatures_and_commands_have_the_options_that_are_declared(name, rows):
    declared = {row.name: row for row in rows}
    assert len(declared) == len(rows)
    parameters = inspect.signature(getattr(blmm, name)).parameters
    own = set(parameters) - NO_OPTION
    assert set(declared) <= own <= set(declared) | NOT_ON_COMMAND_LINE
    for option, row in declared.items():
        assert parameters[option].default == row.default, option
    command = main.get_command(None, name)
    flags = {one.name: one for one in command.params if one.param_type_name == "option"}
    # Kernels by name are a kinship in Python.
    assert set(flags) - COMPUTE - FORM - {"kernels"} == set(declared) - COMPUTE
    for option, row in declared.items():
        assert flags[option].opts == [row.flag, *row.also]
        assert flags[option].help == row.help


def test_what_is_saved_has_the_options_of_stores():
    parameters = inspect.signature(blmm.save).parameters
    for row in (COMPRESSION, DIGITS):
        assert parameters[row.name].default == row.default
    flags = {one.name: one for one in main.get_command(None, "import").params}
    assert flags["compression"].opts == [COMPRESSION.flag]
    assert flags["compression"].help == COMPRESSION.help
    assert "digits" not in flags  # a study is kept without loss


def test_attributes_of_results_have_the_names_of_options():
    ds = studies.study(n=20, p=10, m=4, covariates=1)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    weights = ds.sample_covariate.values[:, 0] ** 2 + 1
    scanned = blmm.scan(
        ds, loco=True, interaction="covariate1", weights=weights, prior=(1, 2), statistics="beta"
    )
    permuted = blmm.permute(ds, n_permutations=2, strata=weights > weights.mean(), by="contig")
    for result, rows in ((scanned, SCAN), (permuted, PERMUTE)):
        assert set(result.attrs) - {"version", "effect_unit"} <= {row.name for row in rows}


def test_kinship_methods_are_those_of_the_statistics():
    assert set(get_args(KinshipMethod)) == {*METHODS, *PRODUCTS, GAUSSIAN}
