"""Control files that somebody else has written: what they name, and how large they can be."""

from __future__ import annotations

import json
import os
import zipfile

import pytest

import bulklmm_dask as blmm

TRAITS = "id,t1\na,1\nb,2\nc,4\n"
GENO = "id,m1\na,A\nb,B\nc,A\n"
CONTROL = "crosstype: f2\ngeno: geno.csv\npheno: pheno.csv\n"


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "my study"
    inside.mkdir()
    (inside / "geno.csv").write_text(GENO)
    (inside / "pheno.csv").write_text(TRAITS)
    (inside / "sub").mkdir()
    (inside / "sub" / "pheno.csv").write_text(TRAITS)
    (tmp_path / "secret.csv").write_text(TRAITS)
    return inside


def read(folder, control, name="cross.yaml"):
    (folder / name).write_text(control)
    return blmm.read_rqtl2(folder / name)


@pytest.mark.parametrize("name", ["pheno.csv", "sub/pheno.csv", "./pheno.csv", "sub/../pheno.csv"])
def test_files_of_the_folder_are_read(folder, name):
    assert read(folder, CONTROL.replace("pheno.csv", name)).sizes["traits"] == 1


@pytest.mark.parametrize("name", ["../secret.csv", "sub/../../secret.csv", "{}/secret.csv"])
@pytest.mark.parametrize("by", ["control", "folder"])
def test_files_outside_are_not(folder, tmp_path, name, by):
    name = name.format(tmp_path)
    (folder / "cross.yaml").write_text(CONTROL.replace("pheno.csv", name))
    with pytest.raises(blmm.InputError, match=r"lies outside that folder; put it there") as found:
        blmm.read_rqtl2(folder if by == "folder" else folder / "cross.yaml")
    assert f"'{folder}'" in str(found.value)  # in quotation marks: it holds a blank
    assert name in str(found.value)


@pytest.mark.parametrize("table", ["pheno", "geno", "covar", "pmap", "phenocovar", "cross_info"])
def test_links_that_lead_outside_are_not_followed(folder, tmp_path, table):
    os.symlink(tmp_path / "secret.csv", folder / "link.csv")
    entry = "cross_info: {file: link.csv}" if table == "cross_info" else f"{table}: link.csv"
    lines = [line for line in CONTROL.splitlines() if not line.startswith(table)]
    with pytest.raises(blmm.InputError, match=r"'link\.csv'.* lies outside that folder"):
        read(folder, "\n".join([*lines, entry]))


def test_a_link_that_the_user_names_is_followed(folder, tmp_path):
    (folder / "cross.yaml").write_text(CONTROL)
    os.symlink(folder, tmp_path / "link")
    assert blmm.read_rqtl2(tmp_path / "link").sizes["traits"] == 1
    os.symlink(folder / "pheno.csv", folder / "inside.csv")
    assert read(folder, CONTROL.replace("pheno.csv", "inside.csv")).sizes["traits"] == 1


ALIASES = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
DIGITS = "9" * 6000


@pytest.mark.parametrize(
    ("name", "control", "message"),
    [
        ("x.yaml", CONTROL + ALIASES, r"x\.yaml.*, line 5: the alias \*a stands for another"),
        ("x.yaml", CONTROL + "comments: " + "[" * 5000, "line 4: entries are nested more than"),
        ("x.yaml", CONTROL + "comments: " + "{a: " * 5000, "line 4: entries are nested more than"),
        (
            "x.json",
            '{"crosstype": ' + "[" * 100_000,
            "entries are nested too deep|no valid control",
        ),
        ("x.json", '{"a":' * 100_000, "entries are nested too deep|no valid control"),
        ("x.yaml", CONTROL + "comments: " + "x" * 10**6, "more than 1,000,000 characters"),
        ("x.yaml", CONTROL + f"genotypes: {{A: {DIGITS}, B: 3}}", "should be a whole number"),
        ("x.yaml", CONTROL.replace("pheno.csv", "a" * 300), "there is no file .*aaa"),
        ("x.yaml", CONTROL.replace("pheno.csv", "'a\\0b'"), "x.yaml|there is no file"),
        ("x.yaml", CONTROL + f"sep: '{'s' * 5000}'", "it should be one character"),
        ("x.yaml", CONTROL + "x_chr: [" + "X, " * 5000 + "]", None),
        ("x.yaml", "just text", "is no control file"),
        ("x.yaml", "a: b: c", "is no valid control file"),
        ("x.yaml", "\t- %", "is no valid control file"),
    ],
)
def test_odd_control_files(folder, name, control, message):
    if message is None:
        assert read(folder, control, name).sizes["traits"] == 1
        return
    with pytest.raises(blmm.InputError, match=message) as found:
        read(folder, control, name)
    assert len(str(found.value)) < 2100


def test_json_with_numbers_of_very_many_digits(folder):
    entries = {"crosstype": "f2", "geno": "geno.csv", "pheno": "pheno.csv"}
    control = json.dumps(entries | {"comments": 0}).replace(
        '"comments": 0', f'"comments": {DIGITS}'
    )
    assert read(folder, control, "x.json").sizes["traits"] == 1
    codes = json.dumps(entries | {"genotypes": {"A": 1, "B": 3}}).replace("3}", f"{DIGITS}}}")
    with pytest.raises(blmm.InputError, match="should be a whole number"):
        read(folder, codes, "x.json")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.csv", "a" * 300])
def test_zip_files_stay_inside_too(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x.yaml", CONTROL.replace("pheno.csv", name))
        archive.writestr("geno.csv", GENO)
    with pytest.raises(blmm.InputError, match=r"x\.zip has no file"):
        blmm.read_rqtl2(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (6, b"\x01\x00", r"pheno\.csv in .*x\.zip is encrypted; unpack it with its password"),
        (8, b"\x63\x00", r"pheno\.csv in .*x\.zip is packed by a method that cannot be read"),
        (8, b"\x09\x00", r"pheno\.csv in .*x\.zip is packed by a method that cannot be read"),
        (8, b"\x0e\x00", r"pheno\.csv in .*x\.zip is damaged or cut short"),
        (8, b"\x0c\x00", r"pheno\.csv in .*x\.zip is damaged or cut short"),
    ],
)
def test_members_that_are_encrypted_or_of_odd_methods(tmp_path, offset, value, message):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.yaml", CONTROL)
        archive.writestr("geno.csv", GENO)
        archive.writestr("pheno.csv", TRAITS)
        start = archive.getinfo("pheno.csv").header_offset
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    content[start + offset : start + offset + 2] = value
    content[central + offset + 2 : central + offset + 4] = value
    path.write_bytes(content)
    with pytest.raises(blmm.InputError, match=message):
        blmm.read_rqtl2(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_of_packing(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        for name, text in (("x.yaml", CONTROL), ("geno.csv", GENO), ("pheno.csv", TRAITS)):
            archive.writestr(name, text)
    assert blmm.read_rqtl2(tmp_path / "x.zip").sizes["traits"] == 1


def test_a_name_that_no_system_allows(folder):
    control = json.dumps({"crosstype": "f2", "geno": "geno.csv", "pheno": "nul\0"})
    with pytest.raises(blmm.InputError, match=r"the path 'nul\\x00' names nothing"):
        read(folder, control, "cross.json")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_members_of_one_name_are_refused(tmp_path):
    members = [("cross.yaml", CONTROL), ("geno.csv", GENO), ("pheno.csv", TRAITS)]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, text in [*members, ("pheno.csv", TRAITS.replace("4", "5"))]:
            archive.writestr(name, text)
    with pytest.raises(blmm.InputError, match=r"x\.zip holds more than one file .* 'pheno\.csv'"):
        blmm.read_rqtl2(tmp_path / "x.zip")
