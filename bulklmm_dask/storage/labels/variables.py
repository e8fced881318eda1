"""Variables that describe samples, markers, traits and contigs: each is declared once, here.

The names are those of sgkit and VCF Zarr where these have one. Studies are checked against this
table, and results take their coordinates from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Dims = tuple[str, ...]


@dataclass(frozen=True)
class Variable:
    """One declared variable.

    Attributes
    ----------
    dims : tuple of tuple of str
        Dimensions, one or several alternatives.
    kinds : str
        Kinds of dtype that it may have.
    label : str
        What it is, its ``long_name``.
    note : str
        What else its values should be, for messages.
    unit : str
        Unit, its ``units``; empty for pure numbers, names, and where the study says it.
    measured : bool
        Whether it is a value of the study; otherwise it describes samples, markers, traits or
        contigs, and is a coordinate.
    """

    dims: tuple[Dims, ...]
    kinds: str
    label: str
    note: str = ""
    unit: str = ""
    measured: bool = False

    @property
    def meaning(self) -> str:
        """What it should hold, for messages."""
        return f"{self.label}, {self.note}" if self.note else self.label


_TEXT = "OUT"
_REAL = "fiu"

# The kinships of a scan that leaves one chromosome out (LOCO), one for each contig.
LOCO = "kinship_loco"

# In the order in which a Dataset shows them.
VARIABLES: dict[str, Variable] = {
    "call_dosage": Variable(
        (("variants", "samples"),),
        _REAL,
        "dosage of the counted allele",
        "0..1 or 0..2 (attrs['maximum']); NaN where no call",
        measured=True,
    ),
    "call_genotype_probability": Variable(
        (("variants", "samples", "genotypes"),),
        "f",
        "probability of the genotype",
        "NaN where none",
        measured=True,
    ),
    "call_code": Variable(
        (("variants", "samples"),),
        "iu",
        "code of the genotype call",
        "0 none, 1 AA, 2 AB, 3 BB, 4 not BB, 5 not AA",
        measured=True,
    ),
    "founder_code": Variable(
        (("variants", "founders"),),
        "iu",
        "allele of the founder, as code of its homozygote",
        "1, 3, or 0 where unknown",
        measured=True,
    ),
    "sample_trait": Variable(
        (("samples", "traits"),), "f", "trait value", "NaN where missing", "trait unit", True
    ),
    "sample_covariate": Variable(
        (("samples", "covariates"),),
        "f",
        "covariate",
        "NaN where missing; an intercept is always added",
        "covariate unit",
        True,
    ),
    "kinship": Variable(
        (("samples_0", "samples_1"), ("contigs", "samples_0", "samples_1")),
        "f",
        "relationship of two samples",
        "with contigs: leaving that contig out",
        measured=True,
    ),
    LOCO: Variable(
        (("contigs", "samples_0", "samples_1"),),
        "f",
        "relationship of two samples by the markers of all other contigs",
        measured=True,
    ),
    "variant_id": Variable((("variants",),), _TEXT, "marker", "a unique name"),
    "variant_contig": Variable(
        (("variants",),), "iu", "number of the marker's contig", "index into contig_id"
    ),
    "variant_contig_name": Variable((("variants",),), _TEXT, "contig of the marker"),
    "variant_position": Variable(
        (("variants",),),
        _REAL,
        "position of the marker",
        "on the contig; unit in attrs['units']: bp, Mb or cM",
    ),
    "variant_genetic_position": Variable(
        (("variants",),), "f", "genetic position of the marker", unit="cM"
    ),
    "variant_allele": Variable(
        (("variants", "alleles"),),
        _TEXT,
        "alleles of the marker",
        "names; call_dosage counts the last one",
    ),
    "trait_id": Variable((("traits",),), _TEXT, "trait", "a unique name"),
    "sample_id": Variable((("samples",),), _TEXT, "sample", "a unique name"),
    "sample_strain": Variable(
        (("samples",),),
        _TEXT,
        "inbred strain of the sample",
        "samples of a strain share genotypes",
    ),
    "sample_cross_number": Variable(
        (("samples", "cross_numbers"),),
        "iu",
        "how the sample was bred",
        "the numbers of R/qtl2's cross_info; -1 where unknown",
    ),
    "founder_id": Variable((("founders",),), _TEXT, "founder", "a unique name"),
    "covariate_id": Variable((("covariates",),), _TEXT, "covariate", "a unique name"),
    "genotype_id": Variable(
        (("genotypes",),),
        _TEXT,
        "genotype",
        "a unique name, as in call_genotype_probability",
    ),
    "contig_id": Variable((("contigs",),), _TEXT, "contig", "name of the chromosome or contig"),
}

# Places of the traits themselves. A study may use these names for something else (R/qtl2's
# phenocovar has columns of any name), so their kinds are not enforced.
TRAIT_PLACES: dict[str, Variable] = {
    "trait_contig": Variable(
        (("traits",),),
        "iu",
        "number of the trait's contig",
        "an index into contig_id, -1 where unknown",
    ),
    "trait_contig_name": Variable((("traits",),), _TEXT, "contig of the trait"),
    "trait_position": Variable((("traits",),), _REAL, "position of the trait"),
}

# Dimension -> the variable that names its entries; each is also the index coordinate of the dim.
NAMES = {"variants": "variant_id", "samples": "sample_id", "traits": "trait_id"}

# Dimension -> prefix of the variables that describe its entries.
PREFIXES = {dim: name.removesuffix("id") for dim, name in NAMES.items()}

# Index coordinate -> variable whose label it has.
_INDEXES = {
    **NAMES,
    "samples_0": "sample_id",
    "samples_1": "sample_id",
    "contigs": "contig_id",
    "covariates": "covariate_id",
    "genotypes": "genotype_id",
    "founders": "founder_id",
}

_COPIES = {1: "share of copies", 2: "copies"}  # unit of dosages, by their maximum


def attributes(name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """``long_name`` and ``units`` of a declared variable, and the attributes that it has.

    What it has stays as it is. A pure number or a name has no units.

    Parameters
    ----------
    name : str
        Name of a variable, also of one that is not declared.
    known : mapping
        Its attributes.
    """
    declared = {**VARIABLES, **TRAIT_PLACES}.get(_INDEXES.get(name, name))
    if declared is None:
        return dict(known)
    unit = _COPIES.get(known.get("maximum", 0), "") if name == "call_dosage" else declared.unit
    given = {"long_name": declared.label} | ({"units": unit} if unit else {})
    return given | dict(known)
