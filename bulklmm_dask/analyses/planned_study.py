"""The study of a plan: its sizes and its model, whether it exists yet or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import xarray as xr

from bulklmm_dask.analyses.inputs.genotypes import genotype_variable, strains_of
from bulklmm_dask.analyses.inputs.kernels import require_known
from bulklmm_dask.analyses.inputs.vectors import with_value
from bulklmm_dask.analyses.loads import Shapes
from bulklmm_dask.analyses.prepare import ModelInputs, prepare, strings
from bulklmm_dask.analyses.scan_options import ScanOptions
from bulklmm_dask.analyses.tested import study_to_test
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.copies import Copies
from bulklmm_dask.errors import OptionError
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.stamp import OF
from bulklmm_dask.study.checks import whole_number
from bulklmm_dask.study.origin import origin
from bulklmm_dask.surface import option


@dataclass(frozen=True)
class PlannedStudy:
    """A study that is planned, which may not exist yet.

    Attributes
    ----------
    shapes : Shapes
        Its sizes.
    options : ScanOptions
        How it is scanned.
    contigs : int
        Number of its contigs, 0 if it has no map.
    kinship_to_come : bool
        Whether the kinship is still to be made.
    on_disk : dict
        Bytes on disk of its genotypes and its traits: None where they are not known, 0 for those
        in memory.
    copies : Copies
        Samples and markers that are copies of others, as far as they are known.
    """

    shapes: Shapes
    options: ScanOptions
    contigs: int
    kinship_to_come: bool
    on_disk: dict[str, int | None]
    copies: Copies = field(default_factory=Copies)

    def assumed(self) -> list[str]:
        """What is taken for granted."""
        out = []
        if self.kinship_to_come:
            out.append("the study has no kinship yet; it is planned as if it had")
        if self.shapes.patterns is None:
            out.append(
                "all traits are taken as measured on the same samples; give "
                f"{option('n_patterns')} where values are missing"
            )
        return out


def planned_from_study(ds: xr.Dataset, inputs: ModelInputs, how: dict[str, Any]) -> PlannedStudy:
    """Sizes and model of a study; lazy arrays are not read.

    Parameters
    ----------
    ds : Dataset
        The study.
    inputs : ModelInputs
        Parts of the model. A kinship that the study lacks is one to come.
    how : dict
        Further arguments of `ScanOptions.of`.
    """
    ds = study_to_test(
        ds, inputs.genotypes, inputs.model, method=how["method"], condition=inputs.condition
    )
    options = ScanOptions.of(ds, inputs, **how)
    options.require_fit(inputs)
    made = {LOCO, "kinship"} if inputs.loco else {"kinship"}  # by `kinship`, if it is called
    several = [inputs.kinship] if inputs.kernels is None else inputs.kernels.values()
    named = any(isinstance(one, str) and one == "kinship" for one in several)
    to_come = named and not made & set(ds.variables)
    known = inputs
    if to_come or inputs.kernels is not None:
        known = replace(inputs, kinship=None, kernels=None, loco=False)
    study = prepare(ds, known)
    shapes = Shapes.of(study)
    contigs = ds.sizes.get("contigs", 0)
    if inputs.kernels is not None:
        require_known(ds, inputs.kernels)
        models = _relations(contigs, loco=True) if inputs.loco else len(set(study.measured.alike))
        shapes = replace(shapes, relations=models)
    elif to_come:
        shapes = replace(shapes, relations=_relations(contigs, loco=inputs.loco))
    calls = str(genotype_variable(ds, inputs.genotypes).name)
    on_disk = {
        what: _on_disk(ds, name)
        for what, name in (("genotypes", calls), ("traits", "sample_trait"))
    }
    related = study.measured.kinship
    single = inputs.kernels is None and (to_come or related is not None)
    strains = strains_of(ds) if single else None
    copies = Copies.of(study.genotypes.values, related, strains)
    return PlannedStudy(shapes, options, contigs, to_come, on_disk, copies)


def _relations(contigs: int, *, loco: bool) -> int:
    if loco and not contigs:
        raise OptionError(
            f"{option('loco', True)} needs the number of chromosomes; give "
            f"{option('n_contigs')}, or a study with a marker map"
        )
    return contigs if loco else 1


def _on_disk(ds: xr.Dataset, name: str) -> int | None:
    """Bytes on disk of a variable; 0 in memory, None where its files are not known."""
    if not is_lazy(ds[name].data):
        return 0
    path = origin(ds).get(OF)
    size = (Location.of(path).opened() / name).size() if path else 0
    return size or None


def planned_from_sizes(
    sizes: Mapping[str, int | None],
    beyond: Mapping[str, int | None],
    n_covariates: int,
    inputs: ModelInputs,
    how: dict[str, Any],
) -> PlannedStudy:
    """Sizes and model of a study to come.

    Parameters
    ----------
    sizes : mapping
        ``n_samples``, ``n_variants`` and ``n_traits``, in this order; None where not given.
    beyond : mapping
        ``n_contigs`` and ``n_genotypes``, in this order; None where not given.
    n_covariates : int
        Covariates without the intercept.
    inputs : ModelInputs
        Parts of the model; those that name a part of a study are refused.
    how : dict
        Further arguments of `ScanOptions.made`.
    """
    missing = [option(name) for name, size in sizes.items() if size is None]
    if missing:
        raise OptionError(
            f"there is neither a study nor its sizes; give one, or {', '.join(missing)}"
        )
    named = {
        name: getattr(inputs, name) for name in ("condition", "weights", "replicates", "prior")
    }
    named |= {"genotypes": inputs.genotypes}
    matrices = [one for one in (inputs.kernels or {}).values() if not isinstance(one, str)]
    named |= {"kinship": matrices[0] if matrices else inputs.kinship}
    named |= {"x_covariates": None if inputs.x_covariates is False else inputs.x_covariates}
    for name, value in named.items():
        if value is not None and not (name == "kinship" and isinstance(value, str)):
            raise OptionError(
                f"{with_value(name, value)} names a part of a study, but only sizes are given; "
                "give the study, or leave it out"
            )
    if not isinstance(inputs.covariates, bool) and inputs.covariates is not None:
        raise OptionError(
            f"{option('covariates')} names those of a study, but only sizes are given; give their "
            f"number, {option('n_covariates')}"
        )
    n, p, t = (whole_number(size, option(name), 1) for name, size in sizes.items())
    contigs, genotypes = (
        None if size is None else whole_number(size, option(name), least)
        for (name, size), least in zip(beyond.items(), (1, 2), strict=True)
    )
    interacting = strings(inputs.interaction, option("interaction"))
    covariates = whole_number(n_covariates, option("n_covariates"), 0) if inputs.covariates else 0
    components = 0 if inputs.kernels is None else len(inputs.kernels) + 1
    options = ScanOptions.made(
        genotypes=genotypes, interaction=interacting, components=components, **how
    )
    options.require_fit(inputs)
    none = inputs.kinship is None and inputs.kernels is None
    relations = 0 if none else _relations(contigs or 0, loco=inputs.loco)
    shapes = Shapes(
        n,
        p,
        t,
        n_covariates=1 + max(covariates, len(interacting)),
        relations=relations,
        genotype_bytes=8 * (genotypes or 1),
        genotypes=genotypes,
    )
    return PlannedStudy(shapes, options, contigs or 0, False, {"genotypes": None, "traits": None})
