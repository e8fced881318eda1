"""A simulated study, of which everything is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.errors import OptionError
from bulklmm_dask.simulate.genotypes import CROSSES, LENGTHS, Copies, Cross, Map
from bulklmm_dask.simulate.traits import Truth, draw_traits, hide
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import require_choice
from bulklmm_dask.study.create import create_dataset
from bulklmm_dask.study.ranges import lazy
from bulklmm_dask.surface import option
from bulklmm_dask.typing import Names

# Bytes of dosages in double precision; larger ones are drawn again whenever they are read.
_IN_MEMORY = 2**28


def simulate_study(
    *,
    n_samples: int = 248,
    n_strains: int | None = 50,
    n_variants: int = 7321,
    n_traits: int = 5000,
    n_contigs: int = 20,
    n_covariates: int = 0,
    cross: str = "ril",
    heritability: tuple[float, float] = (0.0, 0.8),
    qtl_share: tuple[float, float] = (0.2, 0.8),
    missing: float = 0.0,
    n_patterns: int = 10,
    seed: int = 0,
) -> xr.Dataset:
    """Simulate a study whose loci and heritabilities are known.

    Trait j of sample i, with dosages x in 0..1 and p markers, is::

        y = sqrt(2 h q) s (x_locus - 1/2) + sqrt(h (1-q)) sum_k sqrt(2/p) z_k (x_k - 1/2) + e

    with a random sign s, many small marker effects z of variance 1 and noise e. Over random loci
    its covariance is h K + (1 - h) I, where K is the kinship of method "bulklmm", so that the h2 of
    a null scan estimates h. (Heterozygous markers lower the variance of the sum; an independent
    genetic term for each distinct genotype restores it.) Of the loci, 60% are the marker nearest
    to the position of the trait itself (cis), 20% are one of four hotspots, and 20% are anywhere.

    Parameters
    ----------
    n_samples, n_variants, n_traits : int
        Size of the study.
    n_strains : int or None
        Number of distinct genotypes, to which the samples are assigned evenly (several samples of
        an inbred strain, or repeated measurements of an animal); None makes all samples distinct.
    n_contigs : int
        Number of chromosomes, up to 20; each has markers in proportion to its length.
    n_covariates : int
        Number of normal covariates, with normal effects (standard deviation 0.5) on every trait.
    cross : {"ril", "f2", "backcross"}
        Recombinant inbred lines by repeated sib mating (dosages 0, 1; recombination fraction
        4r / (1 + 6r), Haldane and Waddington 1931), an intercross (0, 0.5, 1) or a backcross
        (0, 0.5).
    heritability : (float, float)
        Lowest and highest h; that of each trait is drawn uniformly.
    qtl_share : (float, float)
        Lowest and highest q, the share of h that is due to the locus.
    missing : float
        Share of the trait values that are missing.
    n_patterns : int
        Number of distinct patterns of missing values; every trait has one of them.
    seed : int
        At least 0; the same seed gives the same study.

    Returns
    -------
    Dataset
        A study with these additional variables (traits): ``trait_contig`` (index into
        ``contig_id``) and ``trait_position`` (Mb), the position of the trait itself; and the truth:
        ``trait_true_variant`` (name of the causal marker), ``trait_true_h2`` (h) and
        ``trait_true_qtl_variance`` (share of the observed variance that is due to the locus).
        Dosages of more than 256 MiB are lazy: `save` streams them into a store.

    Raises
    ------
    InputError
        If a number is out of range or the cross is unknown.

    Examples
    --------
    An intercross of 100 mice, of which the loci are known:

    >>> study = blmm.simulate_study(
    ...     n_samples=100, n_strains=None, n_variants=200, n_traits=50, n_contigs=5, cross="f2"
    ... )
    >>> study.call_dosage.dims, study.call_dosage.shape
    (('variants', 'samples'), (200, 100))
    >>> study.trait_true_variant.values[:2].tolist()
    ['5:44096210', '1:163737465']
    """
    _check_sizes(n_samples, n_strains, n_variants, n_traits, n_contigs, n_covariates, seed)
    _check_model(cross, heritability, qtl_share, missing, n_patterns)
    *seeds, trait_seed = np.random.SeedSequence(seed).spawn(6)
    map_rng, cross_rng, truth_rng, covariate_rng, missing_rng = map(np.random.default_rng, seeds)

    markers = Map.draw(map_rng, n_variants, n_contigs)
    n_distinct = n_samples if n_strains is None else n_strains
    distinct = Cross.draw(cross, cross_rng, n_distinct, markers.recombination)
    strain = np.arange(n_samples) * n_distinct // n_samples
    truth = Truth.draw(truth_rng, markers, n_traits, heritability, qtl_share)
    covariates = covariate_rng.standard_normal((n_samples, n_covariates))
    traits, qtl_variance = draw_traits(trait_seed, distinct, strain, covariates, truth)
    if missing > 0:
        traits = hide(missing_rng, traits, missing, n_patterns)

    variant_ids = text(
        f"{markers.names[c]}:{round(p * 1e6)}"
        for c, p in zip(markers.contig, markers.position, strict=True)
    )
    sample_ids = _numbered("sample", n_samples)
    study = create_dataset(
        _dosages(Copies(distinct, strain), variant_ids, sample_ids),
        traits,
        covariates=covariates if n_covariates else None,
        covariate_ids=_numbered("covariate", n_covariates) if n_covariates else None,
        contigs=markers.names[markers.contig],
        positions=markers.position,
        position_unit="Mb",
        sample_ids=sample_ids,
        variant_ids=variant_ids,
        trait_ids=_numbered("trait", n_traits),
        strains=None if n_strains is None else _numbered("strain", n_strains)[strain],
        maximum=1,
    )
    known = {
        "trait_contig": (truth.contig, {}),
        "trait_position": (truth.position, {"units": "Mb"}),
        "trait_true_variant": (variant_ids[truth.locus], {"long_name": "causal marker"}),
        "trait_true_h2": (truth.h2, {"long_name": "heritability that was simulated"}),
        "trait_true_qtl_variance": (
            qtl_variance,
            {"long_name": "share of the variance that is due to the causal marker"},
        ),
    }
    study = study.assign_coords({name: ("traits", *found) for name, found in known.items()})
    return arranged(study).assign_attrs(
        source=f"simulate_study(cross={cross!r}, seed={seed})",
        description=f"simulated {cross} cross with known loci",
    )


def _dosages(copies: Copies, variants: Names, samples: Names) -> Any:
    """Dosages (samples, variants), in memory if they are few."""
    n_variants, n_samples = copies.shape
    if 8 * n_variants * n_samples > _IN_MEMORY:
        return lazy(copies, variants.tolist(), samples.tolist()).transpose("samples", "variants")
    return copies.read(0, n_variants).T.astype(np.float64)


def _check_sizes(
    n_samples: int,
    n_strains: int | None,
    n_variants: int,
    n_traits: int,
    n_contigs: int,
    n_covariates: int,
    seed: int,
) -> None:
    for name, value, low, high in (
        ("n_samples", n_samples, 2, None),
        ("n_strains", n_strains, 2, n_samples),
        ("n_contigs", n_contigs, 1, len(LENGTHS)),
        ("n_variants", n_variants, n_contigs, None),
        ("n_traits", n_traits, 1, None),
        ("n_covariates", n_covariates, 0, None),
        ("seed", seed, 0, None),
    ):
        if value is not None and (value < low or (high is not None and value > high)):
            limits = f"at least {low}" if high is None else f"{low}..{high}"
            raise OptionError(f"{option(name)} is {value}; it must be {limits}")


def _check_model(
    cross: str,
    heritability: tuple[float, float],
    qtl_share: tuple[float, float],
    missing: float,
    n_patterns: int,
) -> None:
    require_choice(cross, "cross", CROSSES)
    for name, (low, high) in (("heritability", heritability), ("qtl_share", qtl_share)):
        if not 0 <= low <= high <= 1:
            raise OptionError(
                f"{name} is ({low}, {high}); it must be a lowest and a highest value within 0..1"
            )
    if not 0 <= missing < 1:
        raise OptionError(
            f"{option('missing')} is {missing}; it must be a share, at least 0 and below 1"
        )
    if n_patterns < 1:
        raise OptionError(f"n_patterns is {n_patterns}; it must be at least 1")


def _numbered(stem: str, count: int) -> np.ndarray:
    """Names such as sample001, which sort by number."""
    width = len(str(count))
    return text(f"{stem}{i:0{width}d}" for i in range(1, count + 1))
