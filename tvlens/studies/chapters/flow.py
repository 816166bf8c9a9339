"""Figures 3a and 3b: in which block examples are put together, and the vector is made of them."""

import pandas as pd

from tvlens.analysis.information_flow import information_flow
from tvlens.plots import plot_information_flow
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import all_that_fit, score, side_by_side
from tvlens.studies.claims import Claim, claim_id, lies
from tvlens.studies.story import Story

LEAST = 0.1
"""What a vector that works recovers at least of what the context gains."""
DRAWN = ("linear-tvp", "linear-arrow-tvp", "offset-tvp", "sinusoid-tvp")


def told(story: Story) -> Chapter:
    """The order of the steps in all softmax models that ship."""
    every = all_that_fit(information_flow, story, story.episodes // 8)
    found = {each.name: information_flow(each) for each in every}
    scores = {name: each.scores() for name, each in found.items()}
    drawn = {name: found[name] for name in DRAWN}
    return Chapter(
        "Where are examples put together, and where is the vector made of them?",
        {"flow": plot_information_flow(drawn)},
        side_by_side(scores),
        [_claim(name, each) for name, each in scores.items() if _has_vector(each)],
        "The claim is that each y collects its own example in an earlier block than the last "
        "carrier collects the y, and that below the first layer whose vector works; 1 is yes. "
        "It is not asked of models whose vector recovers less than a tenth. With two or three "
        "blocks it is easily right by chance; beside it are the same blocks before training.",
    )


def _has_vector(scores: pd.DataFrame) -> bool:
    """Whether the vector of the working layer recovers something, for that layer is relative."""
    return float(scores.low["recovery"]) > LEAST


def _claim(name: str, scores: pd.DataFrame) -> Claim:
    places = ["concat_block", "form_block", "working_layer"]
    concat, form, layer = (f"{float(each):g}" for each in scores.estimate[places])
    found = score(scores, "in_order")
    claim = f"{name}: put together in block {concat}, made in {form}, works from layer {layer}"
    before = [f"{float(scores.estimate[f'untrained_{each}']):g}" for each in places[:2]]
    paper = f"Fig. 3a, b, in order (untrained: block {before[0]}, {before[1]})"
    return Claim(claim_id("F3a", "order", name), claim, paper, *found, lies(found, above=0.5))
