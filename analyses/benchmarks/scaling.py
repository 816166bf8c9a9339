"""How costs grow with size: `python analyses/benchmarks/scaling.py`."""

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
import tyro
from plotly.subplots import make_subplots
from sizes import Size
from timing import Where, in_turn, parse, plain_errors, save, seconds_of
from torch.utils import flop_counter

from tvlens.analysis.locality_map import measure_locality_map

DESCRIPTION = """How the cost of a training step and of a locality map grows with width, context,
depth and batch, each varied alone.

Exponents are slopes over the logarithms, with standard errors. FLOPs are those of matrix products
and attention, counted as if it were not causal. The share of the peak compares FLOPs per second to
those of the fastest square matrix product, which is timed in every round beside the others."""
AXES = {"d_model": "d_model", "examples": "tokens", "n_layers": "layers", "batch": "batch"}
"""Fields of a size that are varied, and what is shown for them."""
WORK = ("ICL step", "ICL + TVP step", "locality map")
PEAK = "matrix product"
Shape = tuple[int, ...]
_CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_CPU_ATTENTION_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True)
class Config:
    """Which sizes are timed."""

    where: Annotated[Where, tyro.conf.arg(name="")] = Where()
    base: Size = Size(n_layers=4, batch=32)
    """What stays as it is while one of its fields is varied."""
    d_model: tuple[int, ...] = (32, 64, 128, 256)
    """Widths, multiples of 4."""
    examples: tuple[int, ...] = (7, 15, 31, 63)
    """Context lengths."""
    n_layers: tuple[int, ...] = (2, 4, 8, 16)
    """Depths."""
    batch: tuple[int, ...] = (16, 32, 64, 128)
    """Episodes."""
    products: tuple[int, ...] = (256, 512, 1024, 2048)
    """Sizes of the square matrix products, of which the fastest counts."""
    rounds: int = 3
    """How often each size is timed."""


def main(config: Config) -> None:
    """Time, count, fit, write."""
    device = config.where.start()
    product = fastest_product(config.products, device)
    costs = pd.concat(
        measure(config, axis, work, product, device) for axis in AXES for work in WORK
    ).reset_index(drop=True)
    exponents = fit_exponents(costs)
    print(f"{PEAK} {product} x {product}: {costs.peak_gflops.median():.1f} GFLOP/s")
    print("\nexponents (slope, standard error)")
    print(exponents.round(2).to_string(index=False))
    print("\ncosts")
    print(costs.drop(columns="peak_gflops").to_string(index=False, float_format="{:.3g}".format))
    content = {
        "base": asdict(config.base),
        "rounds": config.rounds,
        "product": product,
        "exponents": exponents.replace(np.nan, None).to_dict("records"),
        "costs": costs.to_dict("records"),
    }
    save(config.where, "scaling", content, [cost_figure(costs)])


def measure(
    config: Config, axis: str, work: str, product: int, device: torch.device
) -> pd.DataFrame:
    """Seconds, FLOPs and share of the peak for all values of one field, timed in turn."""
    sizes = [replace(config.base, **{axis: value}) for value in getattr(config, axis)]
    runs = [work_of(size, work, device) for size in sizes]
    contestants = {str(index): partial(seconds_of, run, device) for index, run in enumerate(runs)}
    multiply = matrix_product(product, device)
    timing = in_turn(
        {PEAK: partial(seconds_of, multiply, device), **contestants},
        reference=PEAK,
        rounds=config.rounds,
        warmup=1,
        label=f"{work} by {AXES[axis]}",
    )
    table = timing.table()
    rows = []
    for (name, run), size in zip(zip(contestants, runs, strict=True), sizes, strict=True):
        flops = count_flops(run)
        rows.append(
            {
                "work": work,
                "axis": AXES[axis],
                "value": size.tokens if axis == "examples" else getattr(size, axis),
                "seconds": table.seconds_median[name],
                "gflops": flops / 1e9,
                # From ratios within rounds, in which the machine had one speed.
                "share_of_peak": flops / (2 * product**3) / table.ratio_median[name],
                "peak_gflops": 2 * product**3 / table.seconds_median[PEAK] / 1e9,
            }
        )
    return pd.DataFrame(rows)


def work_of(size: Size, work: str, device: torch.device) -> Callable[[], object]:
    """One of the things whose cost is measured."""
    if work == "locality map":
        return size.map(measure_locality_map, device)
    return size.step(device, tvp_weight=float("TVP" in work))


def count_flops(run: Callable[[], object]) -> int:
    """FLOPs of matrix products and attention in one call."""
    kernels = {_CPU_ATTENTION: _attention, _CPU_ATTENTION_BACKWARD: _attention_backward}
    with flop_counter.FlopCounterMode(display=False, custom_mapping=kernels) as counter:
        run()
    return counter.get_total_flops()


# PyTorch knows these formulas, but not that they hold for its CPU kernels too.
def _attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return flop_counter.sdpa_flop_count(query, key, value)


def _attention_backward(
    grad: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object
) -> int:
    return flop_counter.sdpa_backward_flop_count(grad, query, key, value)


def matrix_product(size: int, device: torch.device) -> Callable[[], object]:
    """A product of two square matrices."""
    first, second = torch.randn(2, size, size, device=device)
    return lambda: torch.mm(first, second)


def fastest_product(sizes: tuple[int, ...], device: torch.device) -> int:
    """The size of matrix product with the most FLOPs per second."""
    runs = {size: matrix_product(size, device) for size in sizes}
    contestants = {str(size): partial(seconds_of, run, device) for size, run in runs.items()}
    timing = in_turn(contestants, reference=str(sizes[0]), rounds=5, label=PEAK)
    seconds = timing.seconds.median()
    return max(sizes, key=lambda size: size**3 / seconds[str(size)])


def fit_exponents(costs: pd.DataFrame) -> pd.DataFrame:
    """Exponents of seconds and FLOPs for each axis and kind of work."""
    rows = []
    for axis, work in itertools.product(AXES.values(), WORK):
        group = costs.loc[(costs["axis"] == axis) & (costs["work"] == work)]
        row: dict[str, object] = {"axis": axis, "work": work}
        for name in ("seconds", "gflops"):
            slope, error = log_log_slope(group["value"].to_numpy(), group[name].to_numpy())
            row |= {name: slope, f"{name}_error": error}
        rows.append(row)
    return pd.DataFrame(rows)


def log_log_slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Least-squares slope over logarithms, and its standard error; nan for fewer than 3 points."""
    u, v = np.log(x), np.log(y)
    u, v = u - u.mean(), v - v.mean()
    slope = u @ v / (u @ u)
    if len(u) < 3:
        return float(slope), float("nan")
    residual = v - slope * u
    return float(slope), float(np.sqrt(residual @ residual / (len(u) - 2) / (u @ u)))


def cost_figure(costs: pd.DataFrame) -> go.Figure:
    """Seconds against each axis, and below them what the FLOPs alone would take at the peak."""
    figure = make_subplots(cols=len(AXES), shared_yaxes=True, subplot_titles=list(AXES.values()))
    for column, axis in enumerate(AXES.values(), start=1):
        for colour, work in zip(("#1f5fa8", "#d1495b", "#2f2f2f"), WORK, strict=True):
            rows = costs.loc[(costs["axis"] == axis) & (costs["work"] == work)]
            common = {"x": rows["value"], "line_color": colour, "legendgroup": work}
            figure.add_scatter(
                **common, y=rows.seconds, name=work, showlegend=column == 1, row=1, col=column
            )
            at_peak = rows.seconds * rows.share_of_peak
            figure.add_scatter(
                **common,
                y=at_peak,
                name=f"{work}, at the peak",
                line_dash="dot",
                showlegend=column == 1,
                row=1,
                col=column,
            )
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    return figure.update_yaxes(title="seconds", col=1)


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), DESCRIPTION))
