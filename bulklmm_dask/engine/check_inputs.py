"""One pass over the inputs before a long run: every value checked, every table fingerprinted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dask.base import compute
from dask.delayed import delayed

from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.engine.scan import Study, as_dask
from bulklmm_dask.storage.fingerprint import fingerprint, row_digests
from bulklmm_dask.study.checks import refuse_infinite, refuse_outside

Digests = npt.NDArray[np.uint64]


def survey(study: Study, plan: Plan, options: object) -> dict[str, str]:
    """Check the genotypes and traits of a study and fingerprint all that decides the scores.

    Parameters
    ----------
    study : Study
        With its kinship in memory.
    plan : Plan
        Whose chunks are read.
    options : object
        Anything whose repr tells scans apart.

    Returns
    -------
    dict
        Fingerprint of each input, under a name fit for a message.

    Raises
    ------
    InputError
        If a genotype lies outside its range or a trait is infinite.
    """
    genotypes = as_dask(study.genotypes, (plan.variant_chunks, *study.genotypes.shape[1:]))
    traits = as_dask(study.traits, (plan.n_samples, plan.trait_chunks))
    samples = study.sample_names
    of_variants = [
        delayed(_survey_genotypes)(block, study.maximum, names, samples)
        for block, names in zip(
            genotypes.to_delayed().ravel(),
            _split(study.variant_names, plan.variant_chunks),
            strict=True,
        )
    ]
    of_traits = [
        delayed(_survey_traits)(block, names, samples)
        for block, names in zip(
            traits.to_delayed().ravel(), _split(study.trait_names, traits.chunks[1]), strict=True
        )
    ]
    variant_digests, trait_digests = map(np.concatenate, compute(of_variants, of_traits))
    return {
        "genotypes": fingerprint(
            [variant_digests, study.variant_names, study.maximum, study.contig]
        ),
        "traits": fingerprint([trait_digests, study.trait_names]),
        "samples": fingerprint([samples]),
        "kinship": fingerprint([study.kinship]),
        "covariates": fingerprint([study.covariates, study.interacting]),
        "weights": fingerprint([study.weights]),
        "prior": fingerprint(_parts(study.prior)),
        "conditions": fingerprint(_parts(study.conditions)),
        "options": fingerprint([options]),
    }


def _split(names: npt.NDArray[np.object_], chunks: tuple[int, ...]) -> list[Any]:
    return np.split(names, np.cumsum(chunks)[:-1])


def _parts(item: object) -> list[object]:
    """Fields of a frozen object; an absent one counts as itself."""
    return [None] if item is None else list(vars(item).values())


def _survey_genotypes(
    genotypes: npt.NDArray[np.floating], maximum: float, variants: Any, samples: Any
) -> Digests:
    refuse_outside(genotypes, maximum, list(variants), list(samples))
    return row_digests(genotypes.reshape(len(genotypes), -1))


def _survey_traits(traits: npt.NDArray[np.floating], names: Any, samples: Any) -> Digests:
    refuse_infinite(traits, "sample_trait", list(samples), list(names))
    return row_digests(traits.T)
