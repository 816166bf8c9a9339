"""Everything about some models on one page: `python analyses/report.py linear-tvp`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

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
import tyro
import vocabulary
from command_line import Quiet, parse, plain_errors, quietly
from study import Models, Script, Sources, Study, load_model, named_models

import tvlens as tvl
from tvlens.base.files import writable_folder
from tvlens.base.progress import progress
from tvlens.studies.story import Story
from tvlens.training.snapshots import snapshot_files

DESCRIPTION = """All analyses of some models, on one page that works offline; vocabulary of those
whose task is on symbols, bijections of those that learned maps between symbols, and emergence of
those that were trained with snapshots.

Answers that are in the output folder already are not computed again while models, options and code
are the same, so an interrupted report goes on where it was.

With --theory the page ends with what is said of linear transformers, and of the limits of one task
vector, beside what is found. That is measured on models that ship, whatever the page is about; the
pages of linear_theory.py and task_vector_limits.py have all of it, from more episodes.

Example: python analyses/report.py offset-vanilla offset-tvp --out figures/offset"""

SCRIPTS: tuple[Script, ...] = tuple(
    each.SCRIPT
    for each in (
        locality_sweep,
        icl_curve,
        geometry,
        decodability,
        disentanglement,
        transfer,
        conflict,
        noise,
        distribution_shifts,
        attention_map,
        contributions,
        part_effects,
        patch_map,
        saliency_map,
        information_flow,
        pruning,
    )
)

EVERY_LAYER = (
    locality_sweep.SCRIPT,
    information_flow.SCRIPT,
    pruning.SCRIPT,
    several_vectors.SCRIPT,
    bijections.SCRIPT,
)
"""These ask every layer, and so take none."""

QUICK = 2000
"""Episodes of the stories on a page about other models."""


@dataclass(frozen=True)
class Report:
    """Which models are reported, and where the page goes."""

    models: Models = ("linear-vanilla", "linear-tvp")
    """Names of models that ship with tvlens, or run folders."""
    out: Path = Path("figures/report")
    """Folder of the page (report.html) and of the results of each analysis (.nc)."""
    episodes: int | None = None
    """Episodes of each analysis that samples episodes, at least 80; its own number if not given."""
    examples: int | None = None
    """Longest context; the one of the model's training if not given."""
    layer: int | None = None
    """Where vectors are read and written. If not given: the layer prescribed in training, and for a
    vanilla model the one that is best on other episodes."""
    seed: int = Study.seed
    """Seed of the test episodes, which no training uses."""
    device: str | None = None
    """Where to compute; the fastest device there is if not given."""
    theory: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """End with the theory of linear models and the limits of one vector, on models that ship."""
    replot: Path | None = None
    """Draw the page from the results in this folder, and compute nothing."""
    quiet: Quiet = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        if self.episodes is not None and self.episodes < 80:
            raise tvl.InputError(
                f"--episodes {self.episodes} is too few for ten functions of eight contexts; "
                "give at least 80."
            )
        if self.examples is not None and self.examples < 2:
            raise tvl.InputError(
                f"--examples {self.examples} is too few to compare examples; give at least 2."
            )
        if self.theory and self.replot is not None:
            raise tvl.InputError("--replot computes nothing and --theory does; give one of them.")

    def study(self, script: Script) -> Study:
        """What is asked of one analysis."""
        same = ("out", "examples", "seed", "device")
        asked = {name: getattr(self, name) for name in same}
        if script not in EVERY_LAYER:
            asked["layer"] = self.layer
        if self.episodes is not None:
            asked["episodes"] = self.episodes
        return replace(script.default, models=self.models, **asked)


def main(config: Report) -> None:
    """Compute what is missing, then write the page."""
    out, sources = writable_folder(config.out), named_models(config.models)
    runs = {name: load_model(model, config.device) for name, model in sources.items()}
    results: dict[str, list[tvl.results.Result]] = {name: [] for name in sources}
    # What cannot be asked is said before anything is computed.
    studies = [(script, config.study(script), models) for script, models in asked(sources, runs)]
    for script, study, models in progress(studies, "report"):
        if config.replot is None:
            found = script.results(study, models)
        else:
            found = stored(script, config.replot, models)
        for name in models:
            results[name].append(found[name])
    further = theory_sections(config) if config.theory else ()
    tvl.report(out / "report.html", results, runs, further=further)
    print(f"wrote {out / 'report.html'}")


def theory_sections(config: Report) -> list[tvl.plots.Section]:
    """The stories of linear models and of the limits of one vector, in short."""
    # Not needed to answer --help.
    from tvlens.studies.books import BOOKS

    story = Story(episodes=QUICK, device=config.device)
    return [book.summary(story) for book in BOOKS.values()]


def stored(script: Script, folder: Path, models: Sources) -> dict[str, tvl.results.Result]:
    """The results of an earlier report."""
    file = folder / f"{script.name}.nc"
    found = tvl.results.load_results(script.kind, file)
    for name in models:
        if name not in found:
            raise tvl.InputError(f"{file} has no results of {name!r}, but of {', '.join(found)}.")
    return found


def asked(sources: Sources, runs: Mapping[str, tvl.Run]) -> list[tuple[Script, Sources]]:
    """Every analysis with its models; some can only be asked of some."""
    everything = [(script, sources) for script in SCRIPTS]
    followed = {
        name: source
        for name, source in sources.items()
        if isinstance(source, Path) and snapshot_files(source)
    }
    carried = {name: each for name, each in sources.items() if several_vectors.fits(runs[name])}
    symbolic = {name: each for name, each in sources.items() if vocabulary.is_symbolic(runs[name])}
    mapped = {name: each for name, each in sources.items() if bijections.is_mapped(runs[name])}
    partly = (
        (several_vectors.SCRIPT, carried),
        (vocabulary.SCRIPT, symbolic),
        (bijections.SCRIPT, mapped),
        (emergence.SCRIPT, followed),
    )
    return [*everything, *((script, models) for script, models in partly if models)]


if __name__ == "__main__":
    with plain_errors():
        config = parse(Report, Report(), DESCRIPTION)
        with quietly(config.quiet):
            main(config)
