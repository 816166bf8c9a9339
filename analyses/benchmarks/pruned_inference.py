"""What a dropped context saves: `python analyses/benchmarks/pruned_inference.py`."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import plotly.graph_objects as go
import torch
import tyro
from answers import Request
from plotly.subplots import make_subplots
from scaling import count_flops
from timing import Where, in_turn, parse, plain_errors, save, seconds_of

from tvlens import InputError

DESCRIPTION = """Time, FLOPs and memory of an answer when, above a layer, only the query is left.

Full inference, too, computes of its last block the last answer only. Ratios are taken within rounds
in which all run in turn. FLOPs are those of matrix products and attention, counted as if it were
not causal. Memory is what an answer adds to a process of its own, at the peak, with and without
holding keys and values for decoding on; beside it what keys and values must take.

The defaults take some minutes; --no-memory saves a third."""
FULL = "full inference"
PROMPT_RELEASE = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Has glibc give larger blocks back at once, so that a peak is what was held and not what was kept
for later."""


@dataclass(frozen=True)
class Config:
    """Which answers are timed."""

    where: Annotated[Where, tyro.conf.arg(name="")] = Where()
    layers: tuple[int, ...] = (4, 12)
    """Depths of the models."""
    d_model: tuple[int, ...] = (64, 256)
    """Width of each of them."""
    examples: tuple[int, ...] = (32, 128, 512, 1024)
    """Lengths of the context."""
    tokens: int = 4096
    """How many tokens are answered together, in as many prompts as fit, at least one."""
    rounds: int = 5
    """How often each answer is timed."""
    memory: bool = True
    """Whether memory is measured too, one process for each answer."""

    def requests(self) -> list[Request]:
        """One for each model and length."""
        numbers = (*self.layers, *self.d_model, *self.examples, self.tokens, self.rounds)
        if len(self.layers) != len(self.d_model) or min(numbers) < 1:
            raise InputError("Give as many widths (--d-model) as --layers, and no 0.")
        return [
            Request(depth, width, n, max(1, self.tokens // Request(examples=n).tokens))
            for depth, width in zip(self.layers, self.d_model, strict=True)
            for n in self.examples
        ]


def main(config: Config) -> None:
    """Time, count, measure, write."""
    requests = config.requests()
    device = config.where.start()
    tables = []
    for request in requests:
        table = measure(config, request, device)
        if config.memory:
            table = table.join(memory(request, table.index.tolist(), config.where))
        print(f"\n{label(request)}, {request.tokens} tokens, {request.batch} prompts")
        print(table.round(4).to_string())
        tables.append(table.reset_index().assign(**asdict(request), tokens=request.tokens))
    costs = pd.concat(tables, ignore_index=True)
    content = {"reference": FULL, "rounds": config.rounds, "costs": costs.to_dict("records")}
    save(config.where, "pruning", content, [cost_figure(costs)])


def label(request: Request) -> str:
    """What is asked of which model."""
    return f"{request.n_layers} layers of width {request.d_model}, {request.examples} examples"


def measured_layers(n_layers: int) -> list[int]:
    """The layers above which the context is dropped: the lowest, quarters, and the last but one."""
    chosen = {1, n_layers // 4, n_layers // 2, 3 * n_layers // 4, n_layers - 1}
    return sorted(chosen & set(range(1, n_layers)))


def measure(config: Config, request: Request, device: torch.device) -> pd.DataFrame:
    """Seconds and FLOPs of an answer at each layer; at the last one, of full inference."""
    top = request.n_layers
    runs = {layer: request.answer(layer, device) for layer in measured_layers(top)}
    runs[top] = request.answer(None, device)
    timing = in_turn(
        {str(layer): partial(seconds_of, run, device) for layer, run in runs.items()},
        reference=str(top),
        rounds=config.rounds,
        warmup=1,
        label=label(request),
    )
    table = timing.table().set_axis(pd.Index(list(runs), name="layer"))
    table["gflops"] = [count_flops(run) / 1e9 for run in runs.values()]
    table["flops_ratio"] = table.gflops / table.gflops[top]
    table["cache_MB"] = [request.cache_bytes(layer) / 1e6 for layer in runs]
    return table


def memory(request: Request, layers: list[int], where: Where) -> pd.DataFrame:
    """Megabytes that an answer adds to a new process at each layer, without and with its keys and
    values held.
    """
    script = Path(__file__).with_name("answer_memory.py")
    rows = {}
    for layer in layers:
        options: dict[str, Any] = {"layer": layer, "device": where.device}
        options |= {"threads": where.threads, **asdict(request)}
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ | PROMPT_RELEASE,
        )
        rows[layer] = [each / 1e6 for each in json.loads(done.stdout)]
    columns = ["peak_MB", "peak_with_cache_MB"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("layer")


def cost_figure(costs: pd.DataFrame) -> go.Figure:
    """Time against the layer as a share of full inference; FLOPs are dotted."""
    names = [f"{n} layers of width {d}" for n, d in zip(costs.n_layers, costs.d_model, strict=True)]
    models = dict(list(costs.groupby(names, sort=False)))
    figure = make_subplots(
        cols=len(models), shared_yaxes=True, subplot_titles=list(map(str, models))
    )
    colours = ("#8ab6d6", "#4a90c2", "#1f5fa8", "#0b2f5c")
    for column, rows in enumerate(models.values(), start=1):
        for index, (examples, each) in enumerate(rows.groupby("examples")):
            median = each["ratio_median"]
            common = {"x": each["layer"] / each["n_layers"], "legendgroup": str(examples)}
            common |= {"line_color": colours[index % len(colours)]}
            figure.add_scatter(
                **common,
                y=median,
                name=f"{examples} examples",
                showlegend=column == 1,
                mode="lines+markers",
                error_y={
                    "symmetric": False,
                    "array": each["ratio_max"] - median,
                    "arrayminus": median - each["ratio_min"],
                },
                customdata=each[["layer", "seconds_median", "gflops"]],
                hovertemplate=(
                    f"{examples} examples, layer %{{customdata[0]}}<br>time %{{y:.2f}} of full "
                    "inference, %{customdata[1]:.4f} s, %{customdata[2]:.2f} GFLOP<extra></extra>"
                ),
                row=1,
                col=column,
            )
            figure.add_scatter(
                **common,
                y=each["flops_ratio"],
                name="FLOPs",
                mode="lines",
                line_dash="dot",
                hoverinfo="skip",
                showlegend=column == 1 and index == 0,
                row=1,
                col=column,
            )
    figure.update_xaxes(title="layer above which the context is dropped / number of layers")
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title="time / time of full inference", col=1)
    return figure.update_layout(height=460, title="What does dropping the context save?")


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), DESCRIPTION))
