"""How much noise in the labels do models bear? `python analyses/noise.py` asks those that ship."""

from __future__ import annotations

from dataclasses import dataclass

from study import Script, Study, Subject

import tvlens as tvl

DESCRIPTION = """Errors against label noise, outliers, flipped symbols, and one corrupted example.

Example: python analyses/noise.py sinusoid-vanilla sinusoid-tvp --label-noise 0.5 1 2 4"""


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


SCRIPT = Script("noise", tvl.NoiseCurves, analyse, DESCRIPTION, NoiseStudy())

if __name__ == "__main__":
    SCRIPT.main()
