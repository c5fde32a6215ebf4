"""Beneficial owners: who in the end owns or controls a legal entity.

Shares are in parts per million. What a person holds through others is the product along each chain,
added up over all chains (FATF Recommendation 24; Regulation (EU) 2024/1624 articles 51 to 53). A
chain of majorities, or a controller at its end, is control, and control of the whole. A chain never
passes one party twice, so a ring of holdings ends; what circles in it stays unattributed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from sakk.core.errors import ParameterInvalid

WHOLE_PPM: Final = 1_000_000
MAJORITY_PPM: Final = 500_000
# "25 % or more" of FATF's guidance and of the EU's regulation.
OWNER_PPM_MIN: Final = 250_000
DEPTH_MAX: Final = 12
# Chains multiply: a few dozen entities that hold one another would have millions.
CHAINS_MAX: Final = 10_000


class Relation(StrEnum):
    """What one party is to another. Only an owner's link has a share."""

    owner = "owner"
    controller = "controller"
    director = "director"
    signatory = "signatory"


@dataclass(frozen=True, slots=True)
class Holding:
    """``holder`` is this to ``held``."""

    holder: str
    held: str
    relation: Relation
    share_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """A person at the end of a chain. ``share_ppm`` is rounded down; ``chains`` lead to them.

    ``controls``: by majorities all the way, or as a controller.
    """

    party: str
    share_ppm: int
    controls: bool
    chains: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns an entity: every person in a chain, and what no recorded chain leads to.

    ``unattributed_ppm`` is rounded up: a gap is never smaller than it looks.
    """

    owners: tuple[Owner, ...]
    unattributed_ppm: int

    def beneficial(self, share_ppm_min: int = OWNER_PPM_MIN) -> tuple[Owner, ...]:
        """Those who hold enough, or control."""
        return tuple(
            each for each in self.owners if each.controls or each.share_ppm >= share_ppm_min
        )


def overheld(holdings: Sequence[Holding]) -> list[str]:
    """The parties of which more than the whole is held, by their ids."""
    held: dict[str, int] = {}
    for each in holdings:
        if each.relation is Relation.owner:
            held[each.held] = held.get(each.held, 0) + each.share_ppm
    return sorted(party for party, total in held.items() if total > WHOLE_PPM)


def owners_of(entity: str, holdings: Sequence[Holding], persons: Collection[str]) -> Ownership:
    """Follow every chain from an entity up to persons; largest share first.

    Chains end at a person, at a party of which nobody is known, and after `DEPTH_MAX` links.
    Raises ParameterInvalid where more than `CHAINS_MAX` begin.
    """
    up: dict[str, list[Holding]] = {}
    for each in holdings:
        if each.relation in (Relation.owner, Relation.controller):
            up.setdefault(each.held, []).append(each)
    shares: dict[str, Fraction] = {}
    controls: dict[str, bool] = {}
    chains: dict[str, list[tuple[str, ...]]] = {}
    waiting: list[tuple[tuple[str, ...], Fraction, bool]] = [((entity,), Fraction(1), True)]
    followed = 0
    while waiting:
        chain, share, is_major = waiting.pop()
        followed += 1
        if followed > CHAINS_MAX:
            raise ParameterInvalid(
                "More than {chains_max} chains of holdings lead up from this party. Record who"
                " holds it in the end, instead of every entity between.",
                param="links",
                chains_max=CHAINS_MAX,
            )
        if chain[-1] in persons:
            person = chain[-1]
            shares[person] = shares.get(person, Fraction(0)) + share
            controls[person] = controls.get(person, False) or is_major
            chains.setdefault(person, []).append(chain)
            continue
        if len(chain) > DEPTH_MAX:
            continue
        for each in up.get(chain[-1], ()):
            if each.holder in chain:
                continue
            is_controller = each.relation is Relation.controller
            part = Fraction(0) if is_controller else Fraction(each.share_ppm, WHOLE_PPM)
            major = is_major and (is_controller or each.share_ppm > MAJORITY_PPM)
            waiting.append(((*chain, each.holder), share * part, major))
    return _sorted(shares, controls, chains)


def _sorted(
    shares: Mapping[str, Fraction],
    controls: Mapping[str, bool],
    chains: Mapping[str, Sequence[tuple[str, ...]]],
) -> Ownership:
    owners = [
        Owner(
            party=party,
            share_ppm=int(share * WHOLE_PPM),
            controls=controls[party],
            chains=tuple(sorted(set(chains[party]))),
        )
        for party, share in shares.items()
    ]
    owners.sort(key=lambda each: (-each.share_ppm, not each.controls, each.party))
    gap = (1 - sum(shares.values(), Fraction(0))) * WHOLE_PPM
    return Ownership(tuple(owners), max(0, -int(-gap // 1)))
