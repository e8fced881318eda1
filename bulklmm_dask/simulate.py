"""Simulated studies: crosses and traits whose loci and heritabilities are known.

Genotypes are Markov chains along mouse-like chromosomes (Haldane's map function, no crossover
interference). Every trait is the sum of one known locus, a polygenic part and noise, scaled so that
its heritability is the h2 of a scan with the "bulklmm" kinship.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import require_choice
from bulklmm_dask.study.create import create_dataset
from bulklmm_dask.surface import option

# Lengths of mouse chromosomes in Mb.
_CHROMOSOMES = {
    "1": 195.5, "2": 182.1, "3": 160.0, "4": 156.5, "5": 151.8, "6": 149.7, "7": 145.4,
    "8": 129.4, "9": 124.6, "10": 130.7, "11": 122.1, "12": 120.1, "13": 120.4, "14": 124.9,
    "15": 104.0, "16": 98.2, "17": 95.0, "18": 90.7, "19": 61.4, "X": 171.0,
}  # fmt: skip
_MORGAN_PER_MB = 0.005
_CROSSES = ("ril", "f2", "backcross")

# Shares of traits whose locus is next to the trait's own position, or in a hotspot.
_SHARE_CIS = 0.6
_SHARE_HOTSPOT = 0.2
_N_HOTSPOTS = 4

_COVARIATE_EFFECT = 0.5  # standard deviation
_EFFECT_DEVIATION = np.sqrt((256**2 - 1) / 3)  # standard deviation of odd numbers from -255 to 255
_TRAITS_AT_A_TIME = 1024


@dataclass(frozen=True)
class _Map:
    """Marker map.

    Attributes
    ----------
    contig, position : array (variants,)
        Index of the chromosome and position in Mb of each marker, in genome order.
    names : array (contigs,)
        Names of the chromosomes.
    """

    contig: np.ndarray
    position: np.ndarray
    names: np.ndarray


@dataclass(frozen=True)
class _Truth:
    """Truth of every trait, arrays (traits,).

    Attributes
    ----------
    contig, position : array
        Chromosome and position in Mb of the trait itself.
    locus : array of int
        Index of the causal marker.
    h2, qtl_share : array
        Heritability, and the share of it that is due to the locus.
    """

    contig: np.ndarray
    position: np.ndarray
    locus: np.ndarray
    h2: np.ndarray
    qtl_share: np.ndarray


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

    markers = _marker_map(map_rng, n_variants, n_contigs)
    n_distinct = n_samples if n_strains is None else n_strains
    distinct = _GENOTYPES[cross](cross_rng, n_distinct, _recombination(markers))
    strain = np.arange(n_samples) * n_distinct // n_samples
    truth = _draw_truth(truth_rng, markers, n_traits, heritability, qtl_share)
    covariates = covariate_rng.standard_normal((n_samples, n_covariates))
    traits, qtl_variance = _draw_traits(trait_seed, distinct, strain, covariates, truth)
    if missing > 0:
        traits = _hide(missing_rng, traits, missing, n_patterns)

    variant_ids = text(
        f"{markers.names[c]}:{round(p * 1e6)}"
        for c, p in zip(markers.contig, markers.position, strict=True)
    )
    study = create_dataset(
        distinct[strain],
        traits,
        covariates=covariates if n_covariates else None,
        covariate_ids=_numbered("covariate", n_covariates) if n_covariates else None,
        contigs=markers.names[markers.contig],
        positions=markers.position,
        position_unit="Mb",
        sample_ids=_numbered("sample", n_samples),
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
        ("n_contigs", n_contigs, 1, len(_CHROMOSOMES)),
        ("n_variants", n_variants, n_contigs, None),
        ("n_traits", n_traits, 1, None),
        ("n_covariates", n_covariates, 0, None),
        ("seed", seed, 0, None),
    ):
        if value is not None and (value < low or (high is not None and value > high)):
            limits = f"at least {low}" if high is None else f"{low}..{high}"
            raise InputError(f"{option(name)} is {value}; it must be {limits}")


def _check_model(
    cross: str,
    heritability: tuple[float, float],
    qtl_share: tuple[float, float],
    missing: float,
    n_patterns: int,
) -> None:
    require_choice(cross, "cross", _CROSSES)
    for name, (low, high) in (("heritability", heritability), ("qtl_share", qtl_share)):
        if not 0 <= low <= high <= 1:
            raise InputError(
                f"{name} is ({low}, {high}); it must be a lowest and a highest value within 0..1"
            )
    if not 0 <= missing < 1:
        raise InputError(
            f"{option('missing')} is {missing}; it must be a share, at least 0 and below 1"
        )
    if n_patterns < 1:
        raise InputError(f"n_patterns is {n_patterns}; it must be at least 1")


def _numbered(stem: str, count: int) -> np.ndarray:
    """Names such as sample001, which sort by number."""
    width = len(str(count))
    return text(f"{stem}{i:0{width}d}" for i in range(1, count + 1))


def _marker_map(rng: np.random.Generator, n_variants: int, n_contigs: int) -> _Map:
    """Markers at random positions, in proportion to the length of each chromosome, at least one."""
    names = list(_CHROMOSOMES)[:n_contigs]
    lengths = np.array([_CHROMOSOMES[name] for name in names])
    ends = np.cumsum(lengths) / lengths.sum()
    counts = 1 + np.diff(np.rint(ends * (n_variants - n_contigs)).astype(int), prepend=0)
    places = [
        np.sort(rng.choice(round(length * 1e6), size=count, replace=False, shuffle=False))
        for length, count in zip(lengths, counts, strict=True)
    ]
    contig = np.repeat(np.arange(n_contigs), counts)
    return _Map(contig=contig, position=np.concatenate(places) / 1e6, names=text(names))


def _recombination(markers: _Map) -> np.ndarray:
    """Probability of recombination in one meiosis between each marker and the one before."""
    morgans = np.diff(markers.position, prepend=0.0) * _MORGAN_PER_MB
    r = -0.5 * np.expm1(-2 * np.maximum(morgans, 0))
    r[np.diff(markers.contig, prepend=-1) != 0] = 0.5
    return r


def _chains(rng: np.random.Generator, count: int, switch: np.ndarray) -> np.ndarray:
    """Markov chains of 0 and 1, (count, markers), that switch with the given probabilities."""
    switches = rng.random((count, switch.size)) < switch
    return (np.cumsum(switches, axis=1) % 2).astype(float)


def _ril(rng: np.random.Generator, count: int, r: np.ndarray) -> np.ndarray:
    return _chains(rng, count, 4 * r / (1 + 6 * r))


def _f2(rng: np.random.Generator, count: int, r: np.ndarray) -> np.ndarray:
    return (_chains(rng, count, r) + _chains(rng, count, r)) / 2


def _backcross(rng: np.random.Generator, count: int, r: np.ndarray) -> np.ndarray:
    return _chains(rng, count, r) / 2


_GENOTYPES = dict(zip(_CROSSES, (_ril, _f2, _backcross), strict=True))


def _draw_truth(
    rng: np.random.Generator,
    markers: _Map,
    n_traits: int,
    heritability: tuple[float, float],
    qtl_share: tuple[float, float],
) -> _Truth:
    lengths = np.array([_CHROMOSOMES[str(name)] for name in markers.names])
    contig = rng.choice(lengths.size, size=n_traits, p=lengths / lengths.sum())
    position = np.round(rng.random(n_traits) * lengths[contig], 6)
    hotspots = rng.integers(markers.contig.size, size=_N_HOTSPOTS)
    kind = rng.choice(
        3, size=n_traits, p=[_SHARE_CIS, _SHARE_HOTSPOT, 1 - _SHARE_CIS - _SHARE_HOTSPOT]
    )
    locus = np.choose(
        kind,
        [
            _nearest(markers, contig, position),
            rng.choice(hotspots, size=n_traits),
            rng.integers(markers.contig.size, size=n_traits),
        ],
    )
    h2 = rng.uniform(*heritability, size=n_traits)
    return _Truth(contig, position, locus, h2, rng.uniform(*qtl_share, size=n_traits))


def _nearest(markers: _Map, contig: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Index of the marker nearest to each position on its chromosome."""
    apart = 10 * max(_CHROMOSOMES.values())  # so that the nearest is never on another chromosome
    line = markers.contig * apart + markers.position
    place = contig * apart + position
    right = np.searchsorted(line, place).clip(max=line.size - 1)
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(line[left] - place) <= np.abs(line[right] - place), left, right)


def _draw_traits(
    seed: np.random.SeedSequence,
    distinct: np.ndarray,
    strain: np.ndarray,
    covariates: np.ndarray,
    truth: _Truth,
) -> tuple[np.ndarray, np.ndarray]:
    """Trait values (samples, traits), and the share of the variance that the locus explains.

    Traits are drawn some at a time, because their effects take memory for markers x traits.
    """
    n_traits, n_variants = truth.h2.size, distinct.shape[1]
    codes = (2 * distinct - 1).astype(np.float32)  # -1, 0, 1
    # Variance of the independent genetic term: it makes the kinship of a genotype with itself 1.
    own = 0.5 - 0.5 * np.mean(codes**2, axis=1, keepdims=True)
    traits = np.empty((strain.size, n_traits))
    qtl_variance = np.empty(n_traits)
    starts = range(0, n_traits, _TRAITS_AT_A_TIME)
    for start, child in zip(starts, seed.spawn(len(starts)), strict=True):
        block = slice(start, start + _TRAITS_AT_A_TIME)
        rng = np.random.default_rng(child)
        h2, q, locus = truth.h2[block], truth.qtl_share[block], truth.locus[block]
        sign = rng.choice([-1.0, 1.0], size=h2.size)
        effects = rng.integers(-128, 128, size=(n_variants, h2.size), dtype=np.int8)
        # Sums of odd whole numbers are exact in any order, so that every BLAS gives the same study.
        polygenic = codes @ (2 * effects.astype(np.float32) + 1) / _EFFECT_DEVIATION
        genetic = np.sqrt(h2 * (1 - q) / (2 * n_variants)) * polygenic
        genetic += np.sqrt(h2 * own) * rng.standard_normal(polygenic.shape)
        qtl = np.sqrt(h2 * q / 2) * sign * codes[:, locus]
        noise = np.sqrt(1 - h2) * rng.standard_normal((strain.size, h2.size))
        slopes = _COVARIATE_EFFECT * rng.standard_normal((covariates.shape[1], h2.size))
        y = (genetic + qtl)[strain] + noise + np.einsum("sc,ct->st", covariates, slopes)
        traits[:, block] = y
        qtl_variance[block] = qtl[strain].var(axis=0) / y.var(axis=0)
    return traits, qtl_variance


def _hide(
    rng: np.random.Generator, traits: np.ndarray, missing: float, n_patterns: int
) -> np.ndarray:
    """Make values missing; every trait has one of a few random patterns of missing samples."""
    patterns = rng.random((traits.shape[0], n_patterns)) < missing
    return np.where(patterns[:, rng.integers(n_patterns, size=traits.shape[1])], np.nan, traits)
