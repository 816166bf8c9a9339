"""One pass through a model with activations read and edited by hook name.

This works on any `HookedRootModule` that is called as `model(inputs, position_ids)`. Hooks write
out of place, keep gradients, and raise unless each fired exactly once, so an edit can not silently
do nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import HookedRootModule

from tvlens.base.errors import InputError
from tvlens.prompts import Prompt

Edit = Callable[[Tensor], Tensor]
"""From an activation to what takes its place; it must leave the activation itself as it is."""


class HookedPass(NamedTuple):
    """What a pass gave."""

    outputs: Float[Tensor, "batch position d_out"]
    activations: dict[str, Tensor]
    """By hook name, after edits."""


def hooked_pass(
    model: HookedRootModule,
    prompt: Prompt,
    *,
    read: Iterable[str] = (),
    edits: Mapping[str, Edit] | None = None,
) -> HookedPass:
    """Run a prompt, keep some activations and replace others; gradients flow through both.

    Args:
        read: names of hook points whose activations are kept.
        edits: what is done to activations, by the name of the hook point.

    Raises:
        InputError: a hook point that the model does not have.
        RuntimeError: a hook point that did not fire exactly once.
    """
    wanted, edits = set(read), edits or {}
    check_hook_points(model, [*wanted, *edits])
    activations: dict[str, Tensor] = {}

    def visit(name: str, activation: Tensor) -> Tensor:
        if name in edits:
            activation = edits[name](activation)
        if name in wanted:
            activations[name] = activation
        return activation

    with attached(model, dict.fromkeys([*wanted, *edits], visit)):
        outputs = model(prompt.inputs, prompt.position_ids)
    return HookedPass(outputs, activations)


def check_hook_points(model: HookedRootModule, names: Iterable[str]) -> None:
    """Raise InputError unless the model has hook points of these names."""
    missing = [name for name in names if name not in model.hook_dict]
    if missing:
        raise InputError(
            f"{type(model).__name__} has no hook point {missing[0]!r}, which is needed here. Put a "
            "HookPoint there and name it as TransformerLens does (`attn.hook_pattern` and "
            "`attn.hook_z` for heads, `hook_mlp_out` for MLPs), or ask only what the residual "
            f"stream can tell. It has {', '.join(model.hook_dict)}."
        )


@contextmanager
def attached(
    model: HookedRootModule, functions: Mapping[str, Callable[[str, Tensor], Tensor]]
) -> Iterator[None]:
    """Attach functions to hook points, and detach these and no others, whatever happens.

    Args:
        functions: by the name of the hook point; they take that name and the activation, and return
            what takes its place.

    Raises:
        RuntimeError: a hook point that did not fire exactly once.
    """
    fired = dict.fromkeys(functions, 0)

    def attach(name: str, function: Callable[[str, Tensor], Tensor]):
        point = model.hook_dict[name]
        # TransformerLens's bridges show some activations in another shape than they compute them.
        conversion = getattr(point, "hook_conversion", None)

        def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
            fired[name] += 1
            if conversion is None:
                return function(name, output)
            return conversion.revert(function(name, conversion.convert(output)))

        return point.register_forward_hook(hook)

    handles = [attach(name, function) for name, function in functions.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    for name, count in fired.items():
        if count != 1:
            raise RuntimeError(
                f"The hook at {name} fired {count} times instead of once. A compiled model ignores "
                "hooks added later, and a model that runs a layer twice has no single residual "
                "stream there; use the eager model, one pass at a time."
            )
