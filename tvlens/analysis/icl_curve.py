"""How fast does a model learn in context, and how much of it fits into one vector?"""

import torch
import xarray as xr
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, asks
from tvlens.interventions.baselines import (
    icl_errors,
    oracle_errors,
    task_vector_errors,
    zero_shot_errors,
)
from tvlens.interventions.stamps import stamp
from tvlens.prompts import Episodes, Format, PositionIds
from tvlens.results import ICLCurve
from tvlens.subjects import Subject
from tvlens.tasks import Task, check_same_functions


@asks(ONE_MODEL, CARRIER, LAYER)
def icl_curve(subject: Subject, *, position_ids: PositionIds | None = None) -> ICLCurve:
    """Errors of in-context learning and of task-vector prompting against the number of examples.

    Args:
        subject: the model that is asked.
        position_ids: those of the zero-shot prompts; the format's own if None.
    """
    return measure_icl_curve(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        layer=subject.layer,
        position_ids=position_ids,
    )


@torch.inference_mode()
def measure_icl_curve(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    layer: int,
    position_ids: PositionIds | None = None,
) -> ICLCurve:
    """The same, of plain data.

    Args:
        model: what is asked.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: the contexts; example n + 1 is asked after n examples.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`).
        layer: where the carrier's vector is read and written.
        position_ids: those of the zero-shot prompts.
    """
    check_same_functions(episodes, queries, shots=True)
    tvp = task_vector_errors(model, task, format, episodes, queries, layer, position_ids)
    return ICLCurve(
        xr.Dataset(
            {
                "icl": icl_errors(model, task, format, episodes),
                "tvp": tvp,
                "zero_shot": zero_shot_errors(model, task, format, queries, position_ids),
                "oracle": oracle_errors(task, episodes),
            },
            attrs=stamp(
                task, format, layer=layer, position_ids=position_ids or format.position_ids
            ),
        )
    )
