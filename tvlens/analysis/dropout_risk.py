"""Do task vectors help where tokens drop out?"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Generator

from tvlens.base.errors import InputError
from tvlens.models import FirstLayer, LinearConfig, LinearTransformer
from tvlens.models.linear.checks import check_linear, check_seeds
from tvlens.models.linear.config import AttentionWeights, DropoutKind
from tvlens.prompts import PAIRWISE, TRIPLET, Episodes
from tvlens.results import DropoutRisk
from tvlens.tasks import MatrixRegression, Task
from tvlens.theory import optimal_dropout_risk, optimal_pairs_dropout_risk


@torch.no_grad()
def dropout_risk(
    models: Sequence[LinearTransformer],
    task: Task,
    episodes: Episodes,
    *,
    generator: Generator,
) -> DropoutRisk:
    """Errors of models under the dropout of their own training, and without.

    After Proposition 5 of Dong et al. (arXiv 2506.09048). The optimum is that of its setting: two
    layers of structured weights that see all tokens, `DropoutKind.INPUT`, standard normal x and W
    without noise; nan for others.

    Args:
        models: pairs and triplets of one number of examples, several seeds and keeps.
        task: what they were trained on.
        episodes: the same for all; the last example is asked after all others.
        generator: draws the tokens that are lost, on the episodes' device.

    Raises:
        InputError: there is no model, one is not of pairs or triplets or of another number of
            examples than the episodes, or models of one keep differ in more than format and seed.
    """
    check_linear(models)
    n = episodes.shots - 1
    formats = (PAIRWISE, TRIPLET)
    wrong = [each for each in models if each.format not in formats or each.examples != n]
    if wrong or not models:
        got = f"{wrong[0].format.name} of {wrong[0].examples}" if wrong else "no model"
        raise InputError(f"Expected models of pairs or triplets of {n} examples, got {got}.")
    check_seeds((f"keep {model.config.dropout.keep:g}", model) for model in models)
    dropped, whole, labels, seen = [], [], [], Counter()
    for model in models:
        prompt = model.format.context(episodes)
        kept = model.sample_kept(episodes.batch, generator=generator)
        for errors, mask in ((dropped, kept), (whole, None)):
            error = task.error(model.answer(prompt, mask), episodes.target[:, -1])
            errors.append(error.cpu().numpy())
        kind = (model.format.name, model.config.dropout.keep)
        seen[kind] += 1
        labels.append((*kind, seen[kind]))
    names = ("run_format", "run_keep", "seed")
    columns = zip(names, zip(*labels, strict=True), strict=True)
    d, configs = models[0].d, {model.config.dropout.keep: model.config for model in models}
    keeps = sorted(configs)
    proven = [task == MatrixRegression(d) and _is_proven(configs[keep]) for keep in keeps]
    return DropoutRisk(
        xr.Dataset(
            {
                "dropped": (("run", "episode"), np.stack(dropped)),
                "whole": (("run", "episode"), np.stack(whole)),
                "optimum": (("format", "keep"), np.where(proven, _optima(n, d, keeps), np.nan)),
            },
            coords={
                "format": [each.name for each in formats],
                "keep": keeps,
                **{name: ("run", list(values)) for name, values in columns},
            },
            attrs={"d": d, "examples": n, "task": type(task).__name__},
        )
    )


def _is_proven(config: LinearConfig) -> bool:
    """Whether the closed form is of such models, if C_1 = 0."""
    return (
        config.n_layers == 2
        and not config.causal
        and config.weights is not AttentionWeights.UNCONSTRAINED
        and config.first_layer is not FirstLayer.LIFTS
        and (config.dropout.loses is DropoutKind.INPUT or config.dropout.keep == 1)
    )


def _optima(n: int, d: int, keeps: list[float]) -> list[list[float]]:
    """The least R of pairs and of triplets."""
    return [
        [optimal_pairs_dropout_risk(n, d, keep) / d for keep in keeps],
        [optimal_dropout_risk(n, d, keep) / d for keep in keeps],
    ]
