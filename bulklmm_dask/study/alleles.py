"""Which of the alleles of a marker its dosage counts."""

from __future__ import annotations

from collections.abc import Iterable


def effect_allele(alleles: Iterable[object]) -> str:
    """Name the effect allele of a marker, whose copies its dosage counts; empty if it has no name.

    It is the last of the two in ``variant_allele``. Of a marker with several alternative alleles,
    as in VCF files, the copies of all of them are counted: their names with commas between.
    """
    return ",".join(str(name) for name in list(alleles)[1:] if name)
