"""Forward and backward, against the sum over all paths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bulklmm_dask._compiled import NUMPY, VARIABLE
from bulklmm_dask.crosses.chains import Listed
from bulklmm_dask.crosses.compiled.posteriors import built
from bulklmm_dask.crosses.emission import expected as expected_of
from bulklmm_dask.crosses.emission import likelihoods
from bulklmm_dask.crosses.hmm import posterior
from bulklmm_dask.crosses.seen import Chromosome
from bulklmm_dask.crosses.steps import steps_of
from bulklmm_dask.crosses.types import cross_of
from bulklmm_dask.lmm.compiled.loops import available

ERROR = 0.02
# Type, and cross_info of individuals that are computed together.
TOGETHER = [
    ("bc", [(), ()]),
    ("dh", [()]),
    ("haploid", [()]),
    ("riself", [()]),
    ("risib", [(0,), (1,)]),
    ("f2", [(0,), (1,)]),
    ("f2pk", [(0,), (1,)]),
    ("ail", [(4, 0), (9, 1), (6, 2)]),
    ("riself4", [(2, 4, 1, 3)]),
    ("riself8", [(3, 1, 8, 6, 2, 5, 7, 4), (1, 2, 3, 4, 5, 6, 7, 8)]),
    ("risib4", [(2, 4, 1, 3), (1, 2, 3, 4)]),
    ("risib8", [(3, 1, 8, 6, 2, 5, 7, 4), (1, 2, 3, 4, 5, 6, 7, 8)]),
    ("do", [(4,), (11,)]),
    ("dof1", [(4,), (11,)]),
    ("ail3", [(3,), (8,)]),
    ("dh6", [(4,)]),
    ("genril3", [(3, 1, 2, 3), (5, 1, 1, 1)]),
    ("genail3", [(3, 1, 2, 3), (5, 1, 1, 1)]),
]
TELLS = {1: "AA", 2: "AB", 3: "BB"}
PART = {4: ("AA", "AB"), 5: ("AB", "BB")}


def chance(call, alleles, cross, x, female, direction):
    """Probability of a call, given the marker's alleles (1, 3 or 0) of the true haplotypes."""
    if call == 0 or all(allele == 0 for allele in alleles):
        return 1.0
    told = PART.get(call, (TELLS.get(call),))
    letters = {1: "A", 3: "B"}
    if 0 in alleles:  # one is unknown
        known = letters[max(alleles)]
        return 1.0 if call == 2 else (1 - ERROR if known * 2 in told else ERROR)
    true = "".join(sorted(letters[allele] for allele in alleles))
    name = "f2" if cross.name == "f2" else cross.name.rstrip("0123456789")
    if name in ("do", "hs", "ail", "genail", "f2", "f2pk") and not (x and not female):
        possible = ("AA", "AB", "BB")
        if name in ("f2", "f2pk") and x:
            possible = ("AA", "AB") if direction == 0 else ("AB", "BB")
    elif name == "dof":
        possible = ("AA", "AB", "BB")
    elif name == "bc" and not (x and not female):
        possible = ("AA", "AB")
    else:
        possible = ("AA", "BB")
    if len(possible) == 3:
        if len(told) == 1:
            return 1 - ERROR if true in told else ERROR / 2
        return 1 - ERROR / 2 if true in told else ERROR
    left = set(told) & set(possible)
    if len(left) != 1:
        several = name in ("riself", "risib", "dh", "genril", "magic") and cross.founders > 2
        return ERROR if several else 1.0
    return 1 - ERROR if true in left else ERROR


def brute(chain, r, emissions):
    """Posterior (positions, states) as a sum over all paths; emissions (positions, states)."""
    count, states = emissions.shape
    steps = chain.transition(r)
    whole = np.ones((states,) * count)
    for position in range(count):
        shape = [1] * count
        shape[position] = states
        whole = whole * emissions[position].reshape(shape)
        if position == 0:
            whole = whole * chain.start.reshape(shape)
        else:
            shape[position - 1] = states
            whole = whole * steps[position - 1].reshape(shape)
    sums = [whole.sum(tuple(set(range(count)) - {position})) for position in range(count)]
    return np.array(sums) / whole.sum()


@pytest.mark.parametrize("x", [False, True], ids=["A", "X"])
@pytest.mark.parametrize(("name", "infos"), TOGETHER, ids=[name for name, _ in TOGETHER])
def test_as_the_sum_over_all_paths(name, infos, x, monkeypatch):
    rng = np.random.default_rng(5)
    cross = cross_of(name)
    kinds = [(info, female) for info in infos for female in (True, False)]
    chains = [cross.chain(info, x=x, female=female) for info, female in kinds]
    positions = 4 if max(len(chain.states) for chain in chains) > 19 else 6
    marker = np.arange(positions) - (np.arange(positions) >= 3)
    marker[2] = -1  # a position without a marker
    r = rng.uniform(0.001, 0.3, positions - 1)
    r[0] = 1e-8
    parents = cross.founders + cross.tester
    founders = rng.choice([0, 1, 1, 3, 3], (positions - 1, parents))
    if cross.founders == 2:
        founders[:] = 1, 3
    which = np.tile(np.arange(len(chains)), 3)
    calls = rng.choice([0, 1, 2, 3, 4, 5], (positions - 1, len(which)), p=[0.1, *[0.18] * 5])
    labels = list(dict.fromkeys(state for chain in chains for state in chain.states))
    columns = [np.array([labels.index(state) for state in chain.states]) for chain in chains]
    args = (Chromosome(r, marker, founders), chains, which, columns, calls, ERROR, len(labels))
    found = posterior(*args)
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-6)
    for loops in available():
        monkeypatch.setenv(VARIABLE, loops)
        np.testing.assert_allclose(posterior(*args), found, atol=3e-7)
    for individual, number in enumerate(which):
        chain, (info, female) = chains[number], kinds[number]
        emissions = np.ones((positions, len(chain.states)))
        for position, row in enumerate(marker):
            if row < 0:
                continue
            for at, state in enumerate(chain.states):
                alleles = [founders[row, founder] for founder in state.alleles]
                pair = (alleles[0], alleles[-1])
                direction = info[-1] if info else 0
                emissions[position, at] = chance(
                    calls[row, individual], pair, cross, x, female, direction
                )
        expected = np.zeros((positions, len(labels)))
        expected[:, columns[number]] = brute(chain, r, emissions)
        np.testing.assert_allclose(found[:, individual], expected, atol=2e-7)


@pytest.mark.parametrize(("name", "info"), [("do", (9,)), ("f2", (0,)), ("magic19", ())])
def test_steps_by_sums_are_those_by_products(name, info):
    rng = np.random.default_rng(2)
    chain = cross_of(name).chain(info, x=False, female=True)
    r = np.array([0.001, 0.3, 0.5])
    which = np.zeros(7, dtype=np.int64)
    plain = steps_of([Listed(chain.states, chain.transition, chain.seen)], which, r)
    fast = steps_of([chain], which, r)
    vectors = rng.random((7, len(chain.states)))
    for interval in range(3):
        scales = []
        for way in ("forward", "backward"):
            found, expected = np.empty_like(vectors), np.empty_like(vectors)
            getattr(fast, way)(interval, vectors.copy(), found)
            getattr(plain, way)(interval, vectors.copy(), expected)
            scales.append(found / expected)
        # Up to one scale for each individual, the same in both directions.
        own = scales[0][:, :1]
        np.testing.assert_allclose(scales, np.broadcast_to(own, (2, *vectors.shape)), rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "info"), [("do", (9,)), ("f2", (0,)), ("risib8", (*range(1, 9),))]
)
@pytest.mark.parametrize("x", [False, True])
def test_without_data_the_start_is_everywhere(name, info, x):
    cross = cross_of(name)
    chain = cross.chain(info, x=x, female=True)
    chromosome = Chromosome(
        np.full(9, 0.05), np.arange(10), np.ones((10, cross.founders), dtype=np.int8)
    )
    calls = np.zeros((10, 1), dtype=np.int8)
    columns = [np.arange(len(chain.states))]
    args = (chromosome, [chain], np.zeros(1, dtype=np.int64), columns, calls)
    found = posterior(*args, 1e-4, len(chain.states))
    np.testing.assert_allclose(found[:, 0], np.tile(chain.start, (10, 1)), atol=1e-7)


@pytest.mark.parametrize("error", [1e-12, 1e-4])
def test_long_chromosomes_of_contradictory_calls_do_not_underflow(error):
    """Every second marker says the other homozygote: each call may be the wrong one."""
    chain = cross_of("f2").chain((0,), x=False, female=True)
    count = 5000
    chromosome = Chromosome(
        np.full(count - 1, 1e-8), np.arange(count), np.tile(np.int8([1, 3]), (count, 1))
    )
    calls = np.where(np.arange(count) % 2, 1, 3).astype(np.int8)[:, None]
    args = (chromosome, [chain], np.zeros(1, dtype=np.int64), [np.arange(3)], calls)
    found = posterior(*args, error, 3)
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-6)
    np.testing.assert_allclose(found[:, 0, 0], found[::-1, 0, 2], atol=1e-6)


def test_calls_are_read_by_what_a_hemizygous_male_can_have():
    """A heterozygous call of a male's X tells nothing."""
    cross = cross_of("f2")
    chain = cross.chain((0,), x=True, female=False)
    for call, expected in product((2, 0), ((0.5, 0.5),)):
        chromosome = Chromosome(np.empty(0), np.zeros(1, np.int64), np.int8([[1, 3]]))
        args = (chromosome, [chain], np.zeros(1, np.int64), [np.arange(2)], np.int8([[call]]))
        assert posterior(*args, 1e-4, 2)[0, 0].tolist() == list(expected)


def plain_posterior(chain, chromosome, calls, error):
    """Forward and backward of one individual by products of matrices, scaled at each position."""
    table = likelihoods(chain.seen, error)
    rows = expected_of(chain.states, chromosome.founders)
    count = len(chromosome.marker)
    seen = np.ones((count, len(chain.states)))
    for position, row in enumerate(chromosome.marker):
        if row >= 0:
            seen[position] = table[rows[row], calls[row]]
    seen[:, chain.start == 0] = 0  # of founders that have no share
    steps = chain.transition(chromosome.fraction)
    before, after = np.empty((2, *seen.shape))
    before[0] = chain.start
    for position in range(1, count):
        alpha = before[position - 1] * seen[position - 1]
        before[position] = alpha / alpha.sum() @ steps[position - 1]
    after[-1] = 1
    for position in range(count - 1, 0, -1):
        beta = after[position] * seen[position]
        after[position - 1] = steps[position - 1] @ (beta / beta.sum())
    whole = before * seen * after
    return whole / whole.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("loops", available())
@pytest.mark.parametrize("name", ["do", "f2", "magic19", "riself8"])
def test_long_chromosomes_of_contradicting_calls(name, loops, monkeypatch):
    """Vectors that lose hundreds of decimal places, gaps without linkage, and no distance."""
    monkeypatch.setenv(VARIABLE, loops)
    rng = np.random.default_rng(4)
    cross = cross_of(name)
    infos = {"do": [(4,), (9,), (30,)], "riself8": [(*range(1, 9),)]}.get(
        name, [cross.info.default]
    )
    chains = [cross.chain(info, x=False, female=True) for info in infos]
    positions, individuals = 160, 38
    marker = np.where(
        np.arange(positions) % 5 == 4, -1, np.cumsum(np.arange(positions) % 5 < 4) - 1
    )
    founders = rng.choice([0, 1, 3], (marker.max() + 1, cross.founders), p=[0.1, 0.45, 0.45])
    if cross.two_way:
        founders = np.tile([1, 3], (len(founders), 1))
    fraction = rng.choice([1e-8, 1e-5, 0.002, 0.1, 0.5], positions - 1)
    chromosome = Chromosome(fraction, marker, founders)
    calls = rng.choice([0, 1, 2, 3, 5], (len(founders), individuals)).astype(np.uint8)
    which = rng.integers(0, len(chains), individuals)
    columns = [np.arange(len(chains[0].states))] * len(chains)
    found = posterior(chromosome, chains, which, columns, calls, 1e-4, len(chains[0].states))
    for individual, number in enumerate(which):
        expected = plain_posterior(chains[number], chromosome, calls[:, individual], 1e-4)
        np.testing.assert_allclose(found[:, individual], expected, atol=3e-7)


@pytest.mark.parametrize("loops", available())
@pytest.mark.parametrize("x", [False, True])
@pytest.mark.parametrize("name", ["genril4", "genail4"])
def test_calls_of_a_founder_that_no_individual_descends_from(name, x, loops, monkeypatch):
    """Such calls are errors, however many: its states are impossible."""
    monkeypatch.setenv(VARIABLE, loops)
    cross = cross_of(name)
    chain = cross.chain((5, 2, 0, 1, 1), x=x, female=False)
    positions = 300
    founders = np.tile([1, 3, 1, 3], (positions, 1))
    founders[::2] = [1, 3, 1, 1]
    founders[-20:] = [1, 3, 3, 1]
    calls = np.full((positions, 2), 3, np.uint8)  # those of the second founder
    calls[:, 1] = 1
    chromosome = Chromosome(np.full(positions - 1, 1e-8), np.arange(positions), founders)
    columns = np.arange(len(chain.states))
    which = np.zeros(2, int)
    found = posterior(chromosome, [chain], which, [columns], calls, 1e-4, len(columns))
    np.testing.assert_allclose(found.sum(axis=2), 1.0, atol=3e-6)
    assert (found[:, :, chain.start == 0] == 0).all()
    for individual in range(2):
        expected = plain_posterior(chain, chromosome, calls[:, individual], 1e-4)
        np.testing.assert_allclose(found[:, individual], expected, atol=3e-6)


@pytest.mark.parametrize("loops", available()[1:])
@pytest.mark.parametrize("individuals", [0, 1, 4, 63, 64, 65, 130])
@pytest.mark.parametrize(
    ("name", "info"), [("do", (9,)), ("genail3", (5, 1, 2, 3)), ("magic19", ())]
)
def test_compiled_loops_of_any_number_of_individuals(name, info, individuals, loops, monkeypatch):
    """Individuals of several kinds and places, scattered states, calls of all codes."""
    rng = np.random.default_rng(individuals)
    cross = cross_of(name)
    chains = [cross.chain(info, x=False, female=True)] * 2 + [
        cross.chain(cross.info.default, x=True, female=False)
    ]
    which = rng.choice([0, 2, 2], individuals)
    states = [len(chain.states) for chain in chains]
    labels = max(states) + 3
    columns = [np.sort(rng.choice(labels, count, replace=False)) for count in states]
    founders = rng.choice([0, 1, 3], (5, cross.founders))
    chromosome = Chromosome(
        rng.uniform(0, 0.5, 8), np.array([-1, 0, 1, -1, -1, 2, 3, 4, -1]), founders
    )
    calls = rng.integers(0, 6, (5, individuals))
    args = (chromosome, chains, which, columns, calls, 0.01, labels)
    found = {}
    for each in (NUMPY, loops):
        monkeypatch.setenv(VARIABLE, each)
        found[each] = posterior(*args)
    np.testing.assert_allclose(found[loops], found[NUMPY], atol=3e-7)


@pytest.mark.skipif(built() is None, reason="the loops were not built")
@pytest.mark.parametrize("wrong", range(14))
def test_the_loop_refuses_arrays_beyond_which_it_would_read(wrong):
    """Of another size or dtype; and numbers of rows that are not there."""
    good = [
        *(np.full((2, 1), 0.9), np.zeros(3, np.int64), np.full(2, 0.5), np.full(3, 1 / 3)),
        *(np.full((6, 6), 0.5), np.zeros((2, 3), np.uint8), np.array([0, -1, 1])),
        *(np.zeros((2, 3), np.uint8), np.arange(3), np.arange(3), np.zeros((3, 3, 3), np.float32)),
        *(np.zeros((3, 3, 64), np.float32), np.zeros((3, 64)), np.zeros((3, 64))),
    ]
    sizes = (3, 3, 3, 2, 1, 2, 3, 3, 2, 2)
    built().chains(tuple(good), sizes, 0)
    np.testing.assert_allclose(good[10].sum(axis=2), 1, atol=1e-6)
    bad = [good[wrong].ravel()[:-1], good[wrong].astype(np.complex128)]
    if good[wrong].dtype.kind in "iu":
        bad.append(good[wrong] + 40)
    for one in bad:
        with pytest.raises(ValueError, match="has to"):
            built().chains((*good[:wrong], one, *good[wrong + 1 :]), sizes, 0)
