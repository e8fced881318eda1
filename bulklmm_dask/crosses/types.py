"""Types of crosses: chains of their individuals by chromosome, sex and ``cross_info``.

The names are those of R/qtl2, and so are the numbers in ``cross_info``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bulklmm_dask.crosses import recombination
from bulklmm_dask.crosses.chains import Chain, Listed, Mixing, MixingPair, even, stay_of
from bulklmm_dask.crosses.info import (
    AIL,
    DIRECTION,
    GENERATIONS,
    GENERATIONS_FROM_2,
    NOTHING,
    InfoForm,
    order,
    weighted,
)
from bulklmm_dask.crosses.states import (
    State,
    haplotypes,
    hemizygotes,
    homozygotes,
)
from bulklmm_dask.errors import InputError
from bulklmm_dask.typing import Array

Info = tuple[int, ...]


@dataclass(frozen=True)
class Cross:
    """A type of cross.

    Attributes
    ----------
    name : str
        Its name in R/qtl2.
    founders : int
        Founders whose letters name the genotypes.
    autosome : callable
        Chain of an individual on an autosome, by its cross_info.
    x : callable, optional
        Chain on the X, by cross_info and whether the individual is female; by default that of
        autosomes.
    info : InfoForm
        What cross_info holds.
    alike : bool
        Whether autosomes are alike whatever cross_info is.
    tester : bool
        Whether all individuals have one more founder, the last one.
    two_way : bool
        Whether its founders are A and B at every marker, so that calls tell them.
    """

    name: str
    founders: int
    autosome: Callable[[Info], Chain]
    x: Callable[[Info, bool], Chain] | None = None
    info: InfoForm = NOTHING
    alike: bool = False
    tester: bool = False
    two_way: bool = False

    def chain(self, info: Info, *, x: bool, female: bool) -> Chain:
        """Chain of an individual on a chromosome."""
        return self.x(info, female) if x and self.x is not None else self.autosome(info)

    @property
    def sexed(self) -> bool:
        """Whether genotypes on the X depend on the sex."""
        if self.x is None:
            return False
        one, other = (self.x(self.info.default, female).states for female in (True, False))
        return one != other

    def kind(self, info: Info, *, x: bool, female: bool) -> tuple[Info, bool]:
        """What an individual's chain depends on, with the rest set to one value."""
        if x and self.x is not None:
            return info, female or not self.sexed
        return (self.info.default if self.alike else info), True

    def states(self, *, x: bool) -> list[State]:
        """All true genotypes: those of autosomes, and with `x` those of the X after them."""
        every = [*self.autosome(self.info.default).states]
        if x and self.x is not None:
            for female in (True, False):
                for info in self.info.samples:
                    every += self.x(info, female).states
        return every


_AA, _AB, _BA, _BB = State((0,)), State((0, 1)), State((1, 0)), State((1,))
_HALF = even(2)


def _plain(r: Array) -> Array:
    return 1 - 2 * r


def _hemizygous(founders: int, stay: Callable[[Array], Array]) -> Mixing:
    return Mixing(hemizygotes(founders), even(founders), stay, "alike")


def _backcross_x(info: Info, female: bool) -> Chain:
    return _backcross(info) if female else _hemizygous(2, _plain)


def _backcross(info: Info) -> Chain:
    return Mixing((_AA, _AB), _HALF, _plain, "to A")


def _two_way(stay: Callable[[Array], Array], states: tuple[State, ...] | None = None) -> Chain:
    return Mixing(states or homozygotes(2), _HALF, stay, "alike")


def _risib_x(info: Info, female: bool) -> Chain:
    weights = (2 / 3, 1 / 3) if info[0] == 0 else (1 / 3, 2 / 3)
    return Mixing(homozygotes(2), weights, lambda r: (1 - 2 * r) / (1 + 4 * r), "alike")


def _f2_x(info: Info, female: bool) -> Chain:
    if not female:
        return _hemizygous(2, _plain)
    if info[0] == 0:
        return Mixing((_AA, _AB), _HALF, _plain, "to A")
    return Mixing((_BA, _BB), _HALF, _plain, "to B")


def _phased(r: Array) -> Array:
    one = Mixing((), _HALF, _plain, "").transition(r)
    return np.einsum("nik,njl->nijkl", one, one).reshape(len(r), 4, 4)


def _ail(info: Info) -> Chain:
    return MixingPair(_HALF, stay_of(lambda r: recombination.intercrossed(r, info[0]), 2))


def _ail_x(info: Info, female: bool) -> Chain:
    generations, direction = info
    both = partial(recombination.intercrossed_x, generations=generations, female=female)
    share, _ = both(np.zeros(1), direction=2 if direction == 2 else 0)

    def stay(r: Array) -> Array:
        _, one_founder = both(r, direction=2 if direction == 2 else 0)
        return (one_founder / share - share) / (1 - share)

    weights = (1 - share, share) if direction == 1 else (share, 1 - share)
    if female:
        return MixingPair(weights, stay)
    return Mixing(hemizygotes(2), weights, stay, "alike")


def _lines(founders: int, stay: Callable[[Array], Array]) -> Chain:
    return Mixing(homozygotes(founders), even(founders), stay, "inbred")


def _riself(levels: int) -> Callable[[Info], Chain]:
    """Lines by selfing of 2^levels founders, which were crossed in pairs, fours and so on."""

    def chain(info: Info) -> Chain:
        place = np.argsort(info)  # of each founder in the order of the cross
        # 1 for founders crossed with each other, 2 for those of one four, and so on.
        apart = sum((place[:, None] >> level) != (place >> level) for level in range(levels))
        apart = np.minimum(apart, levels - 1)

        def matrix(r: Array) -> Array:
            same = [(1 - r) ** (levels - 1)]
            joined = [
                r * (1 - r) ** (levels - 1 - level) / 2 ** (level - 1)
                for level in range(1, levels - 1)
            ]
            other = [r / 2 ** (levels - 2)]
            return (np.stack([*same, *joined, *other], 1) / (1 + 2 * r)[:, None])[:, apart]

        return Listed(homozygotes(2**levels), matrix, "inbred")

    return chain


def _risib4_x(info: Info, female: bool) -> Chain:
    states = tuple(State((founder - 1,)) for founder in info[:3])
    return Mixing(states, even(3), lambda r: 1 - 6 * r / (1 + 4 * r), "inbred")


def _risib8_x(info: Info, female: bool) -> Chain:
    states = tuple(State((info[place] - 1,)) for place in (0, 1, 2, 4, 5))
    weights = (1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6)
    return Mixing(states, weights, lambda r: 1 - 6 * r / (1 + 4 * r), "inbred")


def _outbred_stay(shares: dict[int, float], generations: int) -> Callable[[Array], Array]:
    return stay_of(lambda r: recombination.outbred(r, generations, shares), 8)


def _outbred_stay_x(
    shares: dict[int, float], generations: int, female: bool
) -> Callable[[Array], Array]:
    return stay_of(lambda r: recombination.outbred_x(r, generations, shares, female=female), 8)


def _outbred(shares: dict[int, float], info: Info) -> Chain:
    return MixingPair(even(8), _outbred_stay(shares, info[0]))


def _outbred_x(shares: dict[int, float], info: Info, female: bool) -> Chain:
    stay = _outbred_stay_x(shares, info[0], female)
    return MixingPair(even(8), stay) if female else _hemizygous(8, stay)


_WITH_TESTER = tuple(State((i, 8), "single") for i in range(8))


def _outbred_f1(shares: dict[int, float], info: Info) -> Chain:
    return Mixing(_WITH_TESTER, even(8), _outbred_stay(shares, info[0]), "three")


def _outbred_f1_x(shares: dict[int, float], info: Info, female: bool) -> Chain:
    states = _WITH_TESTER if female else hemizygotes(8)
    return Mixing(states, even(8), _outbred_stay_x(shares, info[0], female), "three")


def _ail3(info: Info) -> Chain:
    return MixingPair(even(3), stay_of(lambda r: recombination.of_three(r, info[0]), 3))


def _ail3_x(info: Info, female: bool) -> Chain:
    stay = stay_of(lambda r: recombination.of_three_x(r, info[0], female=female), 3)
    return MixingPair(even(3), stay) if female else _hemizygous(3, stay)


def _shares(info: Info) -> tuple[float, ...]:
    return tuple(weight / sum(info[1:]) for weight in info[1:])


def _genril(info: Info, share: float = 1) -> Chain:
    weights = _shares(info)
    states = homozygotes(len(weights))
    return Mixing(states, weights, lambda r: (1 - r) ** (info[0] * share), "inbred")


def _genril_x(info: Info, female: bool) -> Chain:
    return _genril(info, _ON_X)


def _genail(info: Info, share: float = 1) -> Chain:
    return MixingPair(_shares(info), lambda r: (1 - r) ** (info[0] * share))


def _genail_x(info: Info, female: bool) -> Chain:
    if female:
        return _genail(info, _ON_X)
    weights = _shares(info)
    states = hemizygotes(len(weights))
    return Mixing(states, weights, lambda r: (1 - r) ** (info[0] * _ON_X), "alike")


# Share of the generations that an X spends in females, where alone it recombines.
_ON_X = 2 / 3

_CROSSES = (
    Cross("bc", 2, _backcross, _backcross_x, two_way=True),
    Cross("dh", 2, lambda info: _two_way(_plain), two_way=True),
    Cross("haploid", 2, lambda info: _two_way(_plain, haplotypes(2)), two_way=True),
    Cross("riself", 2, lambda info: _two_way(stay_of(recombination.selfed, 2)), two_way=True),
    Cross(
        "risib",
        2,
        lambda info: _two_way(stay_of(recombination.sib_mated, 2)),
        _risib_x,
        DIRECTION,
        alike=True,
        two_way=True,
    ),
    Cross(
        "f2", 2, lambda info: MixingPair(_HALF, _plain), _f2_x, DIRECTION, alike=True, two_way=True
    ),
    Cross(
        "f2pk",
        2,
        lambda info: Listed((_AA, _AB, _BA, _BB), _phased, "three"),
        _f2_x,
        DIRECTION,
        alike=True,
        two_way=True,
    ),
    Cross("ail", 2, _ail, _ail_x, AIL, two_way=True),
    Cross(
        "riself4",
        4,
        lambda info: _lines(4, lambda r: 1 - 4 * r / (1 + 2 * r)),
        info=order(4),
        alike=True,
    ),
    Cross("riself8", 8, _riself(3), info=order(8)),
    Cross("riself16", 16, _riself(4), info=order(16)),
    Cross(
        "risib4",
        4,
        lambda info: _lines(4, lambda r: 1 - 8 * r / (1 + 6 * r)),
        _risib4_x,
        order(4),
        alike=True,
    ),
    Cross(
        "risib8",
        8,
        lambda info: _lines(8, lambda r: 1 - 8 * r / (1 + 6 * r)),
        _risib8_x,
        order(8),
        alike=True,
    ),
    Cross("magic19", 19, lambda info: _lines(19, stay_of(recombination.magic19, 19))),
    Cross(
        "do",
        8,
        partial(_outbred, recombination.PRE_CC),
        partial(_outbred_x, recombination.PRE_CC),
        GENERATIONS,
    ),
    Cross(
        "hs",
        8,
        partial(_outbred, recombination.FOUR_WAY),
        partial(_outbred_x, recombination.FOUR_WAY),
        GENERATIONS,
    ),
    Cross(
        "dof1",
        8,
        partial(_outbred_f1, recombination.PRE_CC),
        partial(_outbred_f1_x, recombination.PRE_CC),
        GENERATIONS,
        tester=True,
    ),
    Cross(
        "hsf1",
        8,
        partial(_outbred_f1, recombination.FOUR_WAY),
        partial(_outbred_f1_x, recombination.FOUR_WAY),
        GENERATIONS,
        tester=True,
    ),
    Cross("ail3", 3, _ail3, _ail3_x, GENERATIONS_FROM_2),
    Cross(
        "dh6",
        6,
        lambda info: _lines(6, stay_of(lambda r: recombination.doubled_six(r, info[0]), 6)),
        info=GENERATIONS_FROM_2,
    ),
)
_BY_NAME = {cross.name: cross for cross in _CROSSES}
_GENERAL = {"genril": (_genril, _genril_x), "genail": (_genail, _genail_x)}
_GENERAL_NAME = re.compile(r"(genril|genail)([1-9]\d?)")

NAMES = (*_BY_NAME, *(f"{name}K" for name in _GENERAL))


def is_cross(name: str) -> bool:
    """Whether there is a type of cross of this name."""
    return name in _BY_NAME or bool(_GENERAL_NAME.fullmatch(name))


def cross_of(name: str) -> Cross:
    """The type of cross of this name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    general = _GENERAL_NAME.fullmatch(name)
    if general is None:
        raise InputError(
            f"unknown type of cross {name!r}; choose one of {', '.join(NAMES)} (K founders)"
        )
    autosome, x = _GENERAL[general[1]]
    founders = int(general[2])
    return Cross(name, founders, autosome, x, weighted(founders))
