"""Answers to prompts of any length, with and without most of the context, for benchmarks to run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from tvlens import Experiment, HookedTransformer, TransformerConfig
from tvlens.interventions import pruned_answers
from tvlens.models import Positions
from tvlens.prompts import Prompt
from tvlens.results import cached_tokens
from tvlens.tasks import sample_episodes

LAST = slice(-1, None)


@dataclass(frozen=True)
class Request:
    """What the cost of an answer depends on. Weights are random: they do not change the cost."""

    n_layers: int = 4
    """Blocks of the model."""
    d_model: int = 64
    """Width of the residual stream."""
    examples: int = 32
    """Examples of the context."""
    batch: int = 1
    """Prompts that are answered together."""

    @property
    def tokens(self) -> int:
        """Tokens of a prompt."""
        return Experiment().format.n_tokens(self.examples + 1)

    @property
    def kept(self) -> int:
        """Tokens of a prompt that go on when the context is dropped: those of the query."""
        return len(Experiment().format.query)

    def cache_bytes(self, layer: int) -> int:
        """What keys and values take in float32 when the context is dropped above a layer."""
        held = cached_tokens(self.n_layers, layer, self.tokens, self.kept)
        return 4 * self.batch * 2 * self.d_model * held

    def answer(self, layer: int | None, device: torch.device) -> Callable[[], Tensor]:
        """A function that answers, with the context dropped above a layer, or not if None."""
        model, prompt = self._asked(device)
        return torch.inference_mode()(lambda: _answers(model, prompt, layer, self.kept))

    def cached_answer(self, layer: int | None, device: torch.device) -> Callable[[], list[Tensor]]:
        """The same, holding the keys and values that decoding on would need, which it returns."""
        model, prompt = self._asked(device)

        def run() -> list[Tensor]:
            held: list[Tensor] = []

            def hold(tensor: Tensor, hook: HookPoint) -> None:
                held.append(tensor.clone(memory_format=torch.contiguous_format))

            names = [f"blocks.{b}.attn.hook_{kind}" for b in range(self.n_layers) for kind in "kv"]
            hooks: list[Any] = [(name, hold) for name in names]
            with torch.inference_mode(), model.hooks(fwd_hooks=hooks):
                _answers(model, prompt, layer, self.kept)
            return held

        return run

    def _asked(self, device: torch.device) -> tuple[HookedTransformer, Prompt]:
        config = TransformerConfig(
            n_layers=self.n_layers, d_model=self.d_model, positions=Positions.ROTARY
        )
        experiment = Experiment(model=config)
        (generator,) = experiment.generators(device)
        shots = self.examples + 1
        episodes = sample_episodes(experiment.task, self.batch, shots, generator=generator)
        return experiment.build_model(device=device), experiment.format.context(episodes)


def _answers(model: HookedTransformer, prompt: Prompt, layer: int | None, kept: int) -> Tensor:
    if layer is None:
        return model(prompt.inputs, prompt.position_ids, only=LAST)[:, 0]
    return pruned_answers(model, prompt, layer, kept)
