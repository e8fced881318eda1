"""SNPs from founders' alleles: dosages by hand, tables, and what is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning

N = 30


@pytest.fixture
def shares():
    """Founders A, B and C at 0, 10 and 20 Mb of 1, and at 5 Mb of X."""
    p = np.random.default_rng(1).dirichlet(np.ones(3), size=(N, 4))
    ds = blmm.create_dataset(
        p,
        np.random.default_rng(2).normal(size=(N, 2)),
        contigs=["1", "1", "1", "X"],
        positions=[0.0, 10.0, 20.0, 5.0],
    )
    names = ["A", "B", "C"]
    return ds.assign_coords(genotypes=names, genotype_id=("genotypes", names))


def table(**columns):
    """SNPs before, at, between and beyond the positions, in no order."""
    return pd.DataFrame(
        {
            "snp": ["beyond", "at", "x", "between", "before"],
            "chr": ["chr1", 1, "X", "1", "1"],
            "pos": [33.0, 10.0, 1.0, 12.5, -4.0],
            **columns,
        }
    )


@pytest.mark.parametrize("how", ["sdp", "alleles"])
def test_dosages_are_the_shares_of_founders_with_the_second_allele(shares, how):
    # Founders with the second allele: C; B; A and B, seen from A: C; B and C; A: so B and C.
    if how == "sdp":
        snps = table(sdp=[4, 2, 4, 6, 6])
    else:
        snps = table(A=list("TACGA"), B=list("TGCTG"), C=list("CAGTG"))
    ds = blmm.snp_probabilities(shares, snps)
    assert ds.variants.values.tolist() == ["before", "at", "between", "beyond", "x"]
    p = shares.call_genotype_probability.values
    expected = [
        p[0, :, 1] + p[0, :, 2],
        p[1, :, 1],
        (p[1, :, 1:].sum(1) + p[2, :, 1:].sum(1)) / 2,
        p[2, :, 2],
        p[3, :, 2],
    ]
    np.testing.assert_allclose(ds.call_dosage, expected, atol=1e-6)
    np.testing.assert_array_equal(ds.sample_trait, shares.sample_trait)
    lod = blmm.scan(ds, kinship=None).lod.sel(variants="at", traits="trait1")
    r = np.corrcoef(expected[1], shares.sample_trait.values[:, 0])[0, 1]
    np.testing.assert_allclose(lod, -N / 2 * np.log10(1 - r * r), atol=1e-5)


def test_alleles_may_be_numbers_of_any_type(shares):
    """A gap turns a column of whole numbers into floating-point numbers."""
    named = table(A=list("TACGA"), B=list("TGCTG"), C=list("CAGTG"))
    codes = named.replace({letter: at + 1 for at, letter in enumerate("ACGT")})
    codes = codes.astype({"A": int, "B": float, "C": object})
    expected = blmm.snp_probabilities(shares, named)
    np.testing.assert_array_equal(
        blmm.snp_probabilities(shares, codes).call_dosage, expected.call_dosage
    )
    codes.loc[0, "B"] = np.nan
    with pytest.warns(StudyWarning, match="a founder's allele is unknown: 'beyond'"):
        assert blmm.snp_probabilities(shares, codes).sizes["variants"] == 4


def test_zero_is_an_allele_beside_a_single_other(shares):
    """Beside two others it is a gap."""
    letters = table(A=list("AAAAA"), B=list("CACAA"), C=list("CCACC"))
    expected = blmm.snp_probabilities(shares, letters).call_dosage
    for other in ("1", 1, 2.0):
        codes = letters.replace({"A": 0, "C": other})
        np.testing.assert_array_equal(blmm.snp_probabilities(shares, codes).call_dosage, expected)
    codes = table(A=[1, 1, 1, 1, 0], B=[3, 1, 3, 1, 1], C=[3, 3, 1, 3, 3])
    with pytest.warns(StudyWarning, match="a founder's allele is unknown: 'before'"):
        assert blmm.snp_probabilities(shares, codes).sizes["variants"] == 4


def test_many_snps_of_few_patterns(shares, monkeypatch):
    monkeypatch.setattr("bulklmm_dask.analyses.snps._PIECE", 3)
    rng = np.random.default_rng(5)
    snps = pd.DataFrame(
        {
            "snp": [f"s{i}" for i in range(80)],
            "chr": rng.choice(["1", "X"], 80),
            "pos": rng.uniform(-2, 25, 80).round(1),
            "sdp": rng.integers(1, 7, 80),
        }
    )
    whole = blmm.snp_probabilities(shares, snps)
    assert whole.sizes["variants"] == 80
    for name in ("s0", "s33", "s79"):
        one = blmm.snp_probabilities(shares, snps[snps.snp == name])
        np.testing.assert_array_equal(one.call_dosage[0], whole.call_dosage.sel(variants=name))


def test_lazily_as_in_memory(shares):
    lazy = shares.assign(
        call_genotype_probability=shares.call_genotype_probability.chunk(variants=1)
    )
    snps = table(sdp=[4, 2, 4, 6, 6])
    found = blmm.snp_probabilities(lazy, snps).call_dosage
    assert found.chunks is not None
    np.testing.assert_array_equal(found, blmm.snp_probabilities(shares, snps).call_dosage)


def test_what_tells_nothing_is_left_out_and_said(shares):
    snps = table(A=list("TACGA"), B=list("TGCGG"), C=list("CA-GG"))
    with pytest.warns(StudyWarning) as said:
        ds = blmm.snp_probabilities(shares, snps)
    assert ds.variants.values.tolist() == ["before", "at", "beyond"]
    words = " ".join(str(one.message) for one in said)
    assert "1 SNP of 5 left out, because a founder's allele is unknown: 'x'" in words
    assert "1 SNP of 5 left out, because all founders are alike: 'between'" in words


def test_markers_of_a_cross(tmp_path):
    """Without a table the SNPs are the markers, also those of a raw cross."""
    (tmp_path / "geno.csv").write_text("id,m1,m2,m3\na,A,B,A\nb,B,B,A\nc,A,A,B\n")
    (tmp_path / "pheno.csv").write_text("id,t1\na,1\nb,2\nc,4\n")
    (tmp_path / "gmap.csv").write_text("marker,chr,pos\nm1,1,0\nm2,1,4\nm3,1,31\n")
    (tmp_path / "founders.csv").write_text("id,m1,m2,m3\nU,A,A,A\nV,B,A,-\nW,A,B,A\nX,A,B,B\n")
    (tmp_path / "info.csv").write_text("id,a,b,c,d\na,1,2,3,4\nb,1,2,3,4\nc,1,2,3,4\n")
    (tmp_path / "cross.yaml").write_text(
        "crosstype: riself4\ngeno: geno.csv\npheno: pheno.csv\ngmap: gmap.csv\n"
        "founder_geno: founders.csv\ngenotypes: {A: 1, B: 3}\ncross_info: {file: info.csv}\n"
    )
    raw = blmm.read_rqtl2(tmp_path / "cross.yaml")
    with pytest.warns(StudyWarning, match="a founder's allele is unknown: 'm3'"):
        ds = blmm.snp_probabilities(raw)
    alleles = blmm.allele_probabilities(blmm.genotype_probabilities(raw))
    p = alleles.call_genotype_probability.values
    expected = [p[0, :, 1], p[1, :, 2] + p[1, :, 3]]
    np.testing.assert_allclose(ds.call_dosage, expected, atol=1e-6)
    # The most probable allele is the one that was called.
    np.testing.assert_array_equal(ds.call_dosage.round(), [[0, 1, 0], [1, 1, 0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="pos"), "it needs snp, chr, pos"),
        (lambda t: t.drop(columns="sdp"), "lacks the founders 'A', 'B', 'C'"),
        (lambda t: t.assign(sdp=[4, 2, 7, 6, 6]), "sdp of 'x' is '7'; .*from 1 to 6"),
        (lambda t: t.assign(sdp=[4, 2, "no", 6, 6]), "sdp of 'x' is 'no'"),
        (lambda t: t.assign(chr="9"), "names the contig '9'"),
        (lambda t: t.assign(snp="s"), "must be unique"),
        (
            lambda t: t.assign(pos=[1, 2, np.nan, 3, 4]),
            "pos of snps is missing, or no number, for 'x'",
        ),
        (
            lambda t: t.drop(columns="sdp").assign(A="A", B="C", C="G"),
            "3 alleles at 'beyond': 'A', 'C', 'G'",
        ),
        (lambda t: t.assign(sdp=None), "sdp of 'beyond' is 'None'"),
        (lambda _: [1], "snps is a list"),
        (lambda t: pd.concat([t, t[["sdp"]]], axis=1), "the columns of snps must be unique"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(shares, change, message):
    with pytest.raises(InputError, match=message):
        blmm.snp_probabilities(shares, change(table(sdp=[4, 2, 4, 6, 6])))


def test_studies_without_founders_are_refused(shares):
    with pytest.raises(InputError, match="no founder_code"):
        blmm.snp_probabilities(shares)
    dosages = blmm.create_dataset(np.eye(6)[:, :3], np.ones((6, 1)), maximum=1)
    with pytest.raises(InputError, match="no shares of founders"):
        blmm.snp_probabilities(dosages, table(sdp=1))
