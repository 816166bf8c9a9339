"""Do task vectors help where tokens drop out?"""

from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import xarray as xr
from torch import Generator

from tvlens.analysis.shared.needs import LINEAR, OWN_LENGTH, PAIRS_OR_TRIPLETS, asks
from tvlens.base.errors import InputError
from tvlens.models import FirstLayer, LinearConfig, LinearTransformer
from tvlens.models.linear.checks import check_linear, check_seeds
from tvlens.models.linear.config import AttentionWeights, DropoutKind
from tvlens.prompts import PAIRWISE, TRIPLET, Episodes
from tvlens.results import DropoutRisk
from tvlens.subjects import Subject
from tvlens.tasks import MatrixRegression, Task
from tvlens.theory import optimal_dropout_risk, optimal_pairs_dropout_risk

OPTIMA = {PAIRWISE: optimal_pairs_dropout_risk, TRIPLET: optimal_dropout_risk}
"""The least risk in each format."""


@asks(LINEAR, PAIRS_OR_TRIPLETS, OWN_LENGTH)
def dropout_risk(subject: Subject) -> DropoutRisk:
    """Errors of models under the dropout of their own training, and without.

    `DropoutRisk.together` compares pairs and triplets that were tested on the same episodes.

    Args:
        subject: linear transformers of pairs or triplets, one for each seed.
    """
    models = cast(tuple[LinearTransformer, ...], subject.models)
    generator = subject.generator()
    return measure_dropout_risk(models, subject.task, subject.episodes, generator=generator)


@torch.no_grad()
def measure_dropout_risk(
    models: Sequence[LinearTransformer],
    task: Task,
    episodes: Episodes,
    *,
    generator: Generator,
) -> DropoutRisk:
    """The same of models of any formats and keeps, of plain data.

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
    wrong = [each for each in models if each.format not in OPTIMA or each.examples != n]
    if wrong or not models:
        got = f"{wrong[0].format.name} of {wrong[0].examples}" if wrong else "no model"
        raise InputError(f"Expected models of pairs or triplets of {n} examples, got {got}.")
    check_seeds((f"keep {model.config.dropout.keep:g}", model) for model in models)
    dropped, whole, optima, labels, seen = [], [], [], [], Counter()
    for model in models:
        prompt = model.format.context(episodes)
        kept = model.sample_kept(episodes.batch, generator=generator)
        for errors, mask in ((dropped, kept), (whole, None)):
            error = task.error(model.answer(prompt, mask), episodes.target[:, -1])
            errors.append(error.cpu().numpy())
        kind = (model.format.name, model.config.dropout.keep)
        seen[kind] += 1
        labels.append((*kind, seen[kind], repr(model.config)))
        optima.append(_optimum(model) if task == MatrixRegression(model.d) else np.nan)
    names = ("format", "keep", "seed", "config")
    columns = zip(names, zip(*labels, strict=True), strict=True)
    return DropoutRisk(
        xr.Dataset(
            {
                "dropped": (("run", "episode"), np.stack(dropped)),
                "whole": (("run", "episode"), np.stack(whole)),
                "optimum": ("run", optima),
            },
            coords={name: ("run", list(values)) for name, values in columns},
            attrs={
                "d": models[0].d,
                "examples": n,
                "task": type(task).__name__,
                "episodes": episodes.digest,
            },
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


def _optimum(model: LinearTransformer) -> float:
    """The least R of such models, nan if it is not known."""
    if not _is_proven(model.config):
        return np.nan
    least = OPTIMA[model.format]
    return least(model.examples, model.d, model.config.dropout.keep) / model.d
