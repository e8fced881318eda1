"""guess_format: formats by their names and first lines."""

import gzip

import pytest

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers.guess import guess_format


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.yaml", "", "rqtl2"),
        ("x.json", "", "rqtl2"),
        ("x.zip", "", "rqtl2"),
        ("x.bed", "", "plink"),
        ("x.fam", "", "plink"),
        ("x.txt", "rs1, A, T, 0.02, NA, 1.5e-3\n", "bimbam"),
        ("x.geno", "rs1 A TT 0 1 2\n", "bimbam"),
        ("x.geno", "# comment\n@name:BXD\n", "geno"),
        ("x", "Chr\tLocus\tcM\tMb\tBXD1\n", "geno"),
        ("x.csv", '"","1:AA","1:BB"\n', "probabilities"),
        ("x.csv", "weight,m1,m2\n,1,X\n,0,3.5\n20,A,H\n", "rqtl"),
        ("x.csv", "weight,,,20,21\nm1,1,0,A,H\nm2,X,3.5,H,B\n", "rqtl"),
        ("x.tsv", "id\tm1\n\t1\na\tA\nb\t-\n", "rqtl"),
        ("x.csv", "sample,height,weight\n", None),
        ("x.csv", "sample,a:b,weight\n", None),
        ("x.txt", "a b c tall\n", None),
        ("x", "", None),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files(tmp_path, name, content, expected, packed):
    content = content if isinstance(content, bytes) else content.encode()
    by_name = expected in ("rqtl2", "plink")
    path = tmp_path / (name + ".gz" * (packed and not by_name))
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    assert guess_format(path) == expected


def test_folders(tmp_path):
    assert guess_format(tmp_path) == "rqtl2"
    for form in ("call_genotype/.zarray", "call_DS/zarr.json"):
        (tmp_path / form).parent.mkdir()
        (tmp_path / form).touch()
        assert guess_format(tmp_path) == "vcf-zarr"
        (tmp_path / form).unlink()
    (tmp_path / "call_DS" / "zarr.json").touch()
    (tmp_path / "trait_id").mkdir()  # a study of ours
    assert guess_format(tmp_path) == "rqtl2"


def test_a_name_that_files_share(tmp_path):
    (tmp_path / "x.bed").touch()
    assert guess_format(tmp_path / "x") == "plink"


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"there is no file or folder .*x; check the path"):
        guess_format(tmp_path / "x")
    (tmp_path / "x.vcf.gz").touch()
    (tmp_path / "u").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"u is text in UTF-16; save it as UTF-8"):
        guess_format(tmp_path / "u")
    with pytest.raises(InputError, match=r"x.vcf.gz is a VCF file; convert it with vcf2zarr"):
        guess_format(tmp_path / "x.vcf.gz")
