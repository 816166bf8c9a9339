"""What the scripts of analyses share: which models, which episodes, and where answers go."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

import torch
import tyro
from command_line import Quiet, parse, plain_errors, quietly

import tvlens as tvl
from tvlens.base.devices import choose_device
from tvlens.base.files import writable_folder, write_whole
from tvlens.base.progress import progress
from tvlens.base.provenance import provenance, source_files
from tvlens.training.snapshots import snapshot_files

if TYPE_CHECKING:
    import pandas as pd

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

    ELSEWHERE: ClassVar = ("models", "out", "device", "replot", "quiet")
    """What the result of a model does not depend on."""

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
    quiet: Quiet = False
    """Print nothing but errors."""

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
    def asked(self) -> tuple[tvl.HookedTransformer, tvl.Task, tvl.TokenFormat]:
        """What every analysis takes first."""
        format: Any = self.run.experiment.format  # `load_model` gives no other.
        return self.run.model, self.run.experiment.task, format

    @property
    def shots(self) -> int:
        """Examples of an episode: those of the longest context, and the one that is asked."""
        return (self.config.examples or self.run.experiment.train.examples) + 1

    @functools.cached_property
    def generator(self) -> torch.Generator:
        """Of everything random in the study of this model but its episodes; on its device."""
        return self._seeded(self.config.seed + CONTROL_SEED)

    def episodes(self, task: tvl.Task | None = None) -> tuple[tvl.Episodes, tvl.Episodes]:
        """The test episodes, and fresh queries of the same functions; of the task of its training
        if none is given.
        """
        return self._sample(self.config.seed, task or self.run.experiment.task)

    def contexts(self, functions: int, contexts: int) -> tuple[tvl.Episodes, tvl.Episodes]:
        """Several test episodes of each of some functions, and fresh queries of the same."""
        task, generator = self.run.experiment.task, self._seeded(self.config.seed)
        episodes = tvl.sample_contexts(task, functions, contexts, self.shots, generator=generator)
        return episodes, tvl.fresh_queries(task, episodes, generator=generator)

    @functools.cached_property
    def layer(self) -> int:
        """Where its vectors are read and written."""
        if self.config.layer is not None:
            return self.config.layer
        prescribed = self.run.experiment.objective.prescribed_layer
        if prescribed is not None:
            return prescribed
        seed = self.config.seed + DEVELOPMENT_SEED
        episodes, queries = self._sample(seed, self.run.experiment.task)
        return tvl.best_layer(*self.asked, episodes, queries)

    @property
    def family(self) -> str:
        """What it has in common with the models that it is shown beside."""
        return f"{self.run.experiment.task}, {self.run.experiment.format.name}"

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with all that the result depends on: model, test, and the code that asks."""
        weights = hashlib.sha256()
        for tensor in self.run.model.state_dict().values():
            weights.update(tensor.cpu().contiguous().view(torch.uint8).numpy())
        test = {k: v for k, v in asdict(self.config).items() if k not in self.config.ELSEWHERE}
        model = [weights.hexdigest(), self.run.experiment.to_json(), self._snapshots()]
        # Episodes are drawn on the device, and each kind of device draws others.
        device = self.run.model.W_E.device.type
        return digest([*model, test, device, _code()])

    @property
    def origin(self) -> dict[str, Any]:
        """What a result says of where it is from."""
        facts = provenance(self.run.model.W_E.device)
        return {
            "fingerprint": self.fingerprint,
            "family": self.family,
            "seed": self.config.seed,
            "version": facts["versions"]["tvlens"],
            "commit": facts["commit"] or "unknown",
        }

    def _snapshots(self) -> list[int]:
        """Steps of the snapshots that a run folder has."""
        return list(snapshot_files(self.source)) if isinstance(self.source, Path) else []

    def _sample(self, seed: int, task: tvl.Task) -> tuple[tvl.Episodes, tvl.Episodes]:
        generator = self._seeded(seed)
        episodes = tvl.sample_episodes(task, self.config.episodes, self.shots, generator=generator)
        return episodes, tvl.fresh_queries(task, episodes, generator=generator)

    def _seeded(self, seed: int) -> torch.Generator:
        return torch.Generator(self.run.model.W_E.device).manual_seed(seed)


@dataclass(frozen=True)
class Script(Generic[AnyResult]):
    """A script that asks one question of models, and leaves a page, a table and the results."""

    name: str
    """Of the files it writes."""
    kind: type[AnyResult]
    """The kind of result that answers."""
    analyse: Callable[[Subject], AnyResult]
    """The result of one model."""
    description: str
    """What --help says, with an example."""
    default: Study = Study()
    """The command line starts from here; its type says which options there are."""
    table: Callable[[Mapping[str, AnyResult]], pd.DataFrame] = tvl.results.side_by_side
    """What is printed, and stands on top of the page."""

    def main(self, prepare: Callable[[Any], Sources | None] = lambda config: None) -> None:
        """Do what the command line asks for.

        Args:
            prepare: makes models of the configuration; those that it names if None.
        """
        with plain_errors():
            config = parse(type(self.default), self.default, self.description)
            with quietly(config.quiet):
                self.conduct(config, None if config.replot else prepare(config))

    def conduct(self, config: Study, sources: Sources | None = None) -> dict[str, AnyResult]:
        """Analyse each model; write page, table and results, print the table, and say where.

        Args:
            config: what is asked.
            sources: the models by name; those of the configuration if None.

        Returns:
            The results by model.
        """
        out = writable_folder(config.out)
        if config.replot is not None:
            results = tvl.results.load_results(self.kind, config.replot)
            written = self._report(results, out)
        else:
            results = self.results(config, sources)
            written = [*self._report(results, out), self.file(config)]
        print("wrote " + ", ".join(map(str, written)))
        return results

    def file(self, config: Study) -> Path:
        """Where the results are."""
        return config.out / f"{self.name}.nc"

    def results(self, config: Study, sources: Sources | None = None) -> dict[str, AnyResult]:
        """The results by model, and in the file; those that are known already are not made again.

        Every answer is kept in the folder `answers`, under the hash of all that it depends on.
        """
        choose_device(config.device)
        subjects = [
            Subject(model, source, load_model(source, config.device), config)
            for model, source in (sources or named_models(config.models)).items()
        ]
        results: dict[str, AnyResult] = {}
        for subject in progress(subjects, self.name.replace("_", " ")):
            results[subject.name] = self._answer(subject)
        tvl.results.save_results(results, self.file(config))
        return results

    def _answer(self, subject: Subject) -> AnyResult:
        """The result of one model, computed now or in an earlier call."""
        folder = writable_folder(subject.config.out / "answers")
        file = folder / f"{self.name}-{subject.fingerprint[:16]}.nc"
        if not file.is_file():
            answer = self.analyse(subject)
            answer.data.attrs |= subject.origin
            answer.save(file)
        return self.kind.load(file)

    def _report(self, results: Mapping[str, AnyResult], out: Path) -> list[Path]:
        """Print the table, write tables and page, and tell their files."""
        question = tvl.plots.question_of(self.kind)
        table = self.table(results)
        print(table.to_string(index=False))
        tables = {self.name: tvl.results.scores_table(results)}
        main = tvl.plots.Section(
            ", ".join(filter(None, results)) or "Results",
            question.figures(results),
            table,
            values=tables[self.name],
            notes=tvl.results.what_was_asked(results),
        )
        sections = [main]
        if question.compare is not None and len(differences := question.compare(results)):
            tables[f"{self.name}_differences"] = differences
            shown = differences.map(lambda cell: f"{cell:.3g}" if isinstance(cell, float) else cell)
            sections.append(tvl.plots.Section("Differences", table=shown, values=differences))
        for name, each in tables.items():
            write_whole(out / f"{name}.csv", lambda file, each=each: each.to_csv(file, index=False))
        tvl.plots.write_page(
            out / f"{self.name}.html",
            title=question.title,
            text=question.reading,
            sections=sections,
        )
        return [out / f"{self.name}.html", *(out / f"{name}.csv" for name in tables)]


Sources = Mapping[str, str | Path]
"""Shipped models and run folders by name."""


def named_models(models: Sequence[str]) -> dict[str, str | Path]:
    """Shipped models and run folders by name.

    Raises:
        InputError: two are called the same.
    """
    named: dict[str, str | Path] = {}
    for model in models:
        # What has a slash is a path, there or not.
        ships = model in tvl.list_pretrained() or not ("/" in model or Path(model).exists())
        name = model if ships else Path(model).resolve().name
        if name in named:
            raise tvl.InputError(f"Two models are called {name!r}; rename one of the folders.")
        named[name] = model if ships else Path(model)
    return named


@functools.cache
def load_model(model: str | Path, device: str | None) -> tvl.Run:
    """The run of a shipped model or of a folder, whose prompts are tokens.

    Raises:
        InputError: there is none, or its prompts are columns.
    """
    if isinstance(model, str):
        run = tvl.load_pretrained(model, device=device)
    else:
        run = tvl.load_run(model, device=device)
    if not isinstance(run.experiment.format, tvl.TokenFormat):
        raise tvl.InputError(
            f"{str(model)!r} is a linear transformer, whose prompts are columns; this script asks "
            "models whose prompts are tokens. `python analyses/linear_theory.py` asks those."
        )
    return run


def shipped(format: type[tvl.Format]) -> list[str]:
    """Names of the models that ship whose prompts are of one kind of format."""
    names = tvl.list_pretrained()
    runs = {name: tvl.load_pretrained(name, device="cpu") for name in names}
    return [name for name in names if isinstance(runs[name].experiment.format, format)]


def digest(data: object) -> str:
    """A hash of JSON data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


@functools.cache
def _code() -> str:
    """A hash of the package and of the scripts."""
    files = [*source_files(), *sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
