"""Covariates of a model by name, and which of them interact with the marker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.columns import independent_columns
from bulklmm_dask.storage.labels.portable import names_of
from bulklmm_dask.study.checks import refuse_infinite
from bulklmm_dask.study.metadata import (
    Coded,
    coded_metadata,
    leave_out,
    metadata_names,
    split_indicator,
)
from bulklmm_dask.study.schema import locate
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array

CovariatesLike = bool | Sequence[str] | None

_ALL, _BUT = "all", "-"


@dataclass
class ModelColumns:
    """Columns of a model beside the intercept.

    Attributes
    ----------
    columns : dict of str to array (samples,)
        Numbers by the name of the column, NaN where missing.
    interacting : list of str
        Columns whose product with the genotype is tested.
    named : dict of str to str
        Columns that were asked for by their own name, and by which option.
    notes : list of str
        Which texts are read as which numbers.
    """

    columns: dict[str, Array] = field(default_factory=dict)
    interacting: list[str] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, coded: Coded, asked: str | None = None) -> None:
        """Add columns after those that are there; `asked` is the option that names them."""
        self.columns |= coded.columns
        if asked is not None:
            self.named |= dict.fromkeys(coded.columns, asked)
        if coded.note and coded.note not in self.notes:
            self.notes.append(coded.note)

    def leave_out(self, column: str) -> str:
        """Say how the model goes without a column, in the way it was asked for."""
        asked = self.named.get(column)
        return leave_out(column) if asked is None else f"leave it out of {option(asked)}"

    @property
    def interacting_positions(self) -> tuple[int, ...]:
        """Positions of the interacting columns in the matrix of covariates, the intercept first."""
        names = list(self.columns)
        return tuple(1 + names.index(name) for name in self.interacting)


def model_columns(
    ds: xr.Dataset, wanted: CovariatesLike, interaction: str | Sequence[str] | None = None
) -> ModelColumns:
    """Find covariates by name: those of the study, and metadata of the samples.

    Parameters
    ----------
    ds : Dataset
        A valid study.
    wanted : bool, str or sequence of str
        True for the covariates of the study, False or None for none, or names, also in one text as
        in an attribute of a result. Among names, "all" stands for those of the study, and "-NAME"
        leaves one out.
    interaction : str or sequence of str, optional
        Covariates that interact with the marker. Metadata become covariates by that, unless
        `wanted` says what the covariates are.
    """
    found = ModelColumns()
    for number, name in enumerate(_as_names(wanted, "covariates")):
        coded = _columns_of(ds, name)
        if coded is not None:
            found.add(coded, None if name == _ALL else "covariates")
        elif name.startswith(_BUT):
            if not number:
                found.add(_study_covariates(ds))
            _leave_out(ds, name.removeprefix(_BUT), found)
        else:
            locate(_known(ds), [name], "no covariate {} in the study", _there_are(ds))
    for name in _as_names(interaction, "interaction"):
        coded = _columns_of(ds, name)
        if coded is not None and wanted is True:
            new = {one: own for one, own in coded.columns.items() if one not in found.columns}
            found.add(Coded(new, coded.note), "interaction")
        columns = [name] if coded is None else list(coded.columns)
        locate(
            found.columns,
            columns,
            "interaction names {}, not among the covariates of the scan",
            f"these are {listing(found.columns) or 'none'}: what interacts must also be additive",
        )
        found.interacting += [one for one in columns if one not in found.interacting]
    return found


def covariate_matrix(ds: xr.Dataset, found: ModelColumns) -> Array:
    """Matrix (samples, 1 + c) of the covariates, checked, with the intercept first."""
    for note in found.notes:
        say(f"covariate {note}; for another coding make it numbers")
    n, names = ds.sizes["samples"], list(found.columns)
    matrix = np.column_stack([np.ones(n), *found.columns.values()])
    samples = ds["sample_id"].values.tolist()
    refuse_infinite(matrix[:, 1:], "the table of covariates", samples, names)
    gaps = np.isnan(matrix)
    for name, lacking in zip(names, gaps[:, 1:].T, strict=True):
        if lacking.all():
            raise InputError(
                f"covariate {name!r} has no value in any sample of the study; "
                f"{found.leave_out(name)}"
            )
    lost = gaps.any(axis=1)
    if lost.any():
        who = listing(np.array(samples, dtype=object)[lost])
        say(f"{lost.sum()} of {n} samples lack a covariate and are left out of every trait: {who}")
    _require_rank(matrix[~lost], found)
    return matrix


def _require_rank(complete: Array, found: ModelColumns) -> None:
    """Raise InputError unless covariates (n, 1 + c) of complete samples are independent."""
    n, names = len(complete), list(found.columns)
    if not names:
        return
    if n < complete.shape[1] + 2:
        raise InputError(
            f"{len(names)} covariates and the intercept leave nothing to test in "
            f"{n} complete samples; use fewer covariates"
        )
    dependent = [names[column - 1] for column in independent_columns(complete)[1]]
    if not dependent:
        return
    constant = [name for name in dependent if name in _constant(complete, names)]
    why = f"{listing(dependent)} follow from the intercept and the covariates before them"
    if constant:
        why = (
            f"{listing(constant)} {'is' if len(constant) == 1 else 'are'} the same in all {n} "
            "samples that have every covariate"
        )
    raise InputError(f"covariates are collinear: {why}; {found.leave_out(dependent[0])}")


def _constant(complete: Array, names: Sequence[str]) -> list[str]:
    """Names of the covariates that the intercept alone explains."""
    columns = zip(names, complete[:, 1:].T, strict=True)
    return [
        name
        for name, column in columns
        if independent_columns(np.column_stack([complete[:, 0], column]))[1]
    ]


def _as_names(given: CovariatesLike, what: str) -> list[str]:
    """Names from what a user gave; True stands for all."""
    if given is None or isinstance(given, bool | np.bool_):
        return [_ALL] if given else []
    if not isinstance(given, Iterable):
        raise InputError(f"{what} is {given!r}; it should be names, or one name")
    return names_of(given)


def _columns_of(ds: xr.Dataset, name: str) -> Coded | None:
    """Columns that a name stands for; None if the study has none of that name."""
    own = _study_covariates(ds)
    chosen = {one: own.columns[one] for one in own.columns if name in (one, _factor(one))}
    if chosen:
        return Coded(chosen)
    return own if name == _ALL else coded_metadata(ds, name)


def _study_covariates(ds: xr.Dataset) -> Coded:
    absent = [name for name in ("covariate_id", "sample_covariate") if name not in ds]
    if len(absent) == 2:
        return Coded({})
    if absent:
        raise InputError(f"the study has covariates but lacks {absent[0]}; make it again")
    return Coded(dict(zip(_known(ds), ds["sample_covariate"].values.T, strict=True)))


def _leave_out(ds: xr.Dataset, name: str, found: ModelColumns) -> None:
    """Remove the columns of a name from those found."""
    coded = _columns_of(ds, name)
    columns = [name] if coded is None else list(coded.columns)
    locate(
        found.columns,
        columns,
        f"covariates leave out {{}} by {_BUT + name!r}, but it is not among them",
        f"these are {listing(found.columns) or 'none'}",
    )
    for one in columns:
        del found.columns[one]


def _known(ds: xr.Dataset) -> list[str]:
    return [str(name) for name in ds["covariate_id"].values] if "covariate_id" in ds else []


def _factor(column: str) -> str | None:
    """Name of the categories that an indicator column is one of; None for other columns."""
    parts = split_indicator(column)
    return None if parts is None else parts[0]


def _there_are(ds: xr.Dataset) -> str:
    """Covariates of the study and metadata of its samples, as the end of an error."""
    others = metadata_names(ds)
    return f"it has {listing(_known(ds)) or 'none'}" + (
        f", and of its samples it knows {listing(others)}" if others else ""
    )
