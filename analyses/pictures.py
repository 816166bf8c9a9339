"""Draw the pictures of README and docs from models that ship: `python analyses/pictures.py`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linear_pictures import LINEAR_PICTURES, LinearPicture

import tvlens as tvl
from tvlens.base.devices import choose_device
from tvlens.base.files import writable_folder
from tvlens.base.progress import progress
from tvlens.commands.ask import answered, starting_point
from tvlens.commands.emergence import Following
from tvlens.commands.endings import plain_errors, quietly
from tvlens.commands.parsing import Quiet, parse
from tvlens.studies.questions import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    import plotly.graph_objects as go

DESCRIPTION = """Draw the pictures of README and docs again (some minutes; needs the extra
`pictures`).

Results are kept, so only what has changed is computed again.

Example: python analyses/pictures.py --only geometry pruning"""

PLOTS = tvl.plots
SCALE = 1.2
"""Dots of a file for each pixel of the layout: small enough for a repository."""
LINEAR = ("linear-vanilla", "linear-tvp")
ARROW = ("linear-arrow-vanilla", "linear-arrow-tvp")
SINUSOID = ("sinusoid-vanilla", "sinusoid-tvp")
MAPS = ("bijections-vanilla", "relations-vanilla", "relations-tvp")
OFFSET = ("offset-vanilla", "offset-tvp")


@dataclass(frozen=True)
class Picture:
    """What a picture shows."""

    question: str | None
    """Whose answers are drawn; the losses in training if None."""
    plot: Callable[[Mapping[str, Any]], go.Figure]
    """How."""
    models: tuple[str, ...] = LINEAR
    """Of which models; of trainings of its own if empty."""
    width: int = 1000
    """In pixels of the layout."""
    options: Mapping[str, Any] | None = None
    """How it is asked, beyond the defaults."""


PICTURES = {
    "locality": Picture("locality_map", PLOTS.plot_locality, width=1200),
    "analyses/icl_curve": Picture("icl_curve", PLOTS.plot_icl_curve),
    "analyses/geometry": Picture("geometry", PLOTS.plot_geometry, SINUSOID, 900),
    "analyses/geometry_over_layers": Picture("geometry", PLOTS.plot_geometry_over_layers),
    "analyses/decodability": Picture("decodability", PLOTS.plot_decodability),
    "analyses/decodability_and_recovery": Picture(
        "decodability",
        PLOTS.plot_decodability_and_recovery,
        (*LINEAR, *SINUSOID, ARROW[0]),
    ),
    "analyses/probe_targets": Picture("decodability", PLOTS.plot_probe_targets, OFFSET),
    "analyses/disentanglement": Picture(
        "disentanglement", PLOTS.plot_disentanglement, (*LINEAR, *ARROW), 1250
    ),
    "analyses/vocabulary": Picture("vocabulary", PLOTS.plot_vocabulary, (*OFFSET, MAPS[0]), 1250),
    "analyses/transfer": Picture("transfer", PLOTS.plot_transfer),
    "analyses/several_vectors": Picture(
        "several_vectors",
        PLOTS.plot_several_vectors,
        (*LINEAR, "linear-arrow-tvp", "sinusoid-tvp"),
        1300,
    ),
    "analyses/conflict": Picture(
        "conflict", PLOTS.plot_conflict, (*LINEAR, "sinusoid-tvp", "offset-tvp"), 1250
    ),
    "analyses/noise": Picture("noise", PLOTS.plot_noise),
    "analyses/distribution_shifts": Picture("distribution_shifts", PLOTS.plot_distribution_shifts),
    "analyses/attention_map": Picture("attention_map", PLOTS.plot_attention_map),
    "analyses/contributions": Picture("contributions", PLOTS.plot_contributions),
    "analyses/part_effects": Picture("part_effects", PLOTS.plot_part_effects, width=1100),
    "analyses/patch_map": Picture("patch_map", PLOTS.plot_patch_map),
    "analyses/saliency_map": Picture("saliency_map", PLOTS.plot_saliency_map, width=1100),
    "analyses/information_flow": Picture(
        "information_flow", PLOTS.plot_information_flow, (*LINEAR, *OFFSET, MAPS[0]), 1500
    ),
    "analyses/pruning": Picture(
        "pruning", PLOTS.plot_pruning, (*LINEAR, *ARROW, *SINUSOID, *OFFSET), 1250
    ),
    "analyses/pruning_long": Picture(
        "pruning", PLOTS.plot_pruning_curve, options={"examples": 1024, "episodes": 64}
    ),
    "analyses/bijections": Picture("bijections", PLOTS.plot_bijections, MAPS, 1250),
    "analyses/bijection_errors": Picture("bijections", PLOTS.plot_bijection_errors, MAPS, 1250),
    "history": Picture(None, PLOTS.plot_history),
    "analyses/emergence": Picture("emergence", PLOTS.plot_emergence, ()),
}
"""By file, without its ending, in the folder of the documentation."""


@dataclass(frozen=True)
class Pictures:
    """Which pictures are drawn, and where they go."""

    only: tuple[str, ...] = ()
    """Names of files without folder and ending; all if none are given."""
    out: Path = Path("docs")
    """Folder of the documentation."""
    results: Path = Path("figures/pictures")
    """Where results are kept."""
    device: str | None = None
    """Where to compute; the fastest device there is if not given."""
    quiet: Quiet = False
    """Print nothing but errors."""


def main(config: Pictures) -> None:
    """Compute what is missing, and draw."""
    pictures = PICTURES | LINEAR_PICTURES
    names = {Path(file).name: file for file in pictures}
    for name in config.only:
        if name not in names:
            raise tvl.InputError(f"There is no picture {name!r}; there are {', '.join(names)}.")
    for name in progress(config.only or list(names), "pictures"):
        picture = pictures[names[name]]
        figure = drawn(picture, config)
        figure.layout.width = picture.width
        file = writable_folder((config.out / names[name]).parent) / f"{name}.png"
        tvl.plots.write_figure(figure, file, scale=SCALE)
        print(f"wrote {file}")


def drawn(picture: Picture | LinearPicture, config: Pictures) -> go.Figure:
    """The figure, before it has a width."""
    if isinstance(picture, LinearPicture):
        return picture.plot(picture.measure(choose_device(config.device)))
    return picture.plot(results(picture, config))


def results(picture: Picture, config: Pictures) -> dict[str, Any]:
    """The results that a picture shows, from the folder if they are there."""
    if picture.question is None:
        return {name: tvl.load_pretrained(name, device="cpu").history for name in picture.models}
    question = QUESTIONS[picture.question]
    asked = replace(
        starting_point(question, Following),
        models=picture.models,
        out=writable_folder(config.results),
        device=config.device,
        **dict(picture.options or {}),
    )
    return answered(question, asked)


if __name__ == "__main__":
    with plain_errors():
        config = parse("python analyses/pictures.py", sys.argv[1:], Pictures(), DESCRIPTION)
        with quietly(config.quiet):
            main(config)
