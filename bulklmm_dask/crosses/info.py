"""Numbers in ``cross_info``: how an individual was bred."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Info = tuple[int, ...]


@dataclass(frozen=True)
class InfoForm:
    """What the numbers of an individual should be.

    Attributes
    ----------
    words : str
        What they hold, for messages.
    default : tuple of int
        Numbers that are allowed, and of which there are as many as there should be.
    allows : callable
        Whether given numbers are.
    samples : tuple of tuple of int
        Numbers of individuals that differ in their genotypes on the X.
    only_x : bool
        Whether the X alone needs them, so that they are 0 where they are not given.
    """

    words: str
    default: Info
    allows: Callable[[Info], bool]
    samples: tuple[Info, ...]
    only_x: bool = False

    def fits(self, info: Sequence[int]) -> bool:
        """Whether numbers are allowed."""
        return len(info) == len(self.default) and self.allows(tuple(info))


NOTHING = InfoForm("nothing", (), lambda info: True, ((),))
DIRECTION = InfoForm(
    "the direction of the cross, 0 (A x B) or 1 (B x A)",
    (0,),
    lambda info: info[0] in (0, 1),
    ((0,), (1,)),
    only_x=True,
)
GENERATIONS = InfoForm(
    "the number of generations, 1 or more", (1,), lambda info: info[0] >= 1, ((1,),)
)
GENERATIONS_FROM_2 = InfoForm(
    "the number of generations, 2 or more", (2,), lambda info: info[0] >= 2, ((2,),)
)
AIL = InfoForm(
    "the number of generations, 2 or more, and the direction of the cross, 0 (A x B), 1 (B x A) or "
    "2 (balanced)",
    (2, 0),
    lambda info: info[0] >= 2 and info[1] in (0, 1, 2),
    ((2, 0),),
)


def order(founders: int) -> InfoForm:
    """The order of the founders in the funnel of the cross."""
    whole = tuple(range(1, founders + 1))
    return InfoForm(
        f"the order of the cross, the numbers 1 to {founders}",
        whole,
        lambda info: sorted(info) == list(whole),
        (whole,),
    )


def weighted(founders: int) -> InfoForm:
    """Generations, and the relative contribution of each founder."""
    numbers = (2, *[1] * founders)
    return InfoForm(
        f"the number of generations, 2 or more, and {founders} whole numbers, the contribution of "
        "each founder",
        numbers,
        lambda info: info[0] >= 2 and min(info[1:]) >= 0 and sum(info[1:]) > 0,
        (numbers,),
    )
