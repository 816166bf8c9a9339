"""What a training step costs in tvlens and in the libraries that one would use in its place.

python analyses/benchmarks/training_step.py --rounds 20
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from contest import Contest, contestants
from peers import PEERS
from timing import in_turn, parse, plain_errors, ratio_figure, save, to_rows

from tvlens import InputError
from tvlens.base.errors import did_you_mean

LEGACY = "transformer-lens-3"
REFERENCE = "plain"
DESCRIPTION = f"""Time one training step of the same GPT-2 shaped model in several libraries.

The loss is that of in-context learning only. Every contestant runs in a process of its own, on the
same batch. {LEGACY} needs an environment of its own: `make bench-legacy`.

Contestants: {", ".join(PEERS)}"""


@dataclass(frozen=True)
class TrainingStep(Contest):
    """Who takes part, where, and on what."""

    contestants: tuple[str, ...] = tuple(PEERS)
    """Who takes part beside plain, the one that ratios are taken to."""
    legacy_python: Path = Path(".venv-transformer-lens-3/bin/python")
    """The Python of the environment that holds TransformerLens 3.9."""

    def pythons(self) -> dict[str, Path]:
        """Those who take part, each with the Python that runs it."""
        names = list(dict.fromkeys([REFERENCE, *self.contestants]))
        for name in names:
            if name not in PEERS:
                raise InputError(f"There is no contestant {name!r}.{did_you_mean(name, PEERS)}")
        if LEGACY in names and not self.legacy_python.is_file():
            print(f"without {LEGACY}: there is no {self.legacy_python}; see `make bench-legacy`")
            names.remove(LEGACY)
        pythons = dict.fromkeys(names, Path(sys.executable))
        return pythons | ({LEGACY: self.legacy_python} if LEGACY in names else {})


def main(config: TrainingStep) -> None:
    """Time all sizes, print tables, write files."""
    device, pythons = config.where.start(), config.pythons()
    tables: dict[str, pd.DataFrame] = {}
    results: list[dict[str, Any]] = []
    versions: dict[str, Any] = {}
    for size in config.each():
        setting = f"width {size.d_model}, {size.tokens} tokens"
        with contestants(pythons, size, device) as runs:
            versions = {name: run.versions() for name, run in runs.items()}
            timing = in_turn(runs, reference=REFERENCE, rounds=config.rounds, label=setting)
        tables[setting] = timing.table()
        print(f"\n{setting}, batch {size.batch}\n{tables[setting].round(3).to_string()}")
        result = {"size": asdict(size), "contestants": to_rows(tables[setting])}
        for name in (each for each in runs if each.startswith("tvlens")):
            ratios = timing.ratios_of(name)
            print(f"time of {name} / time of\n{ratios.round(3).to_string()}")
            result[f"{name} over"] = to_rows(ratios)
        results.append(result)
    content = {"versions": versions, "rounds": config.rounds, "results": results}
    save(config.where, "training_step", content, [ratio_figure(tables, REFERENCE)])


if __name__ == "__main__":
    with plain_errors():
        main(parse(TrainingStep(), DESCRIPTION))
