"""What a paper says beside what is measured here, and whether the two agree."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd


class Agrees(enum.StrEnum):
    """What a measurement says of a claim."""

    YES = "yes"
    """The whole interval is where the claim puts it."""
    NO = "no"
    """None of it is."""
    OPEN = "open"
    """Some of it is: the seeds and episodes asked cannot tell."""


Found = tuple[float, float, float]
"""Estimate, low and high."""


def lies(found: Found, *, above: float = -math.inf, below: float = math.inf) -> Agrees:
    """Whether the interval is between two bounds: for claims of an inequality."""
    _, low, high = found
    if low > above and high < below:
        return Agrees.YES
    return Agrees.NO if high <= above or low >= below else Agrees.OPEN


def holds(found: Found, said: float, *, within: float) -> Agrees:
    """Whether the interval is near what is said: for claims of a number.

    An interval that merely holds the number shows nothing: the fewer the episodes, the more it
    holds.

    Args:
        within: how near, which is for us to choose; a claim shows it as its `bound`.
    """
    _, low, high = found
    if said - within <= low and high <= said + within:
        return Agrees.YES
    return Agrees.NO if high < said - within or low > said + within else Agrees.OPEN


def near(said: float, within: float) -> str:
    """The `bound` of a claim that `holds`."""
    return f"{said:.3g} ± {within:.2g}"


def claim_id(source: str, *parts: str) -> str:
    """The `id` of a claim: where it is from, then what it is about, without spaces."""
    return ".".join((source, *parts)).replace(" ", "-")


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, and a measurement that could contradict it."""

    id: str
    """Its name, which stays when the sentence is reworded. It begins with the theorem, figure or
    table: `P3.mixing.triplet-2x5`."""
    claim: str
    """What is said."""
    paper: str
    """The number there, or the theorem."""
    estimate: float
    """What is measured here."""
    low: float
    """Lower end: of the 95% interval, or of the seeds."""
    high: float
    """Upper end."""
    agrees: Agrees
    """Whether the claim holds here."""
    bound: str = ""
    """Where we ask the whole interval to be for a yes; the paper gives no such bounds."""


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """A row for each claim, ready to be shown."""
    rows = [
        {
            "claim": each.claim,
            "paper": each.paper,
            "we ask": each.bound,
            "measured": f"{each.estimate:.3g} ({each.low:.3g} to {each.high:.3g})",
            "agrees": each.agrees.value,
        }
        for each in claims
    ]
    return pd.DataFrame(rows)
