"""What if test data come from elsewhere? `python analyses/distribution_shifts.py` asks models."""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl
from tvlens.files import write_whole

DESCRIPTION = """Errors under shifts of inputs, functions and contexts, and how models differ.

Example: python analyses/distribution_shifts.py offset-vanilla offset-tvp --episodes 2048"""

PAGE = Page(
    title="What becomes of errors when test data come from elsewhere?",
    text="Bars: the error after the longest context, as a share of the error of the same queries "
    "without a context: 0 is right, 1 is knowing nothing. The oracle knows the inputs that it is "
    "given, but not that functions come from elsewhere. Dots: paired differences between models, "
    "filled where q < 0.05 after adjustment for all of them. The table has plain errors. Intervals "
    "are 95% by bootstrap over episodes.",
    figures=lambda results: [
        draw(group)
        for group in tvl.results.comparable_groups(results)
        for draw in (tvl.plots.plot_distribution_shifts, tvl.plots.plot_shift_differences)
        if draw is tvl.plots.plot_distribution_shifts or len(group) > 1
    ],
)


def analyse(subject: Subject) -> tvl.DistributionShifts:
    """The errors of one model."""
    return tvl.analysis.distribution_shifts(
        *subject.asked, *subject.episodes(), layer=subject.layer, generator=subject.generator
    )


def main(config: Study) -> None:
    """Ask, and compare models that were asked the same."""
    results = conduct("distribution_shifts", config, tvl.DistributionShifts, analyse, PAGE)
    table = tvl.results.difference_table(results)
    if len(table):
        file = config.out / "distribution_shifts_differences.csv"
        write_whole(file, lambda path: table.to_csv(path, index=False))
        print(f"wrote {file}")


if __name__ == "__main__":
    with plain_errors():
        main(parse(Study, Study(), DESCRIPTION))
