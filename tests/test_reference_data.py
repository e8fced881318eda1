"""The reference data in tests/data: small, and each with its origin."""

import re


def test_they_are_small(reference):
    sizes = {path: path.stat().st_size for path in reference.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= 3_000_000, sorted(sizes, key=sizes.get)[-5:]


def test_their_origin_is_told(reference):
    told = re.findall(r"^\| `([^`/]+)", (reference / "README.md").read_text(), flags=re.MULTILINE)
    assert set(told) == {each.name for each in reference.iterdir() if each.stem != "README"}
