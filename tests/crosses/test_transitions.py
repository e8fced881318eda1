"""Starts and transitions of each type of cross: against R/qtl2's tables, and laws."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from bulklmm_dask.crosses.types import cross_of, is_cross
from bulklmm_dask.errors import InputError

# Type and cross_info of every kind that the tables have, and hsf1, which they lack.
KINDS = [
    ("bc", ""),
    ("dh", ""),
    ("haploid", ""),
    ("riself", ""),
    ("risib", "0"),
    ("risib", "1"),
    ("f2", "0"),
    ("f2", "1"),
    ("f2pk", "0"),
    ("f2pk", "1"),
    ("ail", "6:0"),
    ("ail", "5:1"),
    ("ail", "9:2"),
    ("riself4", "2:4:1:3"),
    ("riself8", "3:1:8:6:2:5:7:4"),
    ("riself16", "3:1:8:6:2:5:7:4:9:10:11:12:13:14:15:16"),
    ("risib4", "2:4:1:3"),
    ("risib8", "3:1:8:6:2:5:7:4"),
    ("magic19", ""),
    ("do", "5"),
    ("do", "20"),
    ("hs", "10"),
    ("dof1", "6"),
    ("hsf1", "6"),
    ("ail3", "8"),
    ("dh6", "4"),
    ("genril8", "7:1:1:1:1:1:1:1:1"),
    ("genail4", "9:1:2:3:4"),
]
EVERY = [
    pytest.param(name, info, x, female, id=f"{name}-{info}-{'X' if x else 'A'}-{'mf'[female]}")
    for name, info in KINDS
    for x, female in ((False, True), (True, True), (True, False))
]


def numbers(info):
    return tuple(map(int, info.split(":"))) if info else ()


def chain_of(name, info, x, female):
    return cross_of(name).chain(numbers(info), x=x, female=female)


@pytest.fixture(scope="module")
def tables(reference):
    table = pd.read_csv(
        reference / "crosses" / "transition_tables.csv.gz", dtype={"info": str}
    ).fillna({"info": ""})
    table["value"] = np.exp(table["log_value"])
    return dict(list(table.groupby(["crosstype", "info", "x_chr", "female"])))


def test_all_types_of_the_tables_are_known(tables):
    assert {name for name, *_ in tables} <= {name for name, _ in KINDS}


# R/qtl2's X of females of a balanced intercross is approximate; `test_x_of_an_advanced_intercross`
# has the law. The others are in no table.
NOT_COMPARED = ("ail-9:2-X-f", "ail-5:1", "hsf1")


@pytest.mark.parametrize(
    ("name", "info", "x", "female"),
    [one for one in EVERY if not str(one.id).startswith(NOT_COMPARED)],
)
def test_as_in_r_qtl2(name, info, x, female, tables):
    table = tables[name, info, x, female]
    start = table[table["kind"] == "init"]
    place = {state: at for at, state in enumerate(start["from"])}
    chain = chain_of(name, info, x, female)
    np.testing.assert_allclose(chain.start, start["value"], atol=1e-8)
    steps = table[table["kind"] == "step"]
    before, after = (steps[end].astype(int).map(place).to_numpy() for end in ("from", "to"))
    fractions, at = np.unique(steps["rec_frac"], return_inverse=True)
    found = chain.transition(fractions)[at, before, after]
    expected = steps["value"].to_numpy()
    if name == "ail3" and len(place) == 6:
        # R/qtl2's rows from a homozygote lack a factor of 2 to heterozygotes, so that they sum to
        # less than 1.
        letters = [state.alleles for state in chain.states]
        same = np.array([i == j for i, j in letters])
        expected = np.where(same[before] & ~same[after] & (before != after), 2, 1) * expected
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize(("name", "info", "x", "female"), EVERY)
def test_a_transition_is_a_distribution_and_keeps_the_start(name, info, x, female):
    chain = chain_of(name, info, x, female)
    assert chain.start.sum() == pytest.approx(1, abs=1e-14)
    matrices = chain.transition(np.array([0, 1e-8, 0.003, 0.1, 0.37, 0.5]))
    assert (matrices > -1e-15).all()
    np.testing.assert_allclose(matrices.sum(2), 1, atol=1e-13)
    np.testing.assert_allclose(chain.start @ matrices - chain.start, 0, atol=1e-13)
    np.testing.assert_allclose(matrices[0], np.eye(len(chain.states)), atol=1e-13)
    balance = chain.start[:, None] * matrices  # reading a chromosome from its other end
    np.testing.assert_allclose(balance, balance.transpose(0, 2, 1), atol=1e-13)


@pytest.mark.parametrize("name", ["bc", "dh", "haploid", "f2", "f2pk"])
@pytest.mark.parametrize(("x", "female"), [(False, True), (True, True), (True, False)])
def test_two_steps_of_one_meiosis_are_one_of_haldanes_sum(name, x, female):
    chain = chain_of(name, "1" if name.startswith("f2") else "", x, female)
    one, other = 0.07, 0.21
    first, second, whole = chain.transition(np.array([one, other, one + other - 2 * one * other]))
    np.testing.assert_allclose(first @ second, whole, atol=1e-14)


@pytest.mark.parametrize(("direction", "shared"), [(0, 1.0), (1, 0.0), (2, 0.5)])
@pytest.mark.parametrize("generations", [2, 3, 6, 9])
def test_x_of_an_advanced_intercross(generations, direction, shared):
    """Whole populations: the joint distribution of a female's two haplotypes, and a male's."""
    r = 0.13
    haplotypes = list(product((0, 1), repeat=2))  # founder at two loci
    where = {haplotype: i for i, haplotype in enumerate(haplotypes)}
    egg = np.zeros((4, 4, 4))  # of a mother's two haplotypes
    for i, j in product(range(4), repeat=2):
        a, b = haplotypes[i], haplotypes[j]
        for gamete, chance in (((a[0], a[1]), 1 - r), ((a[0], b[1]), r)):
            egg[i, j, where[gamete]] += chance / 2
        for gamete, chance in (((b[0], b[1]), 1 - r), ((b[0], a[1]), r)):
            egg[i, j, where[gamete]] += chance / 2
    a, b = where[0, 0], where[1, 1]
    females, males = np.zeros((4, 4)), np.zeros(4)
    females[a, b], females[b, a] = shared, 1 - shared  # her mother's first
    males[a], males[b] = shared, 1 - shared
    for _ in range(generations - 1):
        eggs = np.einsum("ij,ijk->k", females, egg)
        females, males = np.outer(eggs, males), eggs
    for female, one in ((True, (females.sum(0) + females.sum(1)) / 2), (False, males)):
        chain = chain_of("ail", f"{generations}:{direction}", True, female)
        pair = one.reshape(2, 2)
        step = pair / pair.sum(1, keepdims=True)
        matrix = chain.transition(np.array([r]))[0]
        if not female:
            np.testing.assert_allclose(chain.start, pair.sum(1), atol=1e-14)
            np.testing.assert_allclose(matrix, step, atol=1e-13)
        else:
            share = pair.sum(1)
            np.testing.assert_allclose(chain.start[[0, 2]], share**2, atol=1e-14)
            np.testing.assert_allclose(matrix[0, 0], step[0, 0] ** 2, atol=1e-13)
            np.testing.assert_allclose(matrix[2, 2], step[1, 1] ** 2, atol=1e-13)


@pytest.mark.parametrize(("stock", "f1"), [("do", "dof1"), ("hs", "hsf1")])
@pytest.mark.parametrize(("x", "female"), [(False, True), (True, True), (True, False)])
def test_an_f1_has_one_haplotype_of_its_stock(stock, f1, x, female):
    r = np.array([0.004, 0.2])
    one = chain_of(f1, "7", x, female).transition(r)
    whole = chain_of(stock, "7", x, female).transition(r)
    if female:
        homozygous = [i * (i + 3) // 2 for i in range(8)]
        whole = whole[:, homozygous][:, :, homozygous]
        one = one**2
    np.testing.assert_allclose(one, whole, atol=1e-14)


def test_an_unknown_type_is_refused_with_those_there_are():
    assert not is_cross("cc")
    assert not is_cross("genril")
    with pytest.raises(InputError, match=r"unknown type of cross 'cc'.* f2, .*genrilK"):
        cross_of("cc")
