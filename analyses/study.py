"""What the scripts of analyses share: which models, which episodes, and where answers go."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import torch
import tyro
from tqdm import tqdm

import tvlens as tvl
from tvlens.devices import choose_device
from tvlens.files import writable_folder, write_whole

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from tvlens.results import Result

AnyResult = TypeVar("AnyResult", bound="Result")
Models = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL ...]")]
DEVELOPMENT_SEED = 1
"""Added to the seed of the test episodes for those that a layer is chosen on."""
CONTROL_SEED = 2
"""Added to it for all else that is random: with the same seed, a random control would be made
of the very numbers that the functions are made of."""


@dataclass(frozen=True)
class Study:
    """Which models are asked, on which episodes, and where the answer goes."""

    models: Models = ("linear-vanilla", "linear-tvp")
    """Names of models that ship with tvlens, or run folders."""
    out: Path = Path("figures")
    """Folder of the page (.html), the table (.csv) and the results (.nc)."""
    episodes: int = 512
    """Episodes that each model is tested on; the same for all models of a task."""
    examples: int | None = None
    """Longest context; the one of the model's training if not given."""
    layer: int | None = None
    """Where vectors are read and written. If not given: the layer prescribed in training, and for a
    vanilla model the one that is best on other episodes."""
    seed: int = 20_250_109
    """Seed of the test episodes, which no training uses."""
    device: str | None = None
    """Where to compute; the fastest device there is if not given."""
    replot: Path | None = None
    """Draw the page and the table from this .nc file, and do nothing else."""

    def __post_init__(self) -> None:
        if self.episodes < 10:
            raise tvl.InputError(f"--episodes {self.episodes} is too few for intervals; give 10.")
        if self.examples is not None and self.examples < 1:
            raise tvl.InputError(f"--examples {self.examples} is too few; give at least 1.")


@dataclass(frozen=True)
class Subject:
    """A model under study."""

    name: str
    source: str | Path
    """Its name among the models that ship, or its run folder."""
    run: tvl.Run
    config: Study

    @property
    def asked(self) -> tuple[tvl.HookedTransformer, tvl.Task, tvl.PromptFormat]:
        """What every analysis takes first."""
        return self.run.model, self.run.experiment.task, self.run.experiment.format

    @property
    def shots(self) -> int:
        """Examples of an episode: those of the longest context, and the one that is asked."""
        return (self.config.examples or self.run.experiment.train.examples) + 1

    @functools.cached_property
    def generator(self) -> torch.Generator:
        """Of everything random in the study of this model but its episodes; on its device."""
        return self._seeded(self.config.seed + CONTROL_SEED)

    def episodes(self) -> tuple[tvl.Episodes, tvl.Episodes]:
        """The test episodes, and fresh queries of the same functions."""
        return self._sample(self.config.seed)

    def contexts(self, functions: int, contexts: int) -> tuple[tvl.Episodes, tvl.Episodes]:
        """Several test episodes of each of some functions, and fresh queries of the same."""
        task, generator = self.run.experiment.task, self._seeded(self.config.seed)
        episodes = tvl.sample_contexts(task, functions, contexts, self.shots, generator=generator)
        return episodes, tvl.fresh_queries(task, episodes, generator=generator)

    @functools.cached_property
    def layer(self) -> int:
        """Where its vectors are read and written."""
        objective = self.run.experiment.objective
        if self.config.layer is not None:
            return self.config.layer
        if objective.tvp_weight > 0:
            return objective.tvp_layer
        episodes, queries = self._sample(self.config.seed + DEVELOPMENT_SEED)
        return tvl.best_layer(*self.asked, episodes, queries)

    def _sample(self, seed: int) -> tuple[tvl.Episodes, tvl.Episodes]:
        task, generator = self.run.experiment.task, self._seeded(seed)
        episodes = tvl.sample_episodes(task, self.config.episodes, self.shots, generator=generator)
        return episodes, tvl.fresh_queries(task, episodes, generator=generator)

    def _seeded(self, seed: int) -> torch.Generator:
        return torch.Generator(self.run.model.W_E.device).manual_seed(seed)


@dataclass(frozen=True)
class Page:
    """How the answers of a study are shown."""

    title: str
    """The question."""
    text: str
    """How to read the figures."""
    figures: Callable[[dict], Sequence[go.Figure]]
    """Draws the results of all models, by name."""


def conduct(
    name: str,
    config: Study,
    kind: type[AnyResult],
    analyse: Callable[[Subject], AnyResult],
    page: Page,
) -> dict[str, AnyResult]:
    """Analyse each model; write page, table and results, print the table, and say what was written.

    Args:
        name: of the files.
        config: what the command line asks for.
        kind: of the results.
        analyse: the result of one model.
        page: how results are shown.

    Returns:
        The results by model.
    """
    out = writable_folder(config.out)
    if config.replot is not None:
        loaded = tvl.results.load_results(kind, config.replot)
        report(name, loaded, page, out)
        return loaded
    choose_device(config.device)
    subjects = [
        Subject(model, source, load_model(source, config.device), config)
        for model, source in named_models(config.models).items()
    ]
    results = {}
    for subject in tqdm(subjects, desc=name.replace("_", " "), unit="model"):
        results[subject.name] = analyse(subject)
    tvl.results.save_results(results, out / f"{name}.nc")
    report(name, results, page, out)
    print(f"wrote {out / name}.nc")
    return results


def named_models(models: Sequence[str]) -> dict[str, str | Path]:
    """Shipped models and run folders by name.

    Raises:
        InputError: two are called the same.
    """
    named: dict[str, str | Path] = {}
    for model in models:
        shipped = model in tvl.list_pretrained() or not Path(model).exists()
        name = model if shipped else Path(model).resolve().name
        if name in named:
            raise tvl.InputError(f"Two models are called {name!r}; rename one of the folders.")
        named[name] = model if shipped else Path(model)
    return named


def load_model(model: str | Path, device: str | None) -> tvl.Run:
    """The run of a shipped model or of a folder."""
    if isinstance(model, str):
        return tvl.load_pretrained(model, device=device)
    return tvl.load_run(model, device=device)


def report(name: str, results: Mapping[str, Result], page: Page, out: Path) -> None:
    """Print the table of scores, write table and page, and say where."""
    scores = tvl.results.scores_table(results)
    table = side_by_side(scores)
    print(table.to_string(index=False))
    write_whole(out / f"{name}.csv", lambda file: scores.to_csv(file, index=False))
    tvl.plots.write_page(
        out / f"{name}.html",
        title=page.title,
        text=page.text,
        table=table,
        sections=[(", ".join(results), page.figures(dict(results)))],
    )
    for ending in ("html", "csv"):
        print(f"wrote {out / name}.{ending}")


def side_by_side(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each score and a column for each model: estimate and 95% interval."""
    bounds = scores[["estimate", "low", "high"]].to_numpy()
    cells = [
        f"{estimate:.3g}" + ("" if low != low else f" ({low:.3g} to {high:.3g})")
        for estimate, low, high in bounds
    ]
    wide = scores.assign(cell=cells).pivot(index="score", columns="model", values="cell")
    order = [scores[column].unique() for column in ("score", "model")]
    return wide.loc[order[0], order[1]].fillna("").reset_index().rename_axis(columns=None)
