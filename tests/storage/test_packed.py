"""Text files: recognised by content, unpacked in a stream, refused beyond limits."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile
import zlib

import pytest
from numcodecs.zstd import compress

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import packed
from bulklmm_dask.storage.places.packed import Budget, text_bytes
from bulklmm_dask.study.kinships import read_kinship
from bulklmm_dask.study.readers.guess import guess_format

PACKED = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda content: bytes(compress(content)),
    "two gzip": lambda content: gzip.compress(content[:40]) + gzip.compress(content[40:]),
    "two zstd": lambda content: bytes(compress(content[:40])) + bytes(compress(content[40:])),
}
TRAITS = b"id,t1,t2\na,1,9\nb,2,8\nc,4,7\nd,3,6\n"
GENOTYPES = b"id,m1,m2,m3\na,0,1,2\nb,2,1,0\nc,1,0,2\nd,0,2,1\n"


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.txt.bz2", "x"])
@pytest.mark.parametrize("method", PACKED)
def test_a_packed_table_under_any_name(tmp_path, method, name):
    (tmp_path / "g.csv").write_bytes(GENOTYPES)
    (tmp_path / "t.csv").write_bytes(TRAITS)
    expected = blmm.read_csv(tmp_path / "t.csv", tmp_path / "g.csv")
    (tmp_path / name).write_bytes(PACKED[method](TRAITS))
    found = blmm.read_csv(tmp_path / name, tmp_path / "g.csv")
    assert found.drop_attrs(deep=False).identical(expected.drop_attrs(deep=False))


@pytest.mark.parametrize("method", PACKED)
def test_other_readers_unpack_too(tmp_path, method):
    pack = PACKED[method]
    geno = b"@name:X\n@mat:B\n@pat:D\nChr\tLocus\tcM\tMb\ta\tb\tc\td\n1\tm1\t1\t2\tB\tD\tD\tB\n"
    (tmp_path / "x").write_bytes(pack(geno))
    (tmp_path / "t.csv").write_bytes(pack(TRAITS))
    assert guess_format(tmp_path / "x") == "geno"
    assert blmm.read_geno(tmp_path / "x", traits=tmp_path / "t.csv").sizes["variants"] == 1
    (tmp_path / "k").write_bytes(pack(b"id,a,b\na,1,0.5\nb,0.5,1\n"))
    assert read_kinship(tmp_path / "k").shape == (2, 2)
    for name, content in (
        ("cross.yaml", b"crosstype: f2\ngeno: geno.csv\npheno: pheno.csv\n"),
        ("geno.csv", b"id,m1\na,A\nb,B\nc,A\nd,B\n"),
        ("pheno.csv", TRAITS),
    ):
        (tmp_path / name).write_bytes(pack(content))
    assert blmm.read_rqtl2(tmp_path / "cross.yaml").sizes["traits"] == 2


@pytest.mark.parametrize("method", PACKED)
def test_what_is_cut_short_or_damaged(tmp_path, method):
    whole = PACKED[method](TRAITS * 50)
    (tmp_path / "g.csv").write_bytes(GENOTYPES)
    for content in (whole[: len(whole) // 2], whole[:20] + b"\xff\xff" + whole[22:], whole[:9]):
        (tmp_path / "t").write_bytes(content)
        with pytest.raises(blmm.InputError, match=r"/t\b"):
            blmm.read_csv(tmp_path / "t", tmp_path / "g.csv")


def bomb(method):
    """Some hundred MB of commas, packed."""
    if method == "zstd":  # a frame without its size, of runs: RFC 8878
        runs = b"".join((2**17 << 3 | 1 << 1).to_bytes(3, "little") + b"," for _ in range(10_000))
        return b"\x28\xb5\x2f\xfd\x00\x58" + runs + b"\x01\x00\x00"
    packer = {
        "gzip": lambda: zlib.compressobj(9, wbits=31),
        "bzip2": bz2.BZ2Compressor,
        "xz": lzma.LZMACompressor,
    }[method]()
    parts = [packer.compress(b"," * 10**6) for _ in range(300)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gzip", "bzip2", "xz", "zstd"])
def test_what_unpacks_to_very_much_is_refused_early(tmp_path, method):
    content = bomb(method)
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert len(content) < 10**6
    tracemalloc.start()
    try:
        with pytest.raises(blmm.InputError, match=r"t\.csv unpacks to more than 100 MB, from"):
            blmm.read_csv(path, path)
        assert tracemalloc.get_traced_memory()[1] < 6e8
    finally:
        tracemalloc.stop()


def test_members_of_an_archive_are_counted_together(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "_UNPACKED", 20_000)
    monkeypatch.setattr(packed, "_RATIO", 1)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.yaml", "crosstype: riself\ngeno: [a.csv, b.csv]\npheno: a.csv\n")
        for name in ("a", "b"):
            rows = "".join(f"{name}{i},A\n" for i in range(2000))
            file.writestr(f"{name}.csv", f"id,m{name}\n{rows}")
    with pytest.raises(blmm.InputError, match=r"b\.csv in .*x\.zip unpacks to more than 20 kB"):
        blmm.read_rqtl2(tmp_path / "x.zip")


def test_the_limit_grows_with_the_file():
    assert Budget(10).limit == 10**8
    assert Budget(10**7).limit == 2 * 10**9
    budget = Budget(10, 10**8 - 5)
    budget.take(5, "x")
    with pytest.raises(blmm.InputError, match="unpack it and give the unpacked file"):
        budget.take(1, "x")


def test_a_line_without_end(monkeypatch):
    monkeypatch.setattr(packed, "_LINE", 1000)
    lines = b"".join(b"a,1\n" for _ in range(5000)) + b"b"
    assert text_bytes(io.BytesIO(lines), "x", Budget(1), packed=False).read() == lines
    monkeypatch.setattr(packed, "_BUFFER", 100)
    with pytest.raises(blmm.InputError, match=r"x, line 3 has more than 1 kB; it is no table"):
        text_bytes(io.BytesIO(b"a\nb\n" + b"," * 3000), "x", Budget(1), packed=False).read()


def _zip(*names):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return raw.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_zip("xl/workbook.xml"), r"is a spreadsheet \(\.xlsx\); export the sheet as CSV"),
        (_zip("mimetype", "content.xml"), r"is a spreadsheet \(\.ods\); export the sheet as CSV"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9),
            r"is a spreadsheet \(\.xls\), no text; export the sheet as CSV",
        ),
        (_zip("t.csv"), "is a zip file, no table; unpack it"),
        (b"PAR1" + bytes(9), "is a Parquet file"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (gzip.compress(b"RDX3\nX\n"), "is an R data file, no text; .* write.csv"),
        (gzip.compress(b"X\n\x00\x00\x00\x03"), r"is an R object \(\.rds\)"),
        (b"%PDF-1.7", "is a PDF"),
        (b"\x6c\x1b\x01" + bytes(9), r"is a PLINK file \(\.bed\)"),
        (TRAITS.decode().encode("utf-16"), "is text in UTF-16; save it as UTF-8"),
        (TRAITS.decode().encode("utf-16-le"), "line 1 holds a NUL byte; if it is text in UTF-16"),
        ("id,größe\n".encode("latin-1"), "is not UTF-8 text: line 1 holds the byte 0xf6; save"),
        (TRAITS + b"\xe9,1,2\n", "is not UTF-8 text: line 6 holds the byte 0xe9; save it as UTF-8"),
        (TRAITS + b"\xc3", "is not UTF-8 text: line 6 holds the byte 0xc3"),
        (bz2.compress(b"id,\xff\n"), "is not UTF-8 text: line 1 holds the byte 0xff"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,  # packed bytes hold the time
)
def test_what_is_no_utf8_text_is_named_with_its_remedy(tmp_path, content, message):
    (tmp_path / "t.dat").write_bytes(content)
    (tmp_path / "g.csv").write_bytes(GENOTYPES)
    with pytest.raises(blmm.InputError, match=message) as found:
        blmm.read_csv(tmp_path / "t.dat", tmp_path / "g.csv")
    assert ("UTF-8" in str(found.value)) == ("UTF" in message or "CSV" in message)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf8_with_and_without_its_mark(tmp_path, encoding):
    (tmp_path / "t.csv").write_bytes("id,größe\na,1\nb,2\nc,3\nd,5\n".encode(encoding))
    (tmp_path / "g.csv").write_bytes(GENOTYPES)
    ds = blmm.read_csv(tmp_path / "t.csv", tmp_path / "g.csv")
    assert list(ds["trait_id"].values) == ["größe"]
