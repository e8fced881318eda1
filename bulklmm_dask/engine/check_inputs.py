"""Check and fingerprint all inputs, in one pass, before a run into a store."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from dask.base import compute
from dask.delayed import delayed

from bulklmm_dask.engine.arrays import as_dask, is_lazy
from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.engine.study import Study
from bulklmm_dask.engine.tasks import MarkerChunk, TraitChunk, marker_chunks, trait_chunks
from bulklmm_dask.lmm.joint.absent import LEAST, absent_genotypes
from bulklmm_dask.storage.proof.fingerprint import fingerprint, row_digests
from bulklmm_dask.study.warn import say, say_once
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Flags, Names, Real

Digests = npt.NDArray[np.uint64]


def check_inputs(study: Study, plan: Plan, options: object) -> dict[str, str]:
    """Check genotypes and traits of a study, and fingerprint everything that results depend on.

    Parameters
    ----------
    study : Study
        Study with its kinship in memory.
    plan : Plan
        Chunks in which genotypes and traits are read.
    options : object
        Options of the analysis; fingerprinted by their repr.

    Returns
    -------
    dict
        Fingerprint of each input, under the name that error messages use.

    Raises
    ------
    InputError
        If a genotype is outside its range or a trait value is infinite.
    """
    measured, markers = study.measured, study.genotypes
    chunks = marker_chunks(markers, measured.sample_names, plan.variant_chunks)
    values = as_dask(markers.values, (plan.variant_chunks, *markers.values.shape[1:]))
    of_variants = [
        delayed(_check_genotypes)(block, chunk)
        for block, chunk in zip(values.to_delayed().ravel(), chunks, strict=True)
    ]
    of_traits = [
        delayed(_check_traits)(block, chunk)
        for block, chunk in trait_chunks(measured, plan.trait_chunks)
    ]
    found, digests = compute(of_variants, of_traits)
    variant_digests, absent = (np.concatenate(part) for part in zip(*found, strict=True))
    trait_digests = np.concatenate(digests)
    if is_lazy(markers.values):  # those in memory were looked at before
        say_absent(markers.names[absent])
    return {
        "genotypes": fingerprint(
            [variant_digests, markers.names, markers.maximum, markers.relation]
        ),
        "traits": fingerprint([trait_digests, measured.trait_names]),
        "samples": fingerprint([measured.sample_names]),
        "kinship": fingerprint([measured.kinship]),
        "covariates": fingerprint([measured.covariates, measured.interacting]),
        "weights": fingerprint([measured.weights]),
        "prior": fingerprint(_parts(measured.prior)),
        "conditions": fingerprint(_parts(measured.own_markers)),
        "options": fingerprint([options]),
    }


def say_absent(names: Names) -> None:
    """Warn of markers (names) with a genotype that nearly no sample has."""
    if len(names):
        say(
            f"{counted(len(names), 'marker')} ({listing(names)}) with a genotype that no sample "
            f"has with a probability of {LEAST} or more: it is taken as absent there, the others "
            "are scaled up, and df is one less; clean the probabilities beforehand to treat it "
            "otherwise"
        )


def say_absent_uncounted() -> None:
    """Warn once that nobody has counted the markers of `say_absent`."""
    say_once(
        "absent",
        "the genotype probabilities are read as they are used, and at how many markers some "
        f"genotype has no probability of {LEAST} or more is not known: such a genotype is taken as "
        "absent, and df is one less; a scan into a store counts them",
    )


def _parts(item: object) -> list[object]:
    """Values of the fields of a dataclass object, to be fingerprinted; [None] for None."""
    return [None] if item is None else list(vars(item).values())


def _check_genotypes(genotypes: Real, chunk: MarkerChunk) -> tuple[Digests, Flags]:
    """Digests of the markers (variants,), and which have a genotype that counts as absent."""
    with chunk.guarded(genotypes):
        absent: Flags = np.zeros((len(genotypes), 1), np.bool_)
        if genotypes.ndim == 3:
            absent = absent_genotypes(genotypes)
        return row_digests(genotypes.reshape(len(genotypes), -1)), np.asarray(absent.any(axis=1))


def _check_traits(traits: Real, chunk: TraitChunk) -> Digests:
    with chunk.guarded(traits) as values:
        return row_digests(values.T)
