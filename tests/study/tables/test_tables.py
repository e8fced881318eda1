"""Delimited text: every dialect by one parser, with file, line and column in its errors."""

from __future__ import annotations

import gzip
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import told

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.tables import frame as frames
from bulklmm_dask.study.tables.dialects import Dialect, blanks
from bulklmm_dask.study.tables.frame import read_frame
from bulklmm_dask.study.tables.read import read_columns, read_numbers, read_text
from bulklmm_dask.study.tables.tablefile import TableFile, open_table


def records_of(path, dialect):
    with TableFile.at(path, dialect).records() as records:
        return [(records.number, record) for record in records]


@pytest.mark.parametrize(
    ("text", "dialect", "expected"),
    [
        ("a,b\n\n# c,d\n1,2\n", Dialect(), [(1, ["a", "b"]), (4, ["1", "2"])]),
        ('a,"b,c"\n', Dialect(), [(1, ["a", "b,c"])]),
        ('a,"b\nc"\nd,e\n', Dialect(), [(2, ["a", "b\nc"]), (3, ["d", "e"])]),
        ('a\t"b"\n', Dialect("\t", quotes=False), [(1, ["a", '"b"'])]),
        ("a;b\r\n", Dialect(";"), [(1, ["a", "b"])]),
        ("% x\na b\n", Dialect(" ", comment="%"), [(2, ["a", "b"])]),
        ("#IID a\n x \t 1  2\n\n", blanks(frozenset()), [(1, ["#IID", "a"]), (2, ["x", "1", "2"])]),
        ("r, A,T 1\n", blanks(frozenset(), commas=True), [(1, ["r", "A", "T", "1"])]),
        ("r,A\n", blanks(frozenset()), [(1, ["r,A"])]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_dialects(tmp_path, text, dialect, expected, packed):
    path = tmp_path / ("t.txt.gz" if packed else "t.txt")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert records_of(path, dialect) == expected


@pytest.mark.parametrize("sep", [",", "\t", ";"])
def test_the_separator_is_seen(tmp_path, sep):
    path = tmp_path / "t.txt"
    path.write_text(f"# a note, with commas, many\nid{sep}t 1{sep}t2\nx{sep}1{sep}NA\n")
    file = open_table(path)
    assert file.dialect.sep == sep
    assert read_columns(file) == ["id", "t 1", "t2"]
    table = read_numbers(file)
    assert (table.rows, table.columns, table.lines) == (["x"], ["t 1", "t2"], [3])
    np.testing.assert_array_equal(table.values, [[1, np.nan]])


def test_a_table_as_R_writes_it(tmp_path):  # noqa: N802
    path = tmp_path / "t.csv"
    path.write_text('"t1","t2"\n"a",1,2\n"b",3,4\n')
    table = read_numbers(open_table(path))
    assert (table.corner, table.rows, table.lines) == ("", ["a", "b"], [2, 3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,t\na,1\nb,x\n", r"t\.csv, line 3 \('b'\), column 't': 'x' is not a number"),
        ("id,t\n# note\na,1,2,3\n", r"t\.csv, line 3: 4 fields, but the header has 2"),
        ("id,t\na,1\n,2\n", r"t\.csv: row 2 below the header has no name .* in line 3"),
        ("", r"t\.csv is empty"),
        ("# nrow 3\nid,t\na,1\n", r"t\.csv says nrow 3 in its comments but has 1"),
        ("id,,t\na,1,2\n", r"t\.csv, line 1: column 2 has no name in the header"),
        ("id,t,\na,1,2\n", r"t\.csv, line 1: column 3 has no name in the header"),
        ("id,t\na,1,\nb,2,3\n", r"t\.csv, line 2: 3 fields, but the header has 2"),
        ("id,t\na,1,\nb,2\nc,3,4\n", r"t\.csv, line 2: 3 fields, but the header has 2"),
        ("id,t\na,1,\nb,2\n", r"t\.csv, line 3: 2 fields, .* has 2 and .* 1 empty field"),
    ],
)
@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_errors_say_where(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_numbers(TableFile.at(path, Dialect()))


def test_fields_without_a_header(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("a 1 NA\nb 2\nc 3 x\n")
    with TableFile.at(path, blanks(frozenset({"NA"}))).records() as records:
        first, second, third = iter(records)
        np.testing.assert_array_equal(records.numbers(first[1:]), [1, np.nan])
        with pytest.raises(InputError, match=r"t\.txt, line 3: 2 fields instead of 3 \(all of it"):
            records.expect(second, 3, "all of it")
        with pytest.raises(InputError, match=r"line 3: dosage 2 is 'x', which is not a number"):
            records.numbers(third[1:], "dosage")


def test_text_columns_and_tables_of_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,sex,t,u\na, f ,1,2\nb,NA,3,4\n")
    table = read_numbers(open_table(path), ["sex"])
    assert table.text == {"sex": ["f", ""]}
    assert table.columns == ["t", "u"]
    assert read_text(open_table(path)).by_column(names=True) == {
        "id": ["a", "b"],
        "sex": ["f", ""],
        "t": ["1", "3"],
        "u": ["2", "4"],
    }


def test_a_frame_keeps_names_as_they_are(tmp_path):
    path = tmp_path / "hits.csv"
    path.write_text("trait,contig,position,lod,cis\nNA,1,,5,cis\n#2,01,3.5,6.5,trans\n")
    dialect = Dialect(missing=frozenset(), comment="")
    frame = read_frame(TableFile.at(path, dialect), ("trait", "contig"), ("position", "lod"))
    assert list(frame["trait"]) == ["NA", "#2"]
    assert list(frame["contig"]) == ["1", "01"]
    assert list(frame["cis"]) == ["cis", "trans"]
    np.testing.assert_array_equal(frame["position"], [np.nan, 3.5])
    assert frame["lod"].sum() == 11.5
    path.write_text("trait,lod,lod\na,1,2\n")
    with pytest.raises(InputError, match=r"the columns of .*hits\.csv must be unique"):
        read_frame(TableFile.at(path, dialect), (), ())
    path.write_text("trait,lod\na,5\n\nb,high\n")
    with pytest.raises(InputError, match=r"hits\.csv, line 4, column 'lod': 'high' is"):
        read_frame(TableFile.at(path, dialect), ("trait",), ("lod",))


@given(
    st.lists(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2), min_size=1, max_size=5),
    st.sampled_from([",", "\t", ";"]),
)
def test_numbers_come_back_exactly(tmp_path_factory, rows, sep):
    path = tmp_path_factory.mktemp("t") / "t.txt"
    lines = [sep.join(["id", "a", "b"])]
    lines += [sep.join([f"s{i}", *map(repr, row)]) for i, row in enumerate(rows)]
    path.write_text("\n".join(lines))
    table = read_numbers(open_table(path))
    np.testing.assert_array_equal(table.values, rows)
    assert table.lines == list(range(2, len(rows) + 2))


def test_a_column_may_turn_into_text_late(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "_BATCH", 2)
    path = tmp_path / "t.csv"
    path.write_text("trait,note,lod\na,1,1\nb,2,2\nc,late,3\n")
    frame = read_frame(TableFile.at(path, Dialect()), ("trait",), ("lod",))
    assert list(frame["note"]) == ["1", "2", "late"]
    np.testing.assert_array_equal(frame["lod"], [1, 2, 3])
    path.write_text("trait,lod\n")
    empty = read_frame(TableFile.at(path, Dialect()), ("trait",), ("lod",))
    assert empty.shape == (0, 2)
    assert empty["lod"].dtype == np.float64


ENDS = {
    "every row": ("id,t1,t2", ["a,1,9,", "b,2,8,", "c,4,,"]),
    "every row, twice": ("id,t1,t2", ["a,1,9,,", "b,2,8,,", "c,4,,,"]),
    "every line": ("id,t1,t2,", ["a,1,9,", "b,2,8,", "c,4,,"]),
    "the header": ("id,t1,t2,,", ["a,1,9", "b,2,8", "c,4,"]),
    "rows as R writes them": ("t1,t2", ["a,1,9,", "b,2,8,", "c,4,,"]),
    "quoted": ('"id","t1","t2"', ['"a",1,9,""', '"b",2,8,""', '"c",4,"",""']),
    "blanks": ("id,t1,t2", ["a,1,9, ", "b,2,8, ", "c,4,, "]),
}


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_at_the_end_of_lines_are_no_column(tmp_path, ends, sep, end):
    header, rows = ENDS[ends]
    path = tmp_path / "t.csv"
    path.write_bytes(end.join([header, *rows, ""]).replace(",", sep).encode())
    for read in (read_numbers, read_text):
        file = open_table(path)
        table, said = told(read, file)
        assert (table.rows, table.columns) == (["a", "b", "c"], ["t1", "t2"])
        cells = (
            table.values
            if read is read_numbers
            else np.where(table.values == "", np.nan, table.values)
        )
        np.testing.assert_array_equal(cells.astype(float), [[1, 9], [2, 8], [4, np.nan]])
        assert ("separators at the end of lines" in said) == (ends != "rows as R writes them")
        assert said.count("t.csv") == bool(said)  # once, though the header is read twice
        assert read_columns(file)[1:] == ["t1", "t2"]


def test_a_last_column_with_gaps_is_a_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("t1,t2\na,1,\nb,2,8\n")
    table = read_numbers(open_table(path))
    assert table.columns == ["t1", "t2"]
    np.testing.assert_array_equal(table.values, [[1, np.nan], [2, 8]])


@pytest.mark.parametrize(
    "text",
    [
        "a,1,9\nb,2,8\nc,4,7\nd,3,6\n",
        "1,0.5,2\n2,0.7,1\n3,0.1,2\n",
        "BXD1,1.25,NA\nBXD2,8.5,3\n",
        "a,S1\nb,S2\nc,S1\n",
        "m1,1,3.5\nm2,1,20\nm3,X,7\n",
        "m1\t0\t1\t2\nm2\t2\t1\t0\n",
        "a,f,3\nb,m,4\nc,f,2\n",
        "a B D\nb D B\nc B D\nd D D\n",
    ],
)
@pytest.mark.parametrize("read", [read_columns, read_text])
def test_a_first_line_of_data_is_no_header(tmp_path, text, read):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"t\.csv, line 1: this first line looks like data.* id"):
        read(open_table(path))


@pytest.mark.parametrize(
    "text",
    [
        "id,10001,10002\na,5,6\nb,5,7\n",
        "BXD,10001,10002\na,5,6\nb,5,7\n",
        "marker,1,2\nm1,0,2\nm2,2,1\n",
        "Mouse_ID,1,2\na,0,2\nb,2,1\n",
        ",1,2,3\n1,1,0.5,0\n2,0.5,1,0\n3,0,0,1\n",
        "1,2\na,1,2\nb,2,1\n",
        "line,sex,f\na,f,1\nb,m,2\n",
        "x7,f,m\na,f,1\nb,m,2\n",
        "tag,t1,9\na,1,9\nb,2,8\n",
    ],
)
def test_headers_that_might_be_data_are_headers(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    table = read_text(open_table(path))
    assert table.columns == text.split("\n")[0].split(",")[-len(table.columns) :]
    assert len(table.rows) == text.count("\n") - 1


@pytest.mark.parametrize(
    ("text", "corner", "rows"),
    [
        ("id,t1,t2\na,1,9\n#b,2,8\n", "id", ["a", "#b"]),
        ("#IID,t1,t2\na,1,9\n#b,2,8\n", "IID", ["a", "#b"]),
        ("#iid\tt1\tt2\na\t1\t9\n#b\t2\t8\n", "iid", ["a", "#b"]),
        ("#sample t1 t2\na 1 9\n#b 2 8\n", "sample", ["a", "#b"]),
        ("# made, by, us\nid,t1,t2\na,1,9\n#b,2,8\n", "id", ["a", "#b"]),
        ("#made,by,us\nid,t1,t2\na,1,9\n#b,2,8\n", "id", ["a", "#b"]),
        ("## version 2\n#IID,t1,t2\na,1,9\n#b,2,8\n", "IID", ["a", "#b"]),
        ("# nrow 2\n\nid,t1,t2\n#b,2,8\na,1,9\n", "id", ["#b", "a"]),
        ('# a "quotation\nid,t1,t2\na,1,9\n#b,2,8\n', "id", ["a", "#b"]),
    ],
)
def test_the_sign_of_comments_in_names(tmp_path, text, corner, rows):
    path = tmp_path / "t.txt"
    path.write_text(text)
    table = read_numbers(open_table(path))
    assert (table.corner, table.rows, table.columns) == (corner, rows, ["t1", "t2"])
    assert table.values[rows.index("#b")].tolist() == [2, 8]


def test_fields_between_blanks(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text('"t 1"   t2\n"a b" 1 2\nc\t3 NA  \n')
    table = read_numbers(open_table(path))
    assert (table.rows, table.columns) == (["a b", "c"], ["t 1", "t2"])
    np.testing.assert_array_equal(table.values, [[1, 2], [3, np.nan]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r,,1,2\n", r"line 1: field 2 is empty .*NA"),
        ("r,1,2\n, 1, 2\n", r"line 2: field 1 is empty"),
        ("r 1 , , 2\n", r"line 1: field 3 is empty"),
    ],
)
def test_commas_with_nothing_between(tmp_path, text, message):
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        records_of(path, blanks(frozenset(), commas=True))


def test_lines_that_end_in_a_comma(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("r, 1 ,2,\ns 3\t4\n")
    found, said = told(records_of, path, blanks(frozenset(), commas=True))
    assert found == [(1, ["r", "1", "2"]), (2, ["s", "3", "4"])]
    assert "t.txt: 1 line end in a comma" in said


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("id;t;u\na;0,5;1\nb;-1,25;NA\n", [[0.5, 1], [-1.25, np.nan]]),
        ("id\tt\tu\na\t,5\t1\nb\t2,5e-3\t7\n", [[0.5, 1], [0.0025, 7]]),
        ("id;t;u\na;1,250;0,5\nb;2,500;3\n", [[1.25, 0.5], [2.5, 3]]),
    ],
)
def test_decimal_commas_are_read_and_said(tmp_path, text, values):
    path = tmp_path / "t.csv"
    path.write_text(text)
    table, said = told(lambda: read_numbers(open_table(path)))
    np.testing.assert_array_equal(table.values, values)
    assert said.count("the commas in its numbers are taken for decimal signs") == 1
    assert said.startswith(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id;t\na;1,250\nb;2,500\n", "line 2 ('a'), column 't': '1,250' is not a number"),
        ("id;t\na;0,5\nb;2.5\n", "line 2 ('a'), column 't': '0,5' is not a number"),
        ("id;t\na;0,5\nb;1,000,000\n", "line 2 ('a'), column 't': '0,5' is not a number"),
        ("id;t\n" + 3000 * "a;0,5\n" + "b;2.5\n", "line 3002: '2.5' has a point, but other num"),
    ],
)
def test_commas_of_unknown_meaning_are_refused(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        told(lambda: read_numbers(open_table(path)))


def test_commas_between_thousands_stay_text(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("marker;chr;pos\nm1;1;5,000,000\nm2;1;250,000\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_text(open_table(path)).by_column()["pos"] == ["5,000,000", "250,000"]
