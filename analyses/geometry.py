"""How do vectors of different functions lie? `python analyses/geometry.py` asks those that ship."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from command_line import parse, plain_errors
from contexts import ContextStudy, read_vectors
from study import Page, Subject, conduct

import tvlens as tvl

if TYPE_CHECKING:
    import plotly.graph_objects as go

DESCRIPTION = """Principal components and clusters of the task vectors of several functions.

Example: python analyses/geometry.py offset-vanilla offset-tvp --functions 100 --out figures"""


def analyse(subject: Subject) -> tvl.Geometry:
    """The geometry of one model."""
    generator = np.random.default_rng(subject.config.seed)
    vectors = read_vectors(subject)
    return tvl.analysis.geometry(vectors, layer=subject.layer, generator=generator)


def figures(geometries: Mapping[str, tvl.Geometry]) -> list[go.Figure]:
    """Models that were shown the same functions in the same format, side by side."""
    together: dict[tuple, dict[str, tvl.Geometry]] = {}
    for name, each in geometries.items():
        key = (each.data.attrs["format"], each.data.params.values.tobytes())
        together.setdefault(key, {})[name] = each
    plots = (tvl.plots.plot_geometry, tvl.plots.plot_geometry_over_layers)
    return [plot(some) for some in together.values() for plot in plots]


PAGE = Page(
    title="How do the task vectors of different functions lie to each other?",
    text="Each point is the vector of one context, coloured by its function or by the parameter of "
    "its function; principal components are those of the layer. The share of variance between "
    "functions (eta2) is 1 if a vector tells nothing but the function. Silhouettes are 1 for "
    "clusters of points, 0 or less where functions overlap. Dotted: functions shuffled among the "
    "vectors. Bands are 95%, over functions.",
    figures=figures,
)


if __name__ == "__main__":
    with plain_errors():
        config = parse(ContextStudy, ContextStudy(), DESCRIPTION)
        conduct("geometry", config, tvl.Geometry, analyse, PAGE)
