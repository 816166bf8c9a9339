"""What do the heads and MLPs of a model add to its task vector?

`python analyses/contributions.py` asks models that ship.
"""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """The share of each head and MLP in the task vector.

Example: python analyses/contributions.py sinusoid-vanilla sinusoid-tvp --out figures"""

PAGE = Page(
    title="What do the heads and MLPs add to the task vector?",
    text="The task vector is the sum of what the embedding, the heads (2.3 is the third of the "
    "second block), the biases of attention and the MLPs add to the residual stream at the "
    "carrier, up to the layer of the vector. Bars are the projection of each on the vector: "
    "grey for the whole vector, blue after the mean over functions is taken away, which "
    "carries no task. Both sum to 1. Error bars are 95% by bootstrap over episodes.",
    figures=lambda results: [tvl.plots.plot_contributions(results)],
)


def analyse(subject: Subject) -> tvl.Contributions:
    """What adds up to the vector of one model."""
    episodes, _ = subject.episodes()
    return tvl.analysis.contributions(*subject.asked, episodes, layer=subject.layer)


if __name__ == "__main__":
    with plain_errors():
        config = parse(Study, Study(), DESCRIPTION)
        conduct("contributions", config, tvl.Contributions, analyse, PAGE)
