"""A subject is asked what its model can answer, with the draws of its test, and nothing else."""

from typing import Any

import pytest
import torch
import xarray as xr

import tvlens as tvl
from tests.own_tasks import Constant
from tests.planted import planted_model
from tests.planted_heads import CopyModel
from tests.random_models import TASK, double_model
from tests.tiny_llama import WORDS, text_format, tiny_llama
from tests.wrapped import Wrapped
from tvlens import analysis
from tvlens.analysis.contributions import measure_contributions
from tvlens.analysis.part_effects import measure_part_effects
from tvlens.analysis.patch_map import measure_patch_map
from tvlens.analysis.shared.needs import missing
from tvlens.models import LinearConfig, LinearTransformer, TokenDropout
from tvlens.prompts import PAIRWISE, SINGLE, TRIPLET, ZXY, ColumnFormat
from tvlens.subjects import CONTROL_SEED, Subject, Test
from tvlens.tasks import Direction, MapKind, relabelled

OF_HEADS = {"attention_map", "contributions", "part_effects", "saliency_map", "information_flow"}
OF_SYMBOLS = {"vocabulary", "bijections"}
OF_TRIPLETS = {"demonstration_value", "demonstration_weights", "rank_sweep"}
OF_STRUCTURE = {"dropout_risk", "learned_structure", "risk_landscape"}
EVERY = OF_HEADS | OF_SYMBOLS | OF_TRIPLETS | OF_STRUCTURE | {"linear_risk", "patch_map"}
ANYWHERE = {"patch_map", "demonstration_weights"}
TEST = Test(16, 4)


def linear(format: ColumnFormat, seeds: int = 2) -> Subject:
    def model(seed: int) -> LinearTransformer:
        generator = torch.Generator().manual_seed(seed)
        config = LinearConfig(2, dropout=TokenDropout(0.8))
        return LinearTransformer(config, 2, format, 4, generator=generator)

    models, untrained = ([model(seed + first) for seed in range(seeds)] for first in (0, 9))
    return Subject(
        tuple(models), tvl.MatrixRegression(2), format, untrained=tuple(untrained), test=TEST
    )


def softmax(model: Any, task: Any = TASK, format: Any = ZXY) -> Subject:
    return Subject((model,), task, format, untrained=(model,), asked_layer=1, test=TEST)


WORD_MAPS = tvl.Bijections(len(WORDS), (MapKind(Direction.FORWARD, 2),))
SUBJECTS = {
    "wrapped": (lambda: softmax(Wrapped(double_model())), OF_HEADS | ANYWHERE),
    "copies": (lambda: softmax(CopyModel(), Constant()), OF_HEADS | ANYWHERE),
    "planted": (lambda: softmax(planted_model(3, 1, 2, 3), tvl.LinearRegression(d=3)), ANYWHERE),
    "words": (
        lambda: softmax(tiny_llama().model, WORD_MAPS, text_format()),
        {*ANYWHERE, "contributions"},
    ),
    "triplets": (lambda: linear(TRIPLET), OF_TRIPLETS | OF_STRUCTURE | {"linear_risk"}),
    "pairs": (lambda: linear(PAIRWISE), {*OF_STRUCTURE, "linear_risk"}),
    "single": (lambda: linear(SINGLE), {"linear_risk"}),
    "one triplet": (
        lambda: linear(TRIPLET, seeds=1),
        OF_TRIPLETS | OF_STRUCTURE | {"linear_risk", "patch_map"},
    ),
}


@pytest.mark.parametrize("kind", SUBJECTS)
def test_each_kind_of_model_is_asked_what_it_can_answer(kind: str) -> None:
    build, answers = SUBJECTS[kind]
    subject = build()
    for name in EVERY:
        ask = getattr(analysis, name)
        if name in answers:
            assert not missing(ask, subject), name
            assert len(ask(subject).scores()) > 0
        else:
            (reason, *_) = missing(ask, subject)
            with pytest.raises(tvl.InputError) as refused:
                ask(subject)
            assert str(refused.value) == reason


def test_what_is_random_comes_from_the_test_of_the_subject() -> None:
    subject = softmax(double_model())
    generator = torch.Generator().manual_seed(TEST.seed)
    episodes = tvl.sample_episodes(TASK, 16, 5, generator=generator)
    queries = tvl.fresh_queries(TASK, episodes, generator=generator)
    control = torch.Generator().manual_seed(TEST.seed + CONTROL_SEED)
    corrupted = relabelled(TASK, episodes, generator=control)
    common = (subject.model, TASK, ZXY, episodes)
    for asked, measured in (
        (analysis.contributions(subject), measure_contributions(*common, layer=1)),
        (analysis.patch_map(subject), measure_patch_map(*common, corrupted)),
        (
            analysis.part_effects(subject),
            measure_part_effects(*common, queries, corrupted, layer=1),
        ),
    ):
        xr.testing.assert_identical(asked.data, measured.data)


def test_maps_of_every_kind_are_asked_whatever_the_training_had() -> None:
    run = tvl.load_pretrained("bijections-vanilla", device="cpu")
    subject = Subject((run.model,), run.experiment.task, run.experiment.format, test=Test(60, 8))
    kinds = analysis.bijections(subject).data.kind.values.tolist()
    assert len(kinds) == 11 and {"copy 2", "inverse 2", "forward 4", "both 3"} <= set(kinds)


def test_linear_transformers_are_asked_at_their_own_length() -> None:
    subject = linear(TRIPLET)
    longer = Subject(subject.models, subject.task, TRIPLET, untrained=subject.untrained)
    with pytest.raises(tvl.InputError, match=r"positions for 4 examples, and are asked 12.*=4"):
        analysis.risk_landscape(longer)
    assert analysis.linear_risk(longer).data.examples.values.tolist() == [4, 4]
    shorter = Subject(subject.models, subject.task, TRIPLET, test=Test(16, 3))
    with pytest.raises(tvl.InputError, match="answer after 4 examples, and are shown 3"):
        analysis.linear_risk(shorter)
