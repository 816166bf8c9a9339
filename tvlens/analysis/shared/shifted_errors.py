"""The errors of a model under shifts: what is measured once, and asked about noise and the rest."""

import hashlib
from collections.abc import Sequence

import torch
import xarray as xr
from jaxtyping import Float
from torch import Generator, Tensor
from transformer_lens import HookedRootModule

from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.patching import Site, check_layer
from tvlens.interventions.residual_stream import residual_stream
from tvlens.interventions.stamps import stamp
from tvlens.models.protocol import max_tokens
from tvlens.prompts import Format, PositionIds, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.shifts import Shift, Trial
from tvlens.tasks import Task

MODES = ("icl", "tvp", "zero_shot", "oracle")
IN_CONTEXT, PROMPTED = 0, 1  # The queries of a trial.


@torch.inference_mode()
def shifted_errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    trial: Trial,
    shifts: Sequence[Shift],
    *,
    layer: int,
    generator: Generator,
    position_ids: PositionIds | None = None,
) -> xr.Dataset:
    """Errors of the same episodes under each shift, at the end of their contexts.

    All shifts draw from the same seed, so that the answer to one does not depend on which others
    are asked, and more of a noise is the same noise, only more. Each is one pass over the episodes,
    in chunks.

    Args:
        layer: where the carrier's vector is read and written.
        generator: gives that seed.
        position_ids: those of the zero-shot prompts.

    Returns:
        Variables over (episode, shift): `icl`, `tvp`, `zero_shot`, `oracle`. Coordinates over shift
        (their names): `examples`, the length of the context; `oracle_knows`, whether the oracle is
        the best predictor under the shift. The attribute `episodes` is the same for results of the
        same episodes, whatever the model.

    Raises:
        InputError: before any pass, if a shift or a layer does not fit the task or the model.
    """
    check_layer(model, layer)
    names = [shift.name for shift in shifts]
    if len(set(names)) < len(names):
        raise InputError(f"Two shifts have the same name: {', '.join(sorted(names))}.")
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    lengths = [_rehearsed_length(task, trial, shift) for shift in shifts]
    for shift, examples in zip(shifts, lengths, strict=True):
        if not _takes(model, format, examples):
            raise InputError(
                f"{shift.name!r} needs prompts of {format.n_tokens(examples + 1)} tokens, and this "
                f"model takes {max_tokens(model)}. Leave the shift out, or train a model that "
                "takes more."
            )
    errors = []
    for shift in progress(shifts, "shifting"):
        own = Generator(generator.device).manual_seed(seed)
        shifted = shift(task, trial, generator=own)
        knowing = shift.aware(task) or task
        errors.append(_errors(model, task, format, shifted, knowing, layer, position_ids))
    values = torch.stack(errors, dim=2).float().cpu().numpy()
    return xr.Dataset(
        {mode: (("episode", "shift"), values[index]) for index, mode in enumerate(MODES)},
        coords={
            "shift": names,
            "examples": ("shift", lengths),
            "oracle_knows": ("shift", [int(shift.aware(task) is not None) for shift in shifts]),
        },
        attrs=stamp(
            task,
            format,
            layer=layer,
            position_ids=position_ids or format.position_ids,
            episodes=_fingerprint(task, trial, seed),
        ),
    )


def fitting(
    model: HookedRootModule, format: Format, task: Task, trial: Trial, shifts: Sequence[Shift]
) -> tuple[tuple[Shift, ...], tuple[Shift, ...]]:
    """The shifts whose contexts fit the model, and those whose are too long for it."""
    fit, too_long = [], []
    for shift in shifts:
        taken = _takes(model, format, _rehearsed_length(task, trial, shift))
        (fit if taken else too_long).append(shift)
    return tuple(fit), tuple(too_long)


def _rehearsed_length(task: Task, trial: Trial, shift: Shift) -> int:
    """The length of the context under a shift, tried on the first episode.

    Raises:
        InputError: the shift does not fit the task.
    """
    shift.check(task, trial)
    generator = Generator(trial.context.x.device).manual_seed(0)
    return shift.apply(task, trial[:1], generator=generator).examples


def _takes(model: HookedRootModule, format: Format, examples: int) -> bool:
    """Whether contexts of so many examples fit into a model."""
    most = max_tokens(model)
    return most is None or format.n_tokens(examples + 1) <= most


def _errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    trial: Trial,
    knowing: Task,
    layer: int,
    position_ids: PositionIds | None,
) -> Float[Tensor, "mode episode"]:
    """Errors of every mode on one trial."""
    n = trial.examples
    tokens = format.n_tokens(n + 1) + len(format.query)
    site = Site(layer, carrier_of(format), -1)
    longest = torch.tensor([[n]], device=trial.context.x.device)
    parts = []
    for rows in chunks(trial.context, tokens):
        some = trial[rows]
        context = residual_stream(model, format.context(some.asking(IN_CONTEXT)))
        alone = residual_stream(
            model, format.zero_shot(some.asking(PROMPTED), longest, position_ids)
        )
        asked, prompted = some.queries.target.unbind(1)
        shown, query = some.context, some.queries.x[:, :1]
        parts.append(
            torch.stack(
                [
                    task.error(context.answer(), asked),
                    task.error(alone.answer({site: context.read(site)}), prompted),
                    task.error(alone.answer(), prompted),
                    task.error(knowing.oracle(shown.x, shown.y, query)[:, 0], asked),
                ]
            )
        )
    return torch.cat(parts, dim=1)


def _fingerprint(task: Task, trial: Trial, seed: int) -> str:
    """Of the task, its unshifted data, and what all shifts draw from."""
    digest = hashlib.sha256(repr((task, seed)).encode())
    for examples in (trial.context, trial.queries):
        for values in (examples.x, examples.y, examples.target):
            digest.update(values.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
