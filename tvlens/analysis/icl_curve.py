"""How fast does a model learn in context, and how much of it fits into one vector?"""

import torch
import xarray as xr
from transformer_lens import HookedRootModule

from tvlens.interventions.baselines import (
    icl_errors,
    oracle_errors,
    task_vector_errors,
    zero_shot_errors,
)
from tvlens.prompts import Episodes, Format, PositionIds, carrier_of
from tvlens.results import ICLCurve
from tvlens.tasks import Task


@torch.inference_mode()
def icl_curve(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    layer: int,
    position_ids: PositionIds | None = None,
) -> ICLCurve:
    """Errors of in-context learning and of task-vector prompting against the number of examples.

    Args:
        episodes: the contexts; example n + 1 is asked after n examples.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`).
        layer: where the carrier's vector is read and written.
        position_ids: those of the zero-shot prompts.
    """
    tvp = task_vector_errors(model, task, format, episodes, queries, layer, position_ids)
    return ICLCurve(
        xr.Dataset(
            {
                "icl": icl_errors(model, task, format, episodes),
                "tvp": tvp,
                "zero_shot": zero_shot_errors(model, task, format, queries, position_ids),
                "oracle": oracle_errors(task, episodes),
            },
            attrs={
                "layer": layer,
                "carrier": carrier_of(format).value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )
