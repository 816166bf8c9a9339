"""Can the task be read off vectors? `python analyses/decodability.py` asks models that ship."""

from __future__ import annotations

import numpy as np
from command_line import parse, plain_errors
from contexts import ContextStudy, read_vectors
from study import Page, Subject, conduct

import tvlens as tvl

DESCRIPTION = """What probes read off task vectors, beside what the vectors steer.

Example: python analyses/decodability.py sinusoid-vanilla sinusoid-tvp --out figures"""

PAGE = Page(
    title="Can the task be read off the vectors, and does the model read it?",
    text="R² is of a ridge regression from the vector to the parameters of the function, on "
    "functions that it was not fitted on; the black line is what the best estimate from the same "
    "context reaches. Accuracy is the share of vectors whose 10 nearest others vote for their own "
    "function. Recovery is the share of what in-context learning gains that the model gains when "
    "the vector is written into a prompt without a context. Dotted grey: functions shuffled. Bands "
    "are 95% by resampling functions.",
    figures=lambda results: [
        tvl.plots.plot_decodability(results),
        tvl.plots.plot_decodability_and_recovery(results),
        *(tvl.plots.plot_probe_targets(some) for some in _by_targets(results)),
    ],
)


def analyse(subject: Subject) -> tvl.Decodability:
    """What probes find in one model, and what its vectors steer."""
    generator = np.random.default_rng(subject.config.seed)
    found = tvl.analysis.decodability(
        read_vectors(subject), layer=subject.layer, generator=generator
    )
    untrained = subject.run.experiment.build_model(device=subject.run.model.W_E.device)
    locality = tvl.analysis.locality_map(
        *subject.asked, *subject.episodes(), untrained=untrained, generator=subject.generator
    )
    return found.with_recovery(locality)


def _by_targets(results: dict[str, tvl.Decodability]) -> list[dict[str, tvl.Decodability]]:
    together: dict[tuple, dict[str, tvl.Decodability]] = {}
    for name, each in results.items():
        together.setdefault(tuple(each.data.target.values), {})[name] = each
    return list(together.values())


if __name__ == "__main__":
    with plain_errors():
        default = ContextStudy(functions=100, contexts=20)
        config = parse(ContextStudy, default, DESCRIPTION)
        conduct("decodability", config, tvl.Decodability, analyse, PAGE)
