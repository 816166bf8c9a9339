"""The packed pass is task-vector prompting as it is defined, in about the operators of one pass."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from tvlens.base.errors import InputError
from tvlens.interventions.patching import Site, read, write
from tvlens.interventions.task_vectors import task_vector_predictions
from tvlens.models import HookedTransformer, Positions, TransformerConfig
from tvlens.prompts import TOKEN_FORMATS, ZXY, Episodes, PositionIds, Role, TokenFormat
from tvlens.tasks import LinearRegression, Task, fresh_queries, sample_episodes
from tvlens.training.icl_objective import (
    AllLengths,
    ICLObjective,
    LastLength,
    Query,
    RandomLengths,
)
from tvlens.training.packed_pass import make_packing, packed_outputs
from tvlens.training.presets import PRESETS

TASK = LinearRegression(d=2)
SHOTS = 4
OWN = TokenFormat(
    "own", (Role.Z, Role.ARROW, Role.X, Role.Y), (Role.Z, Role.ARROW, Role.X), Role.ARROW, Role.X
)
"""Two tokens before x, of which the second carries."""
BETWEEN = TokenFormat(
    "between",
    (Role.Z, Role.X, Role.ARROW, Role.END, Role.Y),
    (Role.Z, Role.X, Role.ARROW, Role.END),
    Role.ARROW,
    Role.END,
)
"""The carrier has seen x and is seen by the answer."""


def random_model(
    format: TokenFormat, positions: Positions = Positions.ROTARY, n_ctx: int = 64
) -> HookedTransformer:
    config = TransformerConfig(
        n_layers=2,
        d_model=8,
        n_heads=2,
        mlp_ratio=2,
        n_ctx=n_ctx,
        positions=positions,
        init_std=0.4,
    )
    d_in, generator = format.d_in(TASK.d_x, TASK.d_y), Generator().manual_seed(0)
    return HookedTransformer(config, d_in, TASK.d_y, generator=generator, dtype=torch.float64)


def some_episodes(batch: int = 3) -> Episodes:
    return sample_episodes(TASK, batch, SHOTS, generator=Generator().manual_seed(1))


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step has in hand when it computes its losses."""

    format: TokenFormat
    episodes: Episodes
    queries: Episodes
    lengths: Tensor
    objective: ICLObjective

    @classmethod
    def of(
        cls, format: TokenFormat, objective: ICLObjective, episodes: Episodes, task: Task = TASK
    ) -> "Step":
        generator, queries = Generator().manual_seed(2), episodes
        longest = episodes.shots - 1
        lengths = objective.lengths.draw_lengths(episodes.batch, longest, generator=generator)
        if objective.query is Query.FRESH:
            queries = fresh_queries(task, episodes, generator=generator)
        return cls(format, episodes, queries, lengths, objective)

    def packed(self, model: HookedTransformer, task: Task = TASK) -> tuple[Tensor, Tensor]:
        """ICL and TVP loss from one packed pass."""
        objective = self.objective
        outputs = packed_outputs(
            model,
            self.format,
            self.format.context(self.episodes),
            self.format.zero_shot(self.queries, self.lengths, objective.position_ids),
            self.lengths,
            objective.tvp_layer,
            stop_gradient=objective.stop_gradient,
        )
        targets = self.queries.target.take_along_dim(self.lengths[..., None], dim=1)
        icl = task.loss(outputs.context, self.episodes.target).mean() / task.scale
        return icl, task.loss(outputs.prompted, targets).mean() / task.scale

    def defined(self, model: HookedTransformer) -> tuple[Tensor, Tensor]:
        """ICL loss from a plain pass over the context, TVP loss by hooks."""
        prompt = self.format.context(self.episodes)
        outputs = model(prompt.inputs, prompt.position_ids)[:, prompt.answers.only]
        icl = TASK.loss(outputs, self.episodes.target).mean() / TASK.scale
        site = Site(self.objective.tvp_layer, self.format.carrier)
        predictions = self._predictions(model, site)
        from_first = self.lengths - self.format.first_length(self.format.carrier)
        prompted = predictions.take_along_dim(from_first[..., None], dim=1)
        targets = self.queries.target.take_along_dim(self.lengths[..., None], dim=1)
        return icl, TASK.loss(prompted, targets).mean() / TASK.scale

    def _predictions(self, model: HookedTransformer, site: Site) -> Tensor:
        """What the vector of each context length predicts."""
        format, ids = self.format, self.objective.position_ids
        if not self.objective.stop_gradient:
            return task_vector_predictions(model, format, self.episodes, self.queries, site, ids)
        vectors = read(model, format.context(self.episodes), site).detach()
        lengths = torch.arange(format.first_length(site.role), SHOTS)[None]
        prompt = format.zero_shot(self.queries, lengths, ids)
        outputs = write(model, prompt, site, vectors.flatten(0, 1)[:, None])
        return outputs[:, -1].unflatten(0, (-1, lengths.shape[1]))


def gradients(model: HookedTransformer, icl: Tensor, tvp: Tensor) -> list[Tensor]:
    """Of both losses at once; weighted, so that exchanged gradients would not do."""
    return list(
        torch.autograd.grad(icl + 0.7 * tvp, list(model.parameters()), materialize_grads=True)
    )


def every_objective(format: TokenFormat, layer: int) -> list[ICLObjective]:
    queries = [Query.FRESH] if format.carrier_sees_query else list(Query)
    return [
        ICLObjective(1.0, layer, lengths, query, ids, stop)
        for lengths in (AllLengths(), LastLength(), RandomLengths(k=5))
        for query in queries
        for ids in PositionIds
        for stop in (False, True)
    ]


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("positions", list(Positions))
@pytest.mark.parametrize("format", [*TOKEN_FORMATS, OWN, BETWEEN], ids=lambda each: each.name)
def test_the_packed_pass_is_the_definition_in_value_and_gradient(
    format: TokenFormat, positions: Positions, layer: int
):
    model, episodes = random_model(format, positions), some_episodes()
    for objective in every_objective(format, layer):
        step = Step.of(format, objective, episodes)
        found, wanted = step.packed(model), step.defined(model)
        assert_close(found, wanted, rtol=1e-10, atol=0)
        assert_close(gradients(model, *found), gradients(model, *wanted), rtol=1e-10, atol=1e-12)


def a_step(format: TokenFormat = ZXY, layer: int = 1, **changes: Any) -> Step:
    objective = dataclasses.replace(ICLObjective(1.0, layer, AllLengths()), **changes)
    return Step.of(format, objective, some_episodes())


def test_a_packed_step_compiles_as_one_graph():
    """In a process of its own, since the type checks of tests do not compile."""
    code = "from tests.test_packed_pass import check_compiled; check_compiled()"
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning:torch._dynamo", "-c", code], check=True
    )


def check_compiled() -> None:
    for format, ids in ((ZXY, PositionIds.RESET), (BETWEEN, PositionIds.KEEP)):
        model = random_model(format)
        step = a_step(format, lengths=RandomLengths(k=2), query=Query.FRESH, position_ids=ids)
        graphs: list[torch.fx.GraphModule] = []

        def backend(graph: torch.fx.GraphModule, _: Any, graphs: list = graphs) -> Any:
            graphs.append(graph)
            return graph

        found, wanted = (
            each(model)
            for each in (torch.compile(step.packed, backend=backend, fullgraph=True), step.packed)
        )
        assert_close(found, wanted, rtol=1e-12, atol=0)
        found, wanted = gradients(model, *found), gradients(model, *wanted)
        assert_close(found, wanted, rtol=1e-10, atol=1e-12)
        (graph,) = graphs
        made = [node for node in graph.graph.nodes if node.target in (torch.tensor, "masked_fill")]
        assert not made, "The mask is a constant of the graph."


def test_the_explicit_attention_knows_the_mask():
    """Attention is explicit where its pattern is hooked; a hooked pattern shows the mask, too."""
    model, step, patterns = random_model(ZXY), a_step(), []
    wanted = step.packed(model)
    with model.hooks([(lambda name: name.endswith("pattern"), lambda p, hook: patterns.append(p))]):
        assert_close(step.packed(model), wanted, rtol=1e-12, atol=0)
    # z x y z x y z x y z x, then for each of three zero-shot prompts its x; z is shared, behind the
    # context.
    seen = [(pattern > 0).any(0).any(0).sum(-1).tolist() for pattern in patterns]
    assert seen[0] == [*range(1, 12), 1, 2, 2, 2]
    # Of the last block only the answers: after 2, 5, 8 and 11 tokens, and behind each vector.
    assert seen[1] == [2, 5, 8, 11, 2, 2, 2]


def test_only_the_context_is_held_against_the_position_table():
    step, tokens = a_step(), ZXY.n_tokens(SHOTS)
    exact, short = (random_model(ZXY, Positions.LEARNED, n_ctx=tokens - less) for less in (0, 1))
    assert_close(step.packed(exact), step.defined(exact), rtol=1e-10, atol=0)
    with pytest.raises(InputError, match=rf"{tokens} tokens.*table holds {tokens - 1}"):
        step.packed(short)


def test_masks_are_made_once_and_serve_training_wherever_they_were_made():
    model, made = random_model(ZXY), make_packing.cache_info().misses
    step = a_step(lengths=RandomLengths(k=7))
    with torch.inference_mode():
        step.packed(model)
    gradients(model, *step.packed(model))
    a_step(layer=2, stop_gradient=True, lengths=RandomLengths(k=7)).packed(model)
    assert make_packing.cache_info().misses == made + 1


class Operators(TorchDispatchMode):
    """Counts the operators that run."""

    count = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["linear", "offset", "linear-arrow"])
def test_a_packed_step_costs_little_more_than_one_without_a_tvp_loss(name: str):
    vanilla, tvp = PRESETS[f"{name}-vanilla-small"], PRESETS[f"{name}-tvp-small"]
    task, format, model = tvp.task, tvp.format, tvp.build_model()
    generator = Generator().manual_seed(0)
    episodes = sample_episodes(task, 8, tvp.train.shots, generator=generator)

    def loss_of(objective: Any) -> Tensor:
        draws = objective.draw(model, task, format, episodes, generator=generator)
        return objective.losses(model, task, format, episodes, draws, step=0).total

    def without() -> None:
        loss_of(vanilla.objective).backward()

    def packed() -> None:
        loss_of(tvp.objective).backward()

    packed()  # The mask is made in the first step.
    counted = [Operators(), Operators()]
    for run, operators in zip((without, packed), counted, strict=True):
        with operators:
            run()
    assert counted[1].count <= 1.3 * counted[0].count
