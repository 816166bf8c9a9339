"""Where the time goes, by operator: `python analyses/benchmarks/profile_step.py`."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import pandas as pd
import plotly.graph_objects as go
import torch
import tyro
from sizes import Size
from timing import Where, parse, plain_errors, save
from torch.profiler import ProfilerActivity, profile

from tvlens import InputError
from tvlens.analysis.locality_map import measure_locality_map

TOP = 12


@dataclass(frozen=True)
class Config:
    """What is profiled."""

    where: Annotated[Where, tyro.conf.arg(name="")] = Where()
    step: Size = Size(batch=256)
    """Size of the training steps."""
    map: Size = Size(batch=256)
    """Size of the locality map."""
    repeats: int = 3
    """How many steps, and how many maps, are summed."""


def main(config: Config) -> None:
    """Profile, print, write."""
    if config.repeats < 1:
        raise InputError("Give at least 1 for --repeats.")
    device = config.where.start()
    works: dict[str, Callable[[], object]] = {
        "ICL step": config.step.step(device),
        "ICL + TVP step": config.step.step(device, tvp_weight=1.0),
        "locality map": config.map.map(measure_locality_map, device),
    }
    content: dict[str, object] = {"step": asdict(config.step), "map": asdict(config.map)}
    figure = go.Figure()
    for name, work in works.items():
        table = time_by_operator(work, config.repeats, device)
        print(f"\n{name}: {table.milliseconds.sum():.0f} ms, the largest {TOP} of {len(table)}")
        top = table.head(TOP)
        print(top.to_string(index=False, float_format="{:.3f}".format))
        figure.add_bar(y=top.operator, x=top.share, name=name, orientation="h")
        content[name] = {
            "milliseconds": float(table.milliseconds.sum()),
            "operators": top.to_dict("records"),
        }
    figure.update_xaxes(title="share of the operators' own time", tickformat=".0%")
    save(config.where, "profile_step", content, [figure.update_yaxes(autorange="reversed")])


def time_by_operator(
    work: Callable[[], object], repeats: int, device: torch.device
) -> pd.DataFrame:
    """Time spent in each operator itself, per call of `work`: the CPU's, or that of a GPU."""
    work()
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        for _ in range(repeats):
            work()
    events = profiler.key_averages()
    table = pd.DataFrame(
        {
            "operator": [event.key for event in events],
            "milliseconds": [
                (event.self_device_time_total if on_gpu else event.self_cpu_time_total)
                / (1000 * repeats)
                for event in events
            ],
            "calls": [event.count / repeats for event in events],
        }
    )
    table.insert(2, "share", table.milliseconds / table.milliseconds.sum())
    return table.sort_values("milliseconds", ascending=False, ignore_index=True)


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), __doc__))
