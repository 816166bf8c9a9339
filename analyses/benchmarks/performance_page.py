"""Write docs/performance.md from what the benchmarks measured: `make bench`, then this."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from timing import parse, plain_errors

from tvlens import InputError
from tvlens.base.files import read_json, write_whole

HEAD = Path(__file__).with_name("performance_head.md")


@dataclass(frozen=True)
class Report:
    """From where to where."""

    measured: Path = Path("figures/benchmarks")
    """Folder of the benchmarks' JSON files."""
    out: Path = Path("docs/performance.md")
    """The page."""


def main(config: Report) -> None:
    """Put every benchmark that was measured on the page."""
    parts = [HEAD.read_text(encoding="utf-8")]
    for name, section in SECTIONS.items():
        path = config.measured / f"{name}.json"
        if path.is_file():
            content = read_json(path)
            parts += [section(content), f"*{_origin(content['origin'], name)}*\n"]
    if len(parts) == 1:
        raise InputError(f"There is nothing measured in {config.measured}; run `make bench` first.")
    write_whole(config.out, lambda file: file.write_text("\n".join(parts), encoding="utf-8"))
    print(f"wrote {config.out}")


def training_step(content: dict[str, Any]) -> str:
    """A training step in tvlens and elsewhere."""
    return "## A training step, ICL loss only\n\n" + _by_size(
        content,
        "Time of one step over that of the hand-written model in the same round: median (range). "
        "`tvlens` computes all outputs as the others do; `tvlens-answers` is how tvlens trains.",
    )


def tvp_loss(content: dict[str, Any]) -> str:
    """What the TVP loss adds."""
    return "## The TVP loss on top\n\n" + _by_size(
        content,
        "Time of a whole step, sampling included, over that with the ICL loss only: median (range)."
        " 4 random lengths are the default.",
    )


def locality_map(content: dict[str, Any]) -> str:
    """A map against loops of hooked forwards."""
    table = _table(
        {
            f"{size['n_layers']} layers, {size['batch']} episodes": {
                row["contestant"]: f"{_ratio(row)}, {row.get('peak_MB') or 0:.0f} MB"
                for row in size["contestants"]
            }
            for size in content["sizes"]
        }
    )
    largest = max(max(size["differences"].values()) for size in content["sizes"])
    return (
        "## A locality map\n\nTime over that of tvlens in the same round, and what the map adds to "
        "the peak memory of a process. `cached` runs the contexts once and then one hooked forward "
        "per cell (layer, role, number of examples); `per cell` reads each vector with a forward "
        f"of its own. Largest difference of an error: {largest:.1e}.\n\n{table}"
    )


def imports(content: dict[str, Any]) -> str:
    """Starting."""
    columns = {
        kind: {row["contestant"]: f"{row['seconds_median']:.2f} s, {_ratio(row)}" for row in rows}
        for kind, rows in content.items()
        if kind in ("CPU", "wall")
    }
    return (
        "## Starting\n\nSeconds (median), and the ratio to the first row. TransformerLens is "
        "imported when a model is made or hooked, not before: that costs its 1 to 2 seconds then."
        f"\n\n{_table(columns)}"
    )


def scaling(content: dict[str, Any]) -> str:
    """How cost grows."""
    exponents = {
        f"{row['work']}, {name}": {} for row in content["exponents"] for name in ("time", "FLOPs")
    }
    for row in content["exponents"]:
        time = f"{row['seconds']:.2f} ± {row['seconds_error']:.2f}"
        exponents[f"{row['work']}, time"][row["axis"]] = time
        exponents[f"{row['work']}, FLOPs"][row["axis"]] = f"{row['gflops']:.2f}"
    shares: dict[str, list[float]] = {}
    for row in content["costs"]:
        shares.setdefault(row["work"], []).append(row["share_of_peak"])
    peak = ", ".join(f"{work} {min(s):.0%} to {max(s):.0%}" for work, s in shares.items())
    base = ", ".join(f"{name} {value}" for name, value in content["base"].items())
    return (
        f"## How cost grows\n\nExponents of cost in each size, varied alone from {base}: slopes "
        f"over logarithms, ± standard error. Share of the FLOP/s of the fastest square matrix "
        f"product on the machine, from the smallest to the largest size: {peak}.\n\n"
        f"{_table(exponents)}"
    )


def profile_step(content: dict[str, Any]) -> str:
    """Where the time goes."""
    columns = {
        work: {row["operator"]: f"{row['share']:.0%}" for row in content[work]["operators"][:8]}
        for work in ("ICL step", "ICL + TVP step", "locality map")
    }
    return f"## Where the time goes\n\nShare of the operators' own time.\n\n{_table(columns)}"


def linear_training(content: dict[str, Any]) -> str:
    """Linear transformers, alone and many seeds in one batch."""
    columns = {
        ", ".join(f"{value} {name}" for name, value in result["size"].items()): {
            row["contestant"]: _ratio(row) for row in result["contestants"]
        }
        for result in content["results"]
    }
    return (
        "## A training step of linear transformers\n\nTwo layers on triplets: time of a step, "
        "sampling included, over that of one seed that trains alone, for each seed: median (range)."
        " The last row builds the paper's matrices example by example, for all prompts of the batch"
        f" at once. {content['rounds']} rounds.\n\n{_table(columns)}"
    )


def learning_curves(contest: str, content: dict[str, Any]) -> str:
    """Quality against seconds, in one contest."""
    parts = []
    for task, rows in content["tables"].items():
        columns = {
            name: {row["contestant"]: row[name] for row in rows}
            for name in ("met", "times", "seconds", "icl", "tvp", "recovery", "seconds_per_step")
        }
        parts.append(f"{task} (target: {content['targets'][task]})\n\n{_table(columns)}")
    return f"## Quality against seconds: {contest}\n\nMedian (range) over seeds.\n\n" + "\n".join(
        parts
    )


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "training_step": training_step,
    "tvp_loss": tvp_loss,
    "locality_map": locality_map,
    "imports": imports,
    "scaling": scaling,
    "profile_step": profile_step,
    "linear_training": linear_training,
    "learning_curves_recipe": partial(learning_curves, "presets and the paper's recipe"),
    "learning_curves_lengths": partial(learning_curves, "context lengths in the TVP loss"),
    "learning_curves_precision": partial(learning_curves, "bfloat16"),
}
"""One for each file that a benchmark writes."""


def _by_size(content: dict[str, Any], text: str) -> str:
    columns = {
        f"width {result['size']['d_model']}, {result['size']['tokens']} tokens": {
            row["contestant"]: _ratio(row) for row in result["contestants"]
        }
        for result in content["results"]
    }
    return f"{text} {content['rounds']} rounds.\n\n{_table(columns)}"


def _ratio(row: dict[str, Any]) -> str:
    median, low, high = (row[f"ratio_{how}"] for how in ("median", "min", "max"))
    digits = 2 if median >= 0.1 else 4
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _table(columns: dict[str, dict[str, str]]) -> str:
    """A Markdown table of columns of cells by row."""
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = " | ".join(column.get(row, "") for column in columns.values())
        lines.append(f"| {row} | {cells} |")
    return "\n".join(lines) + "\n"


def _origin(origin: dict[str, Any], name: str) -> str:
    versions = ", ".join(f"{key} {value}" for key, value in origin["versions"].items())
    return (
        f"{name}, {origin['created'][:10]}: {origin['processor']}, {origin['device']}, "
        f"{origin['threads']} thread(s); {versions}."
    )


if __name__ == "__main__":
    with plain_errors():
        main(parse(Report(), __doc__))
