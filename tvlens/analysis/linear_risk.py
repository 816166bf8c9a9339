"""What do format and depth cost a linear transformer?"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from tvlens.demonstrations import DemonstrationFormat
from tvlens.errors import InputError
from tvlens.models import FirstLayer, LinearTransformer
from tvlens.models.linear_models import check_linear
from tvlens.prompts import Episodes
from tvlens.results import LinearRisk
from tvlens.tasks import Task
from tvlens.theory import optimal_risk


@torch.no_grad()
def linear_risk(models: Sequence[LinearTransformer], task: Task, episodes: Episodes) -> LinearRisk:
    """Errors of linear transformers of any format, depth and number of examples.

    After Dong et al. (arXiv 2506.09048), section 3 and appendix A.4. The optimum that is proven is
    that of one layer on single tokens, and of two of which the first does not compare inputs, for
    standard normal x and W.

    Args:
        models: any, with several seeds of each kind.
        task: what they were trained on.
        episodes: the same for all, with one example more than the largest n. A model of n examples
            is shown the first n and asked the next.

    Raises:
        InputError: there is no model, or the episodes are too short.
    """
    check_linear(models)
    needed = 1 + max((model.examples for model in models), default=0)
    if not models or episodes.shots < needed:
        raise InputError(
            f"Expected models, and episodes of {needed} examples or more (the largest n and a "
            f"query); got {len(models)} models and episodes of {episodes.shots}."
        )
    errors, labels, optima, seen = [], [], [], Counter()
    for model in models:
        n = model.examples
        answers = model.answer(model.format.context(episodes.some_shots(slice(n + 1))))
        errors.append(task.error(answers, episodes.target[:, n]).cpu().numpy())
        kind = (model.format.value, model.n_layers, n)
        seen[kind] += 1
        labels.append((*kind, seen[kind]))
        optima.append(optimal_risk(n, model.d) / model.d if _compares_once(model) else np.nan)
    names = ("format", "layers", "examples", "seed")
    columns = zip(names, zip(*labels, strict=True), strict=True)
    return LinearRisk(
        xr.Dataset(
            {"error": (("run", "episode"), np.stack(errors)), "optimum": ("run", optima)},
            coords={name: ("run", list(values)) for name, values in columns},
            attrs={"d": models[0].d, "task": type(task).__name__},
        )
    )


def _compares_once(model: LinearTransformer) -> bool:
    """Whether only one layer compares inputs, of no more layers than that takes."""
    if model.format is DemonstrationFormat.SINGLE:
        return model.n_layers == 1
    return model.n_layers == 2 and model.config.first_layer is not FirstLayer.FULL
