"""Draw the pictures of README and docs from models that ship: `python analyses/pictures.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attention_map
import bijections
import conflict
import contributions
import decodability
import disentanglement
import distribution_shifts
import emergence
import geometry
import icl_curve
import information_flow
import locality_sweep
import noise
import part_effects
import patch_map
import pruning
import saliency_map
import several_vectors
import transfer
import vocabulary
from command_line import Quiet, parse, plain_errors, quietly
from linear_pictures import LINEAR_PICTURES, LinearPicture
from study import Script, Study, named_models

import tvlens as tvl
from tvlens.base.devices import choose_device
from tvlens.base.files import writable_folder
from tvlens.base.progress import progress

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

    script: Script | None
    """Whose results are drawn; the losses in training if None."""
    plot: Callable[[Mapping[str, Any]], go.Figure]
    """How."""
    models: tuple[str, ...] = LINEAR
    """Of which models; of the script's own trainings if empty."""
    width: int = 1000
    """In pixels of the layout."""
    options: Mapping[str, Any] | None = None
    """What the script is asked beyond its defaults."""


PICTURES = {
    "locality": Picture(locality_sweep.SCRIPT, PLOTS.plot_locality, width=1200),
    "analyses/icl_curve": Picture(icl_curve.SCRIPT, PLOTS.plot_icl_curve),
    "analyses/geometry": Picture(geometry.SCRIPT, PLOTS.plot_geometry, SINUSOID, 900),
    "analyses/geometry_over_layers": Picture(geometry.SCRIPT, PLOTS.plot_geometry_over_layers),
    "analyses/decodability": Picture(decodability.SCRIPT, PLOTS.plot_decodability),
    "analyses/decodability_and_recovery": Picture(
        decodability.SCRIPT,
        PLOTS.plot_decodability_and_recovery,
        (*LINEAR, *SINUSOID, ARROW[0]),
    ),
    "analyses/probe_targets": Picture(decodability.SCRIPT, PLOTS.plot_probe_targets, OFFSET),
    "analyses/disentanglement": Picture(
        disentanglement.SCRIPT, PLOTS.plot_disentanglement, (*LINEAR, *ARROW), 1250
    ),
    "analyses/vocabulary": Picture(
        vocabulary.SCRIPT, PLOTS.plot_vocabulary, (*OFFSET, MAPS[0]), 1250
    ),
    "analyses/transfer": Picture(transfer.SCRIPT, PLOTS.plot_transfer),
    "analyses/several_vectors": Picture(
        several_vectors.SCRIPT,
        PLOTS.plot_several_vectors,
        (*LINEAR, "linear-arrow-tvp", "sinusoid-tvp"),
        1300,
    ),
    "analyses/conflict": Picture(
        conflict.SCRIPT, PLOTS.plot_conflict, (*LINEAR, "sinusoid-tvp", "offset-tvp"), 1250
    ),
    "analyses/noise": Picture(noise.SCRIPT, PLOTS.plot_noise),
    "analyses/distribution_shifts": Picture(
        distribution_shifts.SCRIPT, PLOTS.plot_distribution_shifts
    ),
    "analyses/attention_map": Picture(attention_map.SCRIPT, PLOTS.plot_attention_map),
    "analyses/contributions": Picture(contributions.SCRIPT, PLOTS.plot_contributions),
    "analyses/part_effects": Picture(part_effects.SCRIPT, PLOTS.plot_part_effects, width=1100),
    "analyses/patch_map": Picture(patch_map.SCRIPT, PLOTS.plot_patch_map),
    "analyses/saliency_map": Picture(saliency_map.SCRIPT, PLOTS.plot_saliency_map, width=1100),
    "analyses/information_flow": Picture(
        information_flow.SCRIPT, PLOTS.plot_information_flow, (*LINEAR, *OFFSET, MAPS[0]), 1500
    ),
    "analyses/pruning": Picture(
        pruning.SCRIPT, PLOTS.plot_pruning, (*LINEAR, *ARROW, *SINUSOID, *OFFSET), 1250
    ),
    "analyses/pruning_long": Picture(
        pruning.SCRIPT, PLOTS.plot_pruning_curve, options={"examples": 1024, "episodes": 64}
    ),
    "analyses/bijections": Picture(bijections.SCRIPT, PLOTS.plot_bijections, MAPS, 1250),
    "analyses/bijection_errors": Picture(
        bijections.SCRIPT, PLOTS.plot_bijection_errors, MAPS, 1250
    ),
    "history": Picture(None, PLOTS.plot_history),
    "analyses/emergence": Picture(emergence.SCRIPT, PLOTS.plot_emergence, ()),
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
    if picture.script is None:
        return {name: tvl.load_pretrained(name, device="cpu").history for name in picture.models}
    options = dict(picture.options or {})
    study: Study = replace(
        picture.script.default,
        models=picture.models,
        out=writable_folder(config.results),
        device=config.device,
        **options,
    )
    if isinstance(study, emergence.EmergenceStudy):
        return picture.script.results(study, emergence.trained(study))
    return picture.script.results(study, named_models(picture.models))


if __name__ == "__main__":
    with plain_errors():
        config = parse(Pictures, Pictures(), DESCRIPTION)
        with quietly(config.quiet):
            main(config)
