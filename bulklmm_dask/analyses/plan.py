"""The analysis `plan`: what a scan or permutations would take, without running them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy.typing as npt
import xarray as xr

from bulklmm_dask.analyses.inputs.kernels import KernelLike, are_several
from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.analyses.inputs.markers import ConditionLike
from bulklmm_dask.analyses.inputs.prior import PriorLike
from bulklmm_dask.analyses.inputs.vectors import VectorLike
from bulklmm_dask.analyses.inputs.x_covariates import XCovariatesLike
from bulklmm_dask.analyses.loads import permute_load, scan_load
from bulklmm_dask.analyses.options import (
    METHODS,
    PLAN,
    GenotypeVariable,
    Keep,
    Model,
    PlanMethod,
    Precision,
)
from bulklmm_dask.analyses.planned import Plan
from bulklmm_dask.analyses.planned_study import (
    PlannedStudy,
    planned_from_sizes,
    planned_from_study,
)
from bulklmm_dask.analyses.prepare import ModelInputs, strings
from bulklmm_dask.analyses.scan_options import PermuteOptions
from bulklmm_dask.engine.allotted import allotted_memory, allotted_threads
from bulklmm_dask.engine.calibration import Rates, calibrate
from bulklmm_dask.engine.forecast import Forecast, forecast
from bulklmm_dask.engine.room import (
    Room,
    bytes_of,
    fitting,
    kinships_in_words,
    threads_in_use,
)
from bulklmm_dask.engine.workload import SCHEDULING, Workload
from bulklmm_dask.errors import OptionError, StudyWarning
from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.study.checks import number, require_choice, whole_number
from bulklmm_dask.study.stored import compression_of
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, duration, storage
from bulklmm_dask.typing import By, CompressionName

# Bytes of a hit in a table, and of the highest LOD of a trait, compressed.
_HIT, _MAXIMUM = 40, 40
_PERMUTE = "per-trait"


def plan(
    ds: xr.Dataset | None = None,
    method: PlanMethod = "null-exact",
    *,
    n_samples: int | None = None,
    n_variants: int | None = None,
    n_traits: int | None = None,
    n_contigs: int | None = None,
    n_covariates: int = 0,
    n_genotypes: int | None = None,
    n_patterns: int | None = None,
    kinship: KinshipLike | Mapping[str, KernelLike] = "kinship",
    loco: bool = False,
    covariates: bool | Sequence[str] | None = True,
    x_covariates: XCovariatesLike = None,
    interaction: str | Sequence[str] | None = None,
    condition: ConditionLike = None,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    reml: bool = False,
    prior: PriorLike = None,
    h2_grid: npt.ArrayLike | None = None,
    refine_above: float | None = None,
    statistics: str | Sequence[str] = ("lod",),
    genotypes: GenotypeVariable | None = None,
    model: Model = "full",
    precision: Precision | None = None,
    chunks: str | Mapping[str, int] = "auto",
    compression: CompressionName | None = None,
    digits: int | None = None,
    n_permutations: int = 1000,
    by: By | None = None,
    keep: Keep = "lods",
    threshold: float | None = None,
    workers: int = 1,
    threads: int | None = None,
    memory: str | int | None = None,
) -> Plan:
    r"""Say what a scan or permutations would take: blocks, bytes, operations, memory and time.

    The blocks are those of the run: the same code cuts both. Memory is arithmetic from the sizes,
    within a factor of 1.2 of what a worker was measured to take where samples and markers are
    distinct; copies take less. Time follows from a small block of the same model, which this
    machine computes in about a second::

        seconds = bases + max((fits + blocks) / threads, 1.5 ms x blocks)

    with one thread each for a basis, about 9 n^3 operations (22 n^3 for ``"alt-exact"`` of distinct
    samples). Samples and markers that are known to be copies are computed once. The last term is
    the scheduler, which hands out one block after the other.

    Parameters
    ----------
    ds : Dataset, optional
        The study. Of lazy genotypes and traits nothing is read; the bytes on disk are those of its
        own files, if it was opened from a store. Without it, give the sizes.
    method : {"null-exact", "null-grid", "alt-exact", "alt-grid", "per-trait"}
        Method of `scan`, or ``"per-trait"`` for `permute`.
    n_samples, n_variants, n_traits : int, optional
        Sizes of a study that does not exist yet.
    n_contigs : int, optional
        Its chromosomes, of which `loco` leaves one out for each kinship.
    n_covariates : int
        Its covariates, without the intercept.
    n_genotypes : int, optional
        Its genotypes, if their probabilities are tested.
    n_patterns : int, optional
        Number of patterns of missing trait values: each has an eigenbasis of its own in every chunk
        of traits. By default they are counted where traits are in memory, and taken as one
        otherwise.
    kinship, loco, covariates, x_covariates, interaction, condition, weights, replicates : optional
        Parts of the model, as in `scan`. A kinship that the study does not have yet is planned as
        if it had it. Kernels by name are not computed; without a study only their number counts.
    reml, prior, h2_grid, refine_above, statistics, genotypes, model : optional
        How it is estimated and what is tested, as in `scan`.
    chunks, compression, digits : optional
        Size of a block and how it is stored, as in `scan` or `permute`.
    precision : {"double", "single"}, optional
        By default that of `scan`, double, or of `permute`, single.
    n_permutations : int
        Number of permutations, for ``"per-trait"``.
    by : {"contig"}, optional
        As in `permute`.
    keep : {"lods", "hits", "maxima"}
        What is kept of a scan: all LODs, in a store; pairs above `threshold`; the highest LOD of
        each trait. The memory is that of a run into a store.
    threshold : float, optional
        LOD of a hit. As many are planned as chance alone gives.
    workers : int
        Number of worker processes, or 1 for the threads of one process.
    threads : int, optional
        Threads of each; by default the cores of this machine, shared.
    memory : str or int, optional
        Memory limit of each worker, such as ``"16GB"``. Blocks become smaller until they fit.

    Returns
    -------
    Plan
        It prints as a table; ``chunks`` is for the run, ``to_dict()`` for programs.

    Raises
    ------
    InputError
        If the study or an option cannot be used, if there is neither a study nor its sizes, or if
        `memory` is too little for the smallest block: the error says how much is needed.

    Warns
    -----
    StudyWarning
        If the eigenbases do not fit into the memory of this machine and no `memory` is given, or
        the scheduler is slower than the workers.

    Examples
    --------
    >>> planned = blmm.plan(ds, workers=2, threads=1)
    >>> planned.chunks, planned.n_blocks
    ({'variants': 60, 'traits': 12}, 1)
    >>> result = blmm.scan(ds, chunks=planned.chunks)

    A study that does not exist yet, with too little memory:

    >>> sizes = {"n_samples": 1000, "n_variants": 500_000, "n_traits": 20_000}
    >>> try:
    ...     blmm.plan(**sizes, threads=1, memory="250MB")
    ... except blmm.InputError as error:
    ...     print(str(error)[:71])
    a worker has 250 MB for 1 thread, of which dask lets it use 175 MB, but
    >>> blmm.plan(**sizes, threads=1, memory="500MB").chunks["variants"] < 2048
    True
    """
    require_choice(method, "method", (*METHODS, _PERMUTE))
    require_choice(keep, "keep", ("lods", "hits", "maxima"))
    if (threshold is not None) != (keep == "hits"):
        none = "" if threshold is None else f", but {option('keep', keep)} keeps none"
        raise OptionError(
            f"{option('threshold', threshold)} is the LOD of hits{none}: give it with "
            f"{option('keep', 'hits')}, and only then"
        )
    if threshold is not None:
        threshold = number(threshold, option("threshold"), 0.0)
    limit = None if memory is None else bytes_of(memory)
    number_of = whole_number(workers, option("workers"), 1)
    each = (
        max(1, allotted_threads().amount // number_of)
        if threads is None
        else whole_number(threads, option("threads"), 1)
    )
    room = Room(number_of, each, limit)
    sizes = {"n_samples": n_samples, "n_variants": n_variants, "n_traits": n_traits}
    kernels = kinship if are_several(kinship) else None
    inputs = ModelInputs(
        kinship=None if kernels is not None else cast(KinshipLike, kinship),
        kernels=kernels,
        loco=loco,
        covariates=covariates,
        interaction=interaction,
        condition=condition,
        weights=weights,
        replicates=replicates,
        prior=prior,
        genotypes=genotypes,
        model=model,
        x_covariates=x_covariates,
    )
    permuted = method == _PERMUTE
    if permuted:
        wanted = strings(statistics, option("statistics"))
        of_scans: dict[str, Any] = {
            "condition": condition,
            "prior": prior,
            "h2_grid": h2_grid,
            "refine_above": refine_above,
            "statistics": None if set(wanted) == {"lod"} else wanted,
            "keep": None if keep == "lods" else keep,
        }
        _refuse(of_scans, method, "a scan")
    else:
        _refuse({"by": by}, method, option("method", _PERMUTE))
    kept = compression_of(compression, digits)
    how = {
        "method": "null-exact" if permuted else method,
        "reml": reml,
        "h2_grid": h2_grid,
        "refine_above": refine_above,
        "statistics": statistics,
        "precision": precision or ("single" if permuted else "double"),
        "digits": kept.digits,
    }
    if ds is None:
        beyond = {"n_contigs": n_contigs, "n_genotypes": n_genotypes}
        study = planned_from_sizes(sizes, beyond, n_covariates, inputs, how)
    else:
        others = {"n_contigs": n_contigs, "n_genotypes": n_genotypes}
        others["n_covariates"] = n_covariates or None
        given = [name for name, size in (sizes | others).items() if size is not None]
        if given:
            raise OptionError(
                f"{option(given[0], (sizes | others)[given[0]])} is given beside a study, which "
                "has its own; leave one out"
            )
        study = planned_from_study(ds, inputs, how)
    if n_patterns is not None:
        counted_by = whole_number(n_patterns, option("n_patterns"), 1)
        study = replace(study, shapes=replace(study.shapes, patterns=counted_by))
    make: Callable[[str | Mapping[str, int]], Workload]
    if permuted:
        permutes = PermuteOptions(_PERMUTE, n_permutations, 0, by, study.options)
        pools = 1 if by is None else max(study.contigs, 1)
        make = partial(permute_load, study.shapes, permutes, pools)
    else:
        make = partial(scan_load, study.shapes, study.options)
    load = fitting(make, chunks, room)
    different = study.copies.samples
    rates = calibrate(load.plan.footprint, kept, permuted=permuted, different=different)
    found = forecast(load, rates, room, study.copies, stored=keep == "lods")
    notes = _notes(load, found, room)
    for note in notes:
        say(note)
    return Plan(
        method=method,
        n_samples=study.shapes.n_samples,
        n_variants=study.shapes.n_variants,
        n_traits=study.shapes.n_traits,
        n_permutations=n_permutations if permuted else 0,
        chunks={
            **({"permutations": load.size} if permuted else {"variants": load.plan.variants}),
            "traits": load.plan.traits,
        },
        n_blocks=load.n_blocks,
        n_tasks=load.tasks,
        n_bases=load.n_bases,
        read_bytes=_read(study, load, rates, keep),
        written_bytes=_written(load, rates, keep, threshold),
        flops=found.flops,
        memory=vars(room.memory(load)),
        memory_limit=limit,
        workers=room.workers,
        threads=room.threads,
        seconds=found.seconds,
        total_seconds=found.total,
        notes=(*_way(load), *study.assumed(), *notes),
    )


def foretold(ds: xr.Dataset, method: str, arguments: Mapping[str, Any]) -> str | None:
    """Which way several kernels are taken, and about how long it takes; None where there are none.

    Parameters
    ----------
    ds : Dataset
        The study.
    method : str
        Of the scan, or of permutations; others than "null-exact" and "per-trait" have one kinship.
    arguments : mapping
        Of `scan` or `permute`; those that `plan` does not have do not count.
    """
    if not are_several(arguments["kinship"]) or method not in ("null-exact", _PERMUTE):
        return None
    of_plan = {row.name for row in PLAN} - {"method"}
    given = {name: value for name, value in arguments.items() if name in of_plan}
    workers, threads = threads_in_use()
    with warnings.catch_warnings():  # the run warns of the study
        warnings.simplefilter("ignore", StudyWarning)
        planned = plan(ds, cast(PlanMethod, method), **given, workers=workers, threads=threads)
    taken = duration(max(planned.total_seconds, 1.0))
    return f"{planned.notes[0].partition(':')[0]}: about {taken}"


def _way(load: Workload) -> list[str]:
    """Whether traits with several kernels are taken in bulk or one by one; empty for a kinship."""
    foot = load.plan.footprint
    if not foot.model.components:
        return []
    kernels = counted(foot.model.components - 1, "kernel")
    if load.size:
        return [f"{kernels}, permuted with all components: shares are estimated again each time"]
    if foot.together:
        return [
            f"{kernels}, traits in bulk: the time is that where most likelihoods have one clear "
            "maximum; other traits are fitted or scanned one by one, and take several times as long"
        ]
    return [f"{kernels}, one trait after the other"]


def _refuse(given: Mapping[str, Any], method: str, of: str) -> None:
    """Raise InputError for options that are given, and that a method does not have."""
    for name, value in given.items():
        if value is not None:
            shown = value if isinstance(value, str | float | int) else None
            raise OptionError(
                f"{option(name, shown)} is an option of {of}, and {option('method', method)} has "
                "none; leave it out"
            )


def _read(study: PlannedStudy, load: Workload, rates: Rates, keep: Keep) -> int:
    """Bytes that a run reads from the files of a study."""
    plan, shapes = load.plan, study.shapes
    stored = keep == "lods"
    # A run into a store also counts alleles, and takes checksums of all that it reads.
    passes = (1 if load.size or shapes.genotypes else 2) if stored else 0
    whole = {
        "genotypes": float(shapes.n_samples) * shapes.n_variants * shapes.genotype_bytes,
        "traits": 8.0 * shapes.n_samples * shapes.n_traits,
    }
    shares = {"genotypes": rates.stored_genotypes, "traits": 1.0}
    sizes = {
        name: whole[name] * shares[name] if size is None else size
        for name, size in study.on_disk.items()
    }
    # A block of a result that is not stored reads its own genotypes.
    genotypes = passes + (load.marker_reads / plan.shape[0] if stored else plan.shape[1])
    traits = (2 if stored else 0) + load.trait_reads / plan.shape[1]
    return int(genotypes * sizes["genotypes"] + traits * sizes["traits"])


def _written(load: Workload, rates: Rates, keep: Keep, threshold: float | None) -> int:
    """Bytes of the result."""
    plan, of_traits = load.plan, 32 * load.plan.n_traits * max(load.relations, 1)
    if load.size:
        maxima = 4.0 * load.permutations * plan.n_traits * load.pools
        return int(maxima * rates.stored) + of_traits
    if keep == "maxima":
        return _MAXIMUM * plan.n_traits
    if threshold is not None:
        by_chance = 10.0 ** -float(neg_log10_p(threshold, plan.footprint.model.columns))
        return int(_HIT * plan.tests * by_chance)
    return int(plan.tests * plan.pair_bytes * rates.stored) + of_traits


def _notes(load: Workload, found: Forecast, room: Room) -> list[str]:
    """What should be changed."""
    out = []
    basis, here = room.memory(load).basis, allotted_memory().amount
    if room.limit is None and basis > here:
        out.append(
            f"{kinships_in_words(load.relations)} need {storage(basis)}, but this machine has "
            f"{storage(here)}: they do not fit; use a machine with more, or say with "
            f"{option('memory')} what the workers have"
        )
    if found.scheduler_is_the_limit:
        waiting = found.seconds["scheduler"] / (found.seconds["fits"] + found.seconds["blocks"])
        out.append(
            f"{counted(room.workers * room.threads, 'thread')} would finish {waiting:.1f} times as "
            f"many blocks as the scheduler hands out, about {1 / SCHEDULING:.0f} a second; use "
            f"fewer workers, or larger {option('chunks')}"
        )
    return out
