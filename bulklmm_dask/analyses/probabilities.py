"""Genotype probabilities of a raw cross, and the shares of its founders' alleles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.cross import (
    RawCross,
    founder_shares,
    labels_of,
    letters_of,
    raw_cross,
    with_x,
)
from bulklmm_dask.analyses.inputs.genetic_map import ContigMap, genetic_map
from bulklmm_dask.crosses.maps import MAP_FUNCTIONS, MapFunction, recombination
from bulklmm_dask.crosses.seen import Chromosome
from bulklmm_dask.crosses.types import cross_of
from bulklmm_dask.engine.crosses import Contig, lazy_probabilities
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import number, require_choice
from bulklmm_dask.study.cross import CODES, FOUNDERS
from bulklmm_dask.study.schema import validate
from bulklmm_dask.surface import function, option

ShareType: TypeAlias = Literal["float32", "float16"]
SHARE_TYPES: tuple[ShareType, ...] = get_args(ShareType)


def genotype_probabilities(
    ds: xr.Dataset,
    *,
    step: float = 0.0,
    error_prob: float = 1e-4,
    map_function: MapFunction = "haldane",
    positions: Mapping[str, Sequence[float]] | None = None,
    x_contigs: str | Sequence[str] | None = None,
) -> xr.Dataset:
    r"""Compute the probability of each true genotype from the calls of a cross.

    The true genotypes along a chromosome, in terms of the founders, are a Markov chain; calls show
    them with errors. Forward and backward give their probabilities at each position, given all
    calls of the chromosome, as R/qtl2's calc_genoprob does.

    Parameters
    ----------
    ds : Dataset
        A study with the calls of a cross, from `read_rqtl2` or `read_rqtl`.
    step : float
        Distance in cM of positions between the markers (pseudomarkers), from the first marker of
        each contig on, more than 0.01; 0 for markers only. Positions less than 0.01 cM from a
        marker are left out.
    error_prob : float
        Probability that a call is wrong, between 0 and 1/2.
    map_function : {"haldane", "kosambi", "carter-falconer", "morgan"}
        Recombination fraction by the distance in cM.
    positions : mapping of str to sequence of float, optional
        Positions in cM by contig, instead of those of `step`.
    x_contigs : str or sequence of str, optional
        Contigs that are X chromosomes, by default those of the attribute ``x_chr``, which readers
        set, else the one called X (or chrX).

    Returns
    -------
    Dataset
        A study with call_genotype_probability (variants, samples, genotypes), lazy, float32, at
        markers and pseudomarkers (named as in R/qtl2: c1.loc5) in the order of the genetic map.
        genotypes are AA, AB, BB, ... in the letters of the founders, then those of the X alone: BA,
        AY, BY; where a contig does not have one, it is 0. variant_genetic_position has cM;
        variant_position of pseudomarkers is interpolated. Samples, traits, covariates and kinships
        are those of `ds`.

    Raises
    ------
    InputError
        If `ds` has no calls of a cross, or no genetic positions; if samples lack what tells how
        they were bred (cross_info) or, with an X, their sex; or if an option cannot be used.

    Warns
    -----
    StudyWarning
        If directions of a cross with an X are not known: all are taken as A x B.

    Notes
    -----
    The computation takes one task for each contig and block of samples. `save` keeps what it
    gives; without it each use of the study computes it again.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("cross.yaml").write_text('''crosstype: f2
    ... geno: geno.csv
    ... pheno: pheno.csv
    ... gmap: gmap.csv
    ... genotypes: {SS: 1, SB: 2, BB: 3}
    ... alleles: [S, B]
    ... ''')
    >>> _ = Path("geno.csv").write_text('''id,m1,m2
    ... a,SS,SB
    ... b,SB,BB
    ... ''')
    >>> _ = Path("pheno.csv").write_text('''id,weight
    ... a,20.1
    ... b,22.5
    ... ''')
    >>> _ = Path("gmap.csv").write_text('''marker,chr,pos
    ... m1,1,3
    ... m2,1,23
    ... ''')
    >>> study = blmm.genotype_probabilities(blmm.read_rqtl2("cross.yaml"), step=10)
    >>> study.call_genotype_probability.sel(samples="a").to_pandas().round(3)
    genotypes     SS   SB     BB
    variants
    m1         1.000  0.0  0.000
    c1.loc13   0.495  0.5  0.005
    m2         0.000  1.0  0.000
    """
    ds = with_x(validate(ds), x_contigs)
    require_choice(map_function, "map_function", MAP_FUNCTIONS)
    error = number(error_prob, option("error_prob"), 0, 0.5)
    if not 0 < error < 0.5:
        raise InputError(f"{option('error_prob')} is {error:g}; give more than 0 and less than 0.5")
    cross = raw_cross(ds)
    places = genetic_map(ds, step, positions)
    states = cross.type.states(x=bool(cross.on_x[[one.contig for one in places]].any()))
    labels = labels_of(states, cross.letters)
    probability = lazy_probabilities(
        ds[CODES].data,
        [_contig(cross, one, map_function, labels) for one in places],
        cross.type.name,
        error,
        len(labels),
    )
    out = without_markers(ds).assign_attrs(
        error_prob=error, map_function=map_function, step=float(step)
    )
    out = _placed(out, ds, places)
    out = _with_founders(out, ds, cross, places)
    return with_genotypes(out, probability, labels)


def allele_probabilities(ds: xr.Dataset, *, dtype: ShareType = "float32") -> xr.Dataset:
    """Sum genotype probabilities of a cross to shares of its founders' alleles.

    Parameters
    ----------
    ds : Dataset
        A study from `genotype_probabilities`, also one that was saved and opened.
    dtype : {"float32", "float16"}
        How shares are kept. ``"float16"`` takes half the room; each share is then within 2^-12
        (2.5e-4), which changed LODs of a Diversity Outbred cross by up to 2e-3.

    Returns
    -------
    Dataset
        The study with call_genotype_probability (variants, samples, genotypes), lazy if it was:
        genotypes are the founders, and their numbers the share of each founder's alleles, 1/2 in a
        heterozygote, as R/qtl2's genoprob_to_alleleprob gives. A scan of k founders has k - 1
        degrees of freedom.

    Raises
    ------
    InputError
        If `ds` has no genotype probabilities of a cross, or `dtype` is none of these.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("cross.yaml").write_text('''crosstype: f2
    ... geno: geno.csv
    ... pheno: pheno.csv
    ... gmap: gmap.csv
    ... genotypes: {SS: 1, SB: 2, BB: 3}
    ... alleles: [S, B]
    ... ''')
    >>> _ = Path("geno.csv").write_text('''id,m1,m2
    ... a,SS,SB
    ... b,SB,BB
    ... ''')
    >>> _ = Path("pheno.csv").write_text('''id,weight
    ... a,20.1
    ... b,22.5
    ... ''')
    >>> _ = Path("gmap.csv").write_text('''marker,chr,pos
    ... m1,1,3
    ... m2,1,23
    ... ''')
    >>> study = blmm.genotype_probabilities(blmm.read_rqtl2("cross.yaml"), step=10)
    >>> blmm.allele_probabilities(study).call_genotype_probability[:, 0].to_pandas().round(3)
    genotypes      S      B
    variants
    m1         1.000  0.000
    c1.loc13   0.745  0.255
    m2         0.500  0.500
    """
    require_choice(dtype, "dtype", SHARE_TYPES)
    ds = validate(ds)
    name = ds.attrs.get("crosstype")
    if "call_genotype_probability" not in ds or "founder_id" not in ds or not isinstance(name, str):
        raise InputError(
            "the study has no genotype probabilities of a cross; make them with "
            f"{function('genotype_probabilities')}"
        )
    shares = founder_shares(ds)
    if shares is None:
        kept = ds["call_genotype_probability"].astype(dtype)
        return ds.assign(call_genotype_probability=kept)
    letters = letters_of(ds, cross_of(name))
    alleles = ds["call_genotype_probability"].data @ shares.astype(np.float32)
    alleles = alleles.astype(dtype)
    return with_genotypes(ds.drop_dims("genotypes"), alleles, letters)


def _contig(cross: RawCross, place: ContigMap, map_function: str, labels: list[str]) -> Contig:
    x = bool(cross.on_x[place.contig])
    kinds, which = cross.kinds(x=x)
    known = {label: at for at, label in enumerate(labels)}
    columns = [
        np.array([known[state.label(cross.letters)] for state in chain.states])
        for chain in (cross.type.chain(info, x=x, female=female) for info, female in kinds)
    ]
    is_marker = place.marker >= 0
    rows = place.marker[is_marker]
    chromosome = Chromosome(
        recombination(np.diff(place.genetic), map_function),
        np.where(is_marker, np.cumsum(is_marker) - 1, -1),
        cross.founders[rows],
    )
    return Contig(chromosome, rows, x, kinds, which, columns)


def _with_founders(
    out: xr.Dataset, ds: xr.Dataset, cross: RawCross, places: list[ContigMap]
) -> xr.Dataset:
    """Add the founders, and their alleles at the markers of a cross of several."""
    if FOUNDERS not in ds:
        letters = text(cross.letters)
        return out.assign_coords(founders=letters, founder_id=("founders", letters))
    marker = np.concatenate([one.marker for one in places])
    alleles = np.where(marker[:, None] < 0, 0, cross.founders[marker]).astype(np.uint8)
    names = text(ds["founder_id"].values)
    out = out.assign_coords(founders=names, founder_id=("founders", names))
    return out.assign({FOUNDERS: (("variants", "founders"), alleles)})


def without_markers(ds: xr.Dataset) -> xr.Dataset:
    """The study without what it has of markers, genotypes and founders."""
    return ds.drop_dims([dim for dim in ("variants", "genotypes", "founders") if dim in ds.dims])


def _placed(out: xr.Dataset, ds: xr.Dataset, places: list[ContigMap]) -> xr.Dataset:
    """Add names and positions of markers and positions between."""
    names = text([name for one in places for name in one.names])
    physical = np.concatenate([one.physical for one in places])
    genetic = np.concatenate([one.genetic for one in places])
    contigs = np.concatenate([np.full(len(one.names), one.contig) for one in places])
    return out.assign_coords(
        variants=names,
        variant_id=("variants", names),
        variant_contig=("variants", contigs),
        variant_position=("variants", physical, dict(ds["variant_position"].attrs)),
        variant_genetic_position=("variants", genetic, {"units": "cM"}),
    )


def with_genotypes(ds: xr.Dataset, probability: Any, labels: list[str]) -> xr.Dataset:
    """Add probabilities (variants, samples, genotypes); of two genotypes dosages of the second."""
    names = text(labels)
    ds = ds.assign_coords(genotypes=names, genotype_id=("genotypes", names)).assign(
        call_genotype_probability=(("variants", "samples", "genotypes"), probability)
    )
    if len(labels) == 2:
        pairs = np.tile(names, (ds.sizes["variants"], 1))
        ds = ds.assign(
            call_dosage=(("variants", "samples"), probability[:, :, 1], {"maximum": 1})
        ).assign_coords(variant_allele=(("variants", "alleles"), pairs))
    return arranged(validate(ds))
