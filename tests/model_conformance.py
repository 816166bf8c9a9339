"""What holds for every model. `check_model` is all that a new kind of model has to pass."""

from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from tvlens.interventions.contexts import Contexts
from tvlens.interventions.patching import Site, count_layers, read, read_all, residual_name, write
from tvlens.interventions.residual_stream import residual_stream
from tvlens.models.protocol import is_causal
from tvlens.prompts import AlignedPrompt, Episodes, Format, Prompt, RaggedPrompt


@torch.no_grad()
def check_model(model: Any, format: Format, episodes: Episodes, tolerance: float = 1e-9) -> None:
    """Check a model against everything that tvlens relies on.

    Args:
        model: what is checked, in eval mode.
        format: prompts that it reads.
        episodes: a few, no two alike.
        tolerance: how far apart numbers may be that are the same but for rounding.
    """
    prompt = format.context(episodes)
    assert count_layers(model) > 0
    check_outputs(model, prompt)
    check_rows(model, format, episodes, tolerance)
    check_stream(model, prompt)
    check_writes(model, prompt, tolerance)
    check_causal_or_not(model, prompt)
    check_paths(model, format, prompt, episodes, tolerance)


def run(model: Any, prompt: Prompt) -> Tensor:
    return model(prompt.inputs, prompt.position_ids)


def check_outputs(model: Any, prompt: Prompt) -> None:
    """Outputs for every token, the same each time, and nobody's random numbers used up."""
    state = torch.get_rng_state()
    outputs = run(model, prompt)
    assert outputs.shape[:2] == (len(prompt.inputs), prompt.length)
    assert torch.equal(outputs, run(model, prompt))
    assert torch.equal(state, torch.get_rng_state())


def check_rows(model: Any, format: Format, episodes: Episodes, tolerance: float) -> None:
    """A row does not depend on those beside it, nor on the padding behind its end."""
    whole = Contexts(model, format, episodes).answers()
    for row in range(episodes.batch):
        alone = Contexts(model, format, episodes[row : row + 1]).answers()
        assert_close(alone[0], whole[row], rtol=0, atol=tolerance)


def check_stream(model: Any, prompt: Prompt) -> None:
    """What leaves a block is what enters the next one, and layers differ."""
    layers = range(count_layers(model) + 1)
    role = prompt.present[0]
    found = read_all(model, prompt, [Site(layer, role) for layer in layers])
    for layer in layers[1:]:
        before, after = found[Site(layer - 1, role)], found[Site(layer, role)]
        assert before.shape == after.shape and not torch.equal(before, after)
    assert residual_name(model, layers[-1]).endswith("hook_resid_post")


def check_writes(model: Any, prompt: Prompt, tolerance: float) -> None:
    """Writing back what was read changes nothing; after the last block, a token only itself."""
    plain, last = run(model, prompt), count_layers(model)
    for layer in range(last + 1):
        for role in prompt.present:
            site = Site(layer, role)
            value = read(model, prompt, site)
            assert_close(write(model, prompt, site, value), plain, rtol=0, atol=tolerance)
    for role in prompt.present:
        site = Site(last, role)
        value = read(model, prompt, site)
        changed = write(model, prompt, site, value + 1.0)
        places = prompt.places(role)
        kept = places.write(changed, places.read(plain))
        assert_close(kept, plain, rtol=0, atol=tolerance)


def check_causal_or_not(model: Any, prompt: Prompt) -> None:
    """A model that says it is causal keeps its outputs left of what is changed."""
    if not is_causal(model):
        return
    plain, middle = run(model, prompt), prompt.length // 2
    inputs = prompt.inputs.clone()
    inputs[:, middle:] = inputs[:, middle:].flip(0)
    assert not torch.equal(inputs, prompt.inputs)
    assert isinstance(prompt, AlignedPrompt | RaggedPrompt)
    changed = run(model, replace(prompt, inputs=inputs))
    assert_close(changed[:, :middle], plain[:, :middle], rtol=0, atol=1e-12)
    assert not torch.equal(changed, plain)


def check_paths(
    model: Any, format: Format, prompt: Prompt, episodes: Episodes, tolerance: float
) -> None:
    """The fastest way to answer gives what hooks give, for every site of a prompt."""
    stream = residual_stream(model, prompt)
    generator = Generator().manual_seed(0)
    for layer in range(count_layers(model) + 1):
        for role in prompt.present:
            site = Site(layer, role, -1)
            value = stream.read(site)
            assert_close(value, read(model, prompt, site), rtol=0, atol=tolerance)
            new = value + torch.randn(value.shape, generator=generator).to(value)
            outputs = write(model, prompt, site, new)
            last = prompt.answers.last
            expected = last.predictions(outputs[:, last.only])[:, -1]
            assert_close(stream.answer({site: new}), expected, rtol=0, atol=tolerance)
    for role in format.roles:
        contexts, first = Contexts(model, format, episodes), format.first_length(role)
        for n in range(first, episodes.shots):
            shorter = format.context(episodes.some_shots(slice(n + 1)))
            expected = read(model, shorter, Site(1, role, -1))[:, 0]
            found = contexts.vectors(1, role)[:, n - first]
            assert_close(found, expected, rtol=0, atol=tolerance)
