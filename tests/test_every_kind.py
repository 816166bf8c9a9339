"""Every question is put to every kind of model: it is answered, or refused with a reason."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

import tvlens as tvl
from tests.own_tasks import Planes, Steps
from tests.tiny_llama import WORDS, text_format, tiny_llama
from tests.wrapped import Bridged
from tvlens.analysis.shared.needs import missing
from tvlens.models import HookedTransformer, LinearConfig, LinearTransformer, TransformerConfig
from tvlens.prompts import ARROW, PAIRWISE, TRIPLET, ZXY, ColumnFormat, TokenFormat
from tvlens.tasks import Direction, MapKind

TABLE = """
                       zxy arrow bridge triplet pairs words symbols vectors
task_vectors            +    +     +       +      c     +      +       +
icl_curve               +    +     +       +      c     +      +       +
locality_map            +    +     +       +      c     +      +       +
geometry                +    +     +       +      c     +      +       +
decodability            +    +     +       +      c     +      +       +
disentanglement         +    +     +       +      c     w      +       +
transfer                +    +     +       +      c     +      +       +
several_vectors         +    +     +       +      c     +      +       +
conflict                +    +     +       +      c     w      +       +
noise                   +    +     +       +      c     +      +       +
distribution_shifts     +    +     +       +      c     +      +       +
pruning                 +    +     +       +      c     r      +       +
emergence               +    +     +       +      c     +      +       +
patch_map               +    +     +       +      c     +      +       +
attention_map           +    +     +       h      c     r      +       +
contributions           +    +     +       h      c     +      +       +
part_effects            +    +     +       h      c     r      +       +
saliency_map            +    +     +       h      c     r      +       +
information_flow        +    +     +       h      c     r      +       +
vocabulary              n    n     n       n      c     r      +       n
bijections              m    m     m       m      c     r      m       m
demonstration_weights   +    +     +       +      c     +      +       +
linear_risk             l    l     l       +      +     l      l       l
dropout_risk            l    l     l       +      +     l      l       l
demonstration_value     l    l     l       +      c     l      l       l
learned_structure       l    l     l       +      +     l      l       l
rank_sweep              l    l     l       +      c     l      l       l
risk_landscape          l    l     l       +      +     l      l       l
"""
"""+: it is answered; a letter: it is refused, see `REASONS`."""
REASONS = {
    "c": "has no carrier",
    "h": "has no hook point of attention",
    "l": "asks linear transformers",
    "m": "no maps between symbols",
    "n": "task on numbers",
    "r": "must share one layout",
    "w": "only known to be right or wrong",
}
SMALL: dict[str, dict[str, Any]] = {
    "task_vectors": {"functions": 3, "contexts": 2},
    "geometry": {"functions": 3, "contexts": 3},
    "decodability": {"functions": 7, "contexts": 11},
    "disentanglement": {"contexts": 2},
    "emergence": {"functions": 3, "contexts": 3},
}
"""Options for few functions and contexts, so that all of the table is asked in seconds."""
EXAMPLES = 2
NUMBERS = tvl.LinearRegression(d=3)
WORD_MAPS = tvl.Bijections(len(WORDS), (MapKind(Direction.FORWARD, 3),))


def subject(build: Callable[[int], Any], task: tvl.Task, format: tvl.Format) -> tvl.Subject:
    """A model of random weights, and another in place of the untrained one."""
    model, untrained = build(0), build(1)
    return tvl.Subject(
        (model,),
        task,
        format,
        untrained=(untrained,),
        asked_layer=1,
        test=tvl.Test(episodes=20, examples=EXAMPLES),
        snapshots=lambda: iter([(0, untrained), (10, model)]),
    )


def softmax(format: TokenFormat, task: tvl.Task = NUMBERS) -> Callable[[int], HookedTransformer]:
    config = TransformerConfig(n_layers=2, d_model=16, n_heads=2, n_ctx=40, init_std=0.3)
    d_in = format.d_in(task.d_x, task.d_y)

    def build(seed: int) -> HookedTransformer:
        generator = torch.Generator().manual_seed(seed)
        return HookedTransformer(config, d_in, task.d_y, generator=generator)

    return build


def linear(format: ColumnFormat) -> tvl.Subject:
    def build(seed: int) -> LinearTransformer:
        generator = torch.Generator().manual_seed(seed)
        return LinearTransformer(LinearConfig(2), 2, format, EXAMPLES, generator=generator)

    return subject(build, tvl.MatrixRegression(2), format)


@functools.cache
def subject_of(kind: str) -> tvl.Subject:
    match kind:
        case "zxy" | "arrow":
            format = ZXY if kind == "zxy" else ARROW
            return subject(softmax(format), NUMBERS, format)
        case "bridge":
            build = softmax(ZXY)
            return subject(lambda seed: Bridged(build(seed)), NUMBERS, ZXY)
        case "triplet":
            return linear(TRIPLET)
        case "pairs":
            return linear(PAIRWISE)
        case "words":
            return subject(lambda seed: tiny_llama(seed).model, WORD_MAPS, text_format())
        case "symbols":
            return subject(softmax(ARROW, Steps()), Steps(), ARROW)
        case _:
            return subject(softmax(ZXY, Planes()), Planes(), ZXY)


def cells() -> list[tuple[str, str, str]]:
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [(row[0], *cell) for row in rows for cell in zip(header, row[1:], strict=True)]


def test_the_table_has_every_question():
    assert sorted(line.split()[0] for line in TABLE.strip().splitlines()[1:]) == sorted(
        tvl.analysis.__all__
    )


@pytest.mark.parametrize(("name", "kind", "cell"), cells())
def test_every_question_is_answered_or_refused(name: str, kind: str, cell: str):
    ask, asked = getattr(tvl.analysis, name), subject_of(kind)
    if cell == "+":
        assert not missing(ask, asked)
        found = ask(asked, **SMALL.get(name, {})).data
        assert found.attrs.get("format", asked.format.name) == asked.format.name
        assert any(each.notnull().any() for each in found.values())
    else:
        with pytest.raises(tvl.InputError, match=REASONS[cell]) as refused:
            ask(asked)
        assert str(refused.value) == missing(ask, asked)[0]
