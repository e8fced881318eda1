"""Delimited text: every dialect by one parser, with file, line and column in its errors."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers import tables
from bulklmm_dask.study.readers.tables import (
    Dialect,
    TableFile,
    blanks,
    open_table,
    read_columns,
    read_frame,
    read_numbers,
    read_text,
)


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
    ],
)
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
    monkeypatch.setattr(tables, "_BATCH", 2)
    path = tmp_path / "t.csv"
    path.write_text("trait,note,lod\na,1,1\nb,2,2\nc,late,3\n")
    frame = read_frame(TableFile.at(path, Dialect()), ("trait",), ("lod",))
    assert list(frame["note"]) == ["1", "2", "late"]
    np.testing.assert_array_equal(frame["lod"], [1, 2, 3])
    path.write_text("trait,lod\n")
    empty = read_frame(TableFile.at(path, Dialect()), ("trait",), ("lod",))
    assert empty.shape == (0, 2)
    assert empty["lod"].dtype == np.float64
