"""Names of contigs in any usual spelling."""

from __future__ import annotations

import numpy as np
import pytest

import bulklmm_dask as blmm
from bulklmm_dask import InputError, StudyWarning
from bulklmm_dask.study.contigs import ABSENT, locate_contigs, match_contigs, spelling

SAME = {
    "1": [
        "1",
        "chr1",
        "Chr1",
        "CHR_1",
        "01",
        "1.0",
        1,
        1.0,
        "chr01",
        "chrom 1",
        "Chromosome1",
        "chr.1",
    ],
    "19": ["19", "chr19", "19.0", "CHR-19"],
    "X": ["X", "x", "chrX", "CHR_X", "ChromosomeX"],
    "MT": ["MT", "M", "chrM", "chrMT", "mito", "Mt"],
    "2L": ["2L", "chr2L", "2l"],
    "LG05": ["LG5", "lg_5", "LG 05"],
    "scaffold_12": ["Scaffold12", "scaffold-012"],
    "GL000192.1": ["gl000192.1", "chrGL000192.1"],
}


@pytest.mark.parametrize(("name", "alike"), SAME.items())
def test_usual_spellings_are_one_contig(name, alike):
    known = list(SAME)
    at = known.index(name)
    assert match_contigs(known, alike, "the study").tolist() == [at] * len(alike)
    assert len({spelling(each) for each in (name, *alike)}) == 1
    for other in alike:  # and the other way round
        assert match_contigs([other], [name], "the study").tolist() == [0]


@pytest.mark.parametrize(
    ("known", "other"),
    [("1", "11"), ("1", "10"), ("X", "23"), ("20", "X"), ("1", "1.5"), ("NC_01.10", "NC_01.1"),
     ("1", "chr1_random"), ("chr", ""), ("Y", "XY"), ("1", "c1"), ("1", "nan"), ("X", "chrXY")],
)  # fmt: skip
def test_nothing_else_is_guessed(known, other):
    assert match_contigs([known], [other], "the study").tolist() == [ABSENT]
    assert match_contigs([other], [known], "the study").tolist() == [ABSENT]


def test_the_name_of_several_contigs_is_refused():
    known = ["1", "2", "1"]
    assert match_contigs(known, ["chr2"], "the study").tolist() == [1]
    for name, message in (("1", "name of 2 of 3 entries"), ("chr1", "may be '1', '1' of")):
        with pytest.raises(InputError, match=message):
            match_contigs(known, ["2", name], "the study")


def test_a_name_as_it_is_written_comes_first():
    known = ["chr1", "1", "01"]
    assert match_contigs(known, known[::-1], "the study").tolist() == [2, 1, 0]
    with pytest.raises(InputError, match=r"contig 'CHR1' may be 'chr1', '1', '01' of the study"):
        match_contigs(known, ["1", "CHR1"], "the study")


def test_absent_contigs_are_named_once():
    with pytest.raises(
        InputError, match=r"2 are not there: '23', 'Y'; the names are like '1', 'X'"
    ):
        locate_contigs(["1", "X"], ["chr1", "23", "23", "Y"], "{count} are not there: {}")
    assert locate_contigs(["1", "X"], ["chrx", "01"], "{}").tolist() == [1, 0]


@pytest.mark.parametrize("pair", [("1", "chr1"), ("X", "chrX"), ("01", "1"), ("M", "MT")])
def test_a_map_that_spells_one_contig_in_two_ways_is_said(pair):
    genotypes, traits = np.eye(4)[:, :3], np.arange(4.0)[:, None]
    with pytest.warns(StudyWarning, match=f"the map has contigs .*'{pair[0]}', '{pair[1]}'"):
        ds = blmm.create_dataset(genotypes, traits, contigs=[*pair, "2"])
    assert list(ds.contig_id.values) == [*pair, "2"]
