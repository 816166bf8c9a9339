"""How much noise in the labels do models bear? `python analyses/noise.py` asks those that ship."""

from __future__ import annotations

from dataclasses import dataclass

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl
from tvlens.files import write_whole

DESCRIPTION = """Errors against label noise, outliers, flipped symbols, and one corrupted example.

Example: python analyses/noise.py sinusoid-vanilla sinusoid-tvp --label-noise 0.5 1 2 4"""

PAGE = Page(
    title="How much noise in the labels does a model bear?",
    text="Errors after the longest context when its labels are noisy; what predictions are scored "
    "against is not. Area: mean excess over the error without noise, between level 0 and the "
    "largest. Half level: the level at which half of what the examples gain is lost; inf where the "
    "grid ends before. Corrupted example: one wrong label, averaged over its position, and by how "
    "much the last example counts for more than the first. The oracle knows the label noise, and "
    "the share of flips; of outliers it knows nothing. Bands are 95% by bootstrap over episodes.",
    figures=lambda results: [
        draw(group)
        for group in tvl.results.comparable_groups(results)
        for draw in (tvl.plots.plot_noise, tvl.plots.plot_noise_differences)
        if draw is tvl.plots.plot_noise or len(group) > 1
    ],
)


@dataclass(frozen=True)
class NoiseStudy(Study):
    """Models, episodes, and how much noise."""

    label_noise: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0)
    """Standard deviations in units of sqrt(Var(y) / d), for tasks whose labels are numbers."""
    replaced: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    """Shares of labels that are outliers, or for symbols flipped."""


def analyse(subject: Subject) -> tvl.NoiseCurves:
    """The curves of one model."""
    config = subject.config
    assert isinstance(config, NoiseStudy)
    episodes, queries = subject.episodes()
    trial = tvl.shifts.Trial.of(episodes, queries)
    noises = tvl.shifts.noise_grid(subject.asked[1], trial, config.label_noise, config.replaced)
    return tvl.analysis.noise(
        *subject.asked,
        episodes,
        queries,
        layer=subject.layer,
        generator=subject.generator,
        noises=noises,
    )


def main(config: NoiseStudy) -> None:
    """Ask, and compare models that were asked the same."""
    results = conduct("noise", config, tvl.NoiseCurves, analyse, PAGE)
    table = tvl.results.noise_table(results)
    if len(table):
        print(f"\nDifferences of areas (below 0: model is better)\n{table.to_string(index=False)}")
        file = config.out / "noise_differences.csv"
        write_whole(file, lambda path: table.to_csv(path, index=False))
        print(f"wrote {file}")


if __name__ == "__main__":
    with plain_errors():
        main(parse(NoiseStudy, NoiseStudy(), DESCRIPTION))
