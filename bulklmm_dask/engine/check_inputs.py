"""Check and fingerprint all inputs, before a run into a store.

Genotypes and traits are read for it in one pass, unless they are those of a study that was opened:
it has kept the digests of their values, which were checked when it was saved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from bulklmm_dask.engine.arrays import is_lazy, only, per_block
from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.engine.study import Study
from bulklmm_dask.engine.tasks import MarkerChunk, Markers, TraitChunk, Traits, sample_names
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.lmm.joint.absent import LEAST, absent_genotypes
from bulklmm_dask.storage.proof.fingerprint import fingerprint, of_rows, row_digests
from bulklmm_dask.storage.proof.lazy import kept_digest
from bulklmm_dask.study.warn import say, say_once
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Names

Digests = npt.NDArray[np.uint64]

# What is found out about each marker.
_OF_MARKER = np.dtype([("digest", np.uint64), ("absent", np.bool_)])


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
    names = sample_names(measured)
    cut = Markers.of(markers, plan.variant_chunks)
    traits = Traits.of(measured, plan.trait_chunks)
    of_variants = per_block(
        _check_genotypes,
        "v",
        cut.values,
        "vsg"[: cut.values.ndim],
        cut.chunks,
        "v",
        names,
        "",
        name=f"check-genotypes-{tokenize(cut.values.name, cut.chunks.name, names.name)}",
    )
    of_traits = per_block(
        _check_traits,
        "t",
        traits.values,
        "st",
        traits.chunks,
        "t",
        names,
        "",
        name=f"check-traits-{tokenize(traits.values.name, traits.chunks.name, names.name)}",
    )
    kept = {"genotypes": kept_digest(markers.values), "traits": kept_digest(measured.traits)}
    if markers.values.ndim == 3:  # genotypes that count as absent are looked for
        kept["genotypes"] = None
    wanted = {"genotypes": of_variants, "traits": of_traits}
    unknown = [name for name in wanted if kept[name] is None]
    found = dict(zip(unknown, computed(*map(wanted.__getitem__, unknown)), strict=True))
    if "genotypes" in found and is_lazy(markers.values):  # those in memory were looked at before
        say_absent(markers.names[found["genotypes"]["absent"]])
    values = kept | {
        name: of_rows(one["digest"] if name == "genotypes" else one) for name, one in found.items()
    }
    return {
        "genotypes": fingerprint(
            [values["genotypes"], markers.names, markers.maximum, markers.relation]
        ),
        "traits": fingerprint([values["traits"], measured.trait_names]),
        "samples": fingerprint([measured.sample_names]),
        "kinship": fingerprint(
            [measured.kinship]
            if measured.kernels is None
            else [*measured.kernels, list(measured.components)]
        ),
        "covariates": fingerprint(
            [measured.covariates, measured.interacting]
            + ([] if measured.of_x is None else _parts(measured.of_x))
        ),
        "weights": fingerprint([measured.weights]),
        "prior": fingerprint(_parts(measured.prior)),
        "conditions": fingerprint(_parts(measured.own_markers)),
        "options": fingerprint([options]),
    }


def say_absent(names: Names) -> None:
    """Warn of markers (names) with a genotype that counts as absent."""
    if len(names):
        say(
            f"{counted(len(names), 'marker')} ({listing(names)}) with a genotype that fewer than "
            f"{LEAST} samples have, by the sum of their probabilities: it is taken as absent "
            "there, the others are scaled up, and df is one less; clean the probabilities "
            "beforehand to treat it otherwise"
        )


def say_absent_uncounted() -> None:
    """Warn once that nobody has counted the markers of `say_absent`."""
    say_once(
        "absent",
        "the genotype probabilities are read as they are used, and at how many markers some "
        f"genotype is that of fewer than {LEAST} samples, by the sum of their probabilities, is "
        "not known: such a genotype is taken as absent, and df is one less; a scan into a store "
        "counts them",
    )


def _parts(item: object) -> list[object]:
    """Values of the fields of a dataclass object, to be fingerprinted; [None] for None."""
    return [None] if item is None else list(vars(item).values())


def _check_genotypes(genotypes: Any, chunk: MarkerChunk, names: Names) -> npt.NDArray[np.void]:
    """Digests of the markers (variants,), and which have a genotype that counts as absent."""
    genotypes = only(genotypes)
    found = np.zeros(len(genotypes), _OF_MARKER)
    with chunk.guarded(genotypes, names):
        if genotypes.ndim == 3:
            found["absent"] = absent_genotypes(genotypes).any(axis=1)
        found["digest"] = row_digests(genotypes.reshape(len(genotypes), -1))
    return found


def _check_traits(traits: Any, chunk: TraitChunk, names: Names) -> Digests:
    with chunk.guarded(only(traits), names) as values:
        return row_digests(values.T)
