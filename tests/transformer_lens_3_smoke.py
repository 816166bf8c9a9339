"""tvlens with whatever TransformerLens is installed: CI runs this script with its version 3.

It trains for a few steps with the TVP loss, and compares task-vector prompting with and without
hooks. It needs neither pytest nor a GPU, and prints one line.
"""

import sys
from importlib.metadata import version

import torch

from tvlens.interventions.patching import Site, read, write
from tvlens.interventions.task_vectors import task_vector_predictions
from tvlens.models import HookedTransformer, TransformerConfig
from tvlens.prompts import ZXY, Role
from tvlens.tasks import sample_episodes
from tvlens.training.experiment import Experiment, TrainConfig
from tvlens.training.icl_objective import ICLObjective
from tvlens.training.loop import TrainState, training_steps
from tvlens.training.packed_pass import packed_outputs

LAYER = 1
EXPERIMENT = Experiment(
    format=ZXY,
    model=TransformerConfig(n_layers=2, d_model=32, n_heads=2),
    objective=ICLObjective(tvp_weight=1.0, tvp_layer=LAYER),
    train=TrainConfig(steps=20, batch=32, examples=6, warmup=5, log_every=10),
)


def trained_model() -> HookedTransformer:
    state = TrainState.start(EXPERIMENT, torch.device("cpu"))
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    losses = [float(step.total) for step in training_steps(EXPERIMENT, state)]
    assert len(losses) == 20 and max(losses) < 10, losses
    for old, new in zip(before, state.model.parameters(), strict=True):
        assert not torch.equal(old, new), "a parameter did not train"
    return state.model


@torch.no_grad()
def check_prompting(model: HookedTransformer) -> float:
    """How far apart the outputs of task-vector prompting are with hooks and without."""
    generator = torch.Generator().manual_seed(7)
    episodes = sample_episodes(EXPERIMENT.task, 8, 5, generator=generator)
    site = Site(LAYER, Role.Z)
    hooked = task_vector_predictions(model, ZXY, episodes, episodes, site)

    context, lengths = ZXY.context(episodes), torch.arange(episodes.shots)[None]
    zero_shot = ZXY.zero_shot(episodes, lengths)
    per_row = lengths.expand(episodes.batch, -1)
    fast = packed_outputs(model, ZXY, context, zero_shot, per_row, LAYER).prompted
    torch.testing.assert_close(hooked, fast, atol=1e-5, rtol=0)

    vectors = read(model, context, site)
    plain = model(context.inputs, context.position_ids)
    torch.testing.assert_close(write(model, context, site, vectors), plain, atol=1e-5, rtol=0)
    assert (write(model, context, site, -vectors) - plain).abs().max() > 1e-3
    return (hooked - fast).abs().max().item()


def check_hooks(model: HookedTransformer) -> None:
    """TransformerLens's own interface to the model."""
    context = ZXY.context(
        sample_episodes(EXPERIMENT.task, 2, 3, generator=torch.Generator().manual_seed(8))
    )
    outputs, cache = model.run_with_cache(context.inputs, context.position_ids)
    name = f"blocks.{LAYER}.hook_resid_pre"
    residual = model(context.inputs, context.position_ids, stop_at_layer=LAYER)
    torch.testing.assert_close(cache[name], residual, atol=1e-5, rtol=0)
    ablated = model.run_with_hooks(
        context.inputs,
        context.position_ids,
        fwd_hooks=[(name, lambda residual, hook: torch.zeros_like(residual))],
    )
    assert (ablated - outputs).abs().max() > 1e-3


def main() -> None:
    model = trained_model()
    check_hooks(model)
    distance = check_prompting(model)
    sys.stdout.write(
        f"tvlens works with TransformerLens {version('transformer-lens')}: hooks and fast path "
        f"differ by {distance:.1e}\n"
    )


if __name__ == "__main__":
    main()
