"""What do format and depth cost a linear transformer?"""

from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import xarray as xr

from tvlens.analysis.shared.needs import LINEAR, OWN_LENGTH_OR_MORE, asks
from tvlens.base.errors import InputError
from tvlens.models import FirstLayer, LinearTransformer
from tvlens.models.linear.checks import check_linear, check_seeds
from tvlens.models.linear.config import AttentionWeights
from tvlens.prompts import INSEPARABLE, SINGLE, Episodes
from tvlens.results import LinearRisk
from tvlens.subjects import Subject
from tvlens.tasks import MatrixRegression, Task
from tvlens.theory import optimal_risk


@asks(LINEAR, OWN_LENGTH_OR_MORE)
def linear_risk(subject: Subject) -> LinearRisk:
    """Errors of linear transformers of one format, depth and number of examples.

    `LinearRisk.together` compares several kinds that were tested on the same episodes.

    Args:
        subject: linear transformers of one kind, one for each seed.
    """
    models = cast(tuple[LinearTransformer, ...], subject.models)
    return measure_linear_risk(models, subject.task, subject.episodes)


@torch.no_grad()
def measure_linear_risk(
    models: Sequence[LinearTransformer], task: Task, episodes: Episodes
) -> LinearRisk:
    """The same of models of any kinds, of plain data.

    After Dong et al. (arXiv 2506.09048), section 3 and appendix A.4. The optimum that is proven is
    that of one layer on single tokens, and of two of which the first does not compare inputs, of
    structured weights that see all tokens, for standard normal x and W without noise.

    Args:
        models: any, with several seeds of each kind.
        task: what they were trained on.
        episodes: the same for all, with one example more than the largest n. A model of n examples
            is shown the first n and asked the next.

    Raises:
        InputError: there is no model, models of one format, depth and n differ in more than their
            seed, or the episodes are too short or fewer than 2. Models tell nothing of how they
            were trained: sparsity is not seen.
    """
    check_linear(models)
    needed = 1 + max((model.examples for model in models), default=0)
    if not models or episodes.shots < needed or episodes.batch < 2:
        raise InputError(
            f"Expected models, and at least 2 episodes of {needed} examples or more (the largest n "
            f"and a query); got {len(models)} models and {episodes.batch} episodes of "
            f"{episodes.shots}."
        )
    check_seeds((_kind(model), model) for model in models)
    errors, labels, optima, seen = [], [], [], Counter()
    for model in models:
        n = model.examples
        answers = model.answer(model.format.context(episodes.some_shots(slice(n + 1))))
        errors.append(task.error(answers, episodes.target[:, n]).cpu().numpy())
        kind = _kind(model)
        seen[kind] += 1
        labels.append((*kind, seen[kind]))
        proven = task == MatrixRegression(model.d) and _compares_once(model)
        optima.append(optimal_risk(n, model.d) / model.d if proven else np.nan)
    names = ("format", "layers", "examples", "seed")
    columns = zip(names, zip(*labels, strict=True), strict=True)
    return LinearRisk(
        xr.Dataset(
            {"error": (("run", "episode"), np.stack(errors)), "optimum": ("run", optima)},
            coords={name: ("run", list(values)) for name, values in columns},
            attrs={"d": models[0].d, "task": type(task).__name__, "episodes": episodes.digest},
        )
    )


def _kind(model: LinearTransformer) -> tuple[str, int, int]:
    """What models differ in, beside their seed."""
    return model.format.name, model.n_layers, model.examples


def _compares_once(model: LinearTransformer) -> bool:
    """Whether only one layer compares inputs, of no more layers than that takes."""
    config = model.config
    if config.causal or config.weights is AttentionWeights.UNCONSTRAINED:
        return False
    if model.format == SINGLE:
        return model.n_layers == 1
    inseparable = model.format == INSEPARABLE
    first = FirstLayer.LIFTS if inseparable else FirstLayer.BLIND
    return model.n_layers == 2 and config.first_layer is first
