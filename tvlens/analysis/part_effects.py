"""Which heads and MLPs write the task vector, and which read it?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, HEADS, ONE_LAYOUT, ONE_MODEL, asks
from tvlens.base.progress import progress
from tvlens.interventions.hooks import Edit, check_hook_points, hooked_pass
from tvlens.interventions.parts import Part, kind_of, list_parts, part_names, swapped
from tvlens.interventions.patching import Site, residual_name, written
from tvlens.interventions.residual_stream import Rerun, ResidualStream, residual_stream
from tvlens.prompts import Episodes, Format, PositionIds, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import PartEffects
from tvlens.subjects import Subject
from tvlens.tasks import Task, check_relabelled, relabelled

Activations = dict[str, Tensor]
"""What parts put out, by hook name; "episode position .."."""
Vectors = Float[Tensor, "row 1 d_model"]
Errors = Float[Tensor, "episode part"]


@asks(ONE_MODEL, CARRIER, HEADS, ONE_LAYOUT)
def part_effects(subject: Subject, *, position_ids: PositionIds | None = None) -> PartEffects:
    """Errors when a head, an MLP, or all heads of a block put out their mean over episodes, or what
    they put out in a context of another function; they are defined in `PartEffects`.

    Args:
        subject: the model whose parts are changed.
        position_ids: those of the zero-shot prompts; the format's own if None.
    """
    episodes = subject.episodes
    return measure_part_effects(
        subject.model,
        subject.task,
        subject.format,
        episodes,
        subject.queries,
        relabelled(subject.task, episodes, generator=subject.generator()),
        layer=subject.layer,
        position_ids=position_ids,
    )


@torch.inference_mode()
def measure_part_effects(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    corrupted: Episodes,
    *,
    layer: int,
    position_ids: PositionIds | None = None,
) -> PartEffects:
    """The same, of plain data.

    The parts of a block are tried in one pass: a prompt is repeated, and each copy has another part
    changed.

    Args:
        model: whose parts are changed.
        task: gives errors.
        format: how examples become tokens.
        episodes: the contexts; the last example is asked.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`).
        corrupted: the same inputs under other functions (`relabelled`).
        layer: where the carrier's vector is read and written.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: the model has no hook points of its heads, or no such layer; or `corrupted` is
            not as described.
    """
    check_hook_points(model, [*part_names(model), residual_name(model, layer)])
    check_relabelled(episodes, corrupted)

    def trials(copies: int, what: str) -> Iterator[_Trial]:
        tokens = copies * (format.n_tokens(episodes.shots) + len(format.query))
        for some in progress(list(chunks(episodes, tokens)), what):
            rows = (episodes[some], queries[some], corrupted[some])
            yield _Trial(model, task, format, layer, position_ids, *rows)

    means = _Means(trials(1, "averaging parts"), episodes.batch)
    groups = _groups(list_parts(means.context))
    collected = []
    for trial in trials(max(map(len, groups.values())), "changing parts"):
        found = [trial.changed(block, each, means) for block, each in groups.items()]
        by_part = {name: torch.cat([each[name] for each in found], dim=1) for name in found[0]}
        collected.append(trial.unchanged() | by_part)
    data = {name: torch.cat([each[name] for each in collected]) for name in collected[0]}
    labels = [name for each in groups.values() for name in each]
    return PartEffects(
        xr.Dataset(
            {
                name: (("episode", "part")[: values.dim()], values.float().cpu().numpy())
                for name, values in data.items()
            },
            coords={
                "part": labels,
                "kind": ("part", [kind_of(name) for name in labels]),
            },
            attrs={
                "layer": layer,
                "carrier": carrier_of(format).value,
                "format": format.name,
                "task": type(task).__name__,
                "position_ids": (position_ids or format.position_ids).value,
            },
        )
    )


def _groups(parts: Sequence[Part]) -> dict[int, dict[str, list[Part]]]:
    """What is changed together, by block and name: each head, all heads, the MLP."""
    blocks: dict[int, dict[str, list[Part]]] = {}
    for block in sorted({part.block for part in parts}):
        heads = [part for part in parts if part.block == block and part.head is not None]
        rest = [part for part in parts if part.block == block and part.head is None]
        blocks[block] = {str(part): [part] for part in heads}
        blocks[block] |= {f"L{block} heads": heads} | {str(part): [part] for part in rest}
    return blocks


class _Trial:
    """Some episodes, and the errors when parts are changed in their prompts."""

    def __init__(
        self,
        model: HookedRootModule,
        task: Task,
        format: Format,
        layer: int,
        position_ids: PositionIds | None,
        episodes: Episodes,
        queries: Episodes,
        corrupted: Episodes,
    ) -> None:
        self.model, self.task, self.layer = model, task, layer
        self.target, self.asked = episodes.target[:, -1], queries.target[:, -1]
        names, prompt = part_names(model), format.context(episodes)
        self.context = residual_stream(model, prompt)
        self.corrupted = residual_stream(model, format.context(corrupted))
        self.clean = hooked_pass(model, prompt, read=names).activations
        longest = torch.tensor([[episodes.shots - 1]], device=episodes.x.device)
        self.zero_shot = format.zero_shot(queries, longest, position_ids)
        self.place = Site(layer, carrier_of(format))
        carrier, answer = Site(layer, carrier_of(format), -1), Site(layer, format.answer, -1)
        self.vectors = self.context.read(carrier)
        self.carrier = carrier.places(prompt).positions()
        self.answer = answer.places(prompt).positions()
        self.length = prompt.length
        edits = written(model, self.zero_shot, {self.place: self.vectors})
        self.prompted = hooked_pass(model, self.zero_shot, read=names, edits=edits)

    def unchanged(self) -> dict[str, Float[Tensor, " episode"]]:
        """Errors when no part is changed."""
        zero_shot = self.model(self.zero_shot.inputs, self.zero_shot.position_ids)
        errors = {
            "icl": self._errors(self.context.answer(), self.target),
            "tvp": self._errors(self.prompted.outputs[:, -1], self.asked),
            "zero_shot": self._errors(zero_shot[:, -1], self.asked),
            "corrupt": self._errors(self.corrupted.answer(), self.target),
        }
        return {name: error[:, 0] for name, error in errors.items()}

    def changed(
        self, block: int, named: dict[str, list[Part]], means: "_Means"
    ) -> dict[str, Errors]:
        """Errors when each of some groups of parts of a block is changed."""
        groups, copies = list(named.values()), len(named)
        last, everywhere = [self.zero_shot.length - 1], range(self.length)
        here = self._rerun(self.context, block, groups, means.context, self.carrier)
        anywhere = self._rerun(self.context, block, groups, means.context, everywhere)
        intact, reading = self.vectors.repeat(copies, 1, 1), swapped(groups, means.prompted, last)
        errors = {
            "written": self._prompted(self._vectors(here, copies), copies),
            "gathered": self._prompted(self._vectors(anywhere, copies), copies),
            "read": self._prompted(intact, copies, reading),
            "in_context": self._errors(anywhere.outputs[:, -1], self.target),
        }
        for name, values, positions in (
            ("carrier", self.clean, self.carrier),
            ("carrier_removed", means.context, self.carrier),
            ("answer", self.clean, self.answer),
            ("answer_removed", means.context, self.answer),
        ):
            patched = self._rerun(self.corrupted, block, groups, values, positions)
            errors[name] = self._errors(patched.outputs[:, -1], self.target)
        return errors

    def _rerun(
        self,
        stream: ResidualStream,
        block: int,
        groups: Sequence[Sequence[Part]],
        values: Activations,
        positions: Sequence[int],
    ) -> Rerun:
        """A context when groups of parts of a block put out `values` at some positions."""
        edits = swapped(groups, values, positions)
        tokens = self.length - min(positions)
        return stream.rerun(edits, layer=block, tokens=tokens, copies=len(groups))

    def _vectors(self, ran: Rerun, copies: int) -> Vectors:
        """The carrier's vectors after a rerun; nothing in the blocks above can change them."""
        if self.layer not in ran.layers:
            return self.vectors.repeat(copies, 1, 1)
        return ran.layers[self.layer][:, [self.carrier[0] - self.length]]

    def _prompted(
        self, vectors: Vectors, copies: int, edits: Mapping[str, Edit] | None = None
    ) -> Errors:
        """Errors of answers to the zero-shot prompts with vectors, "(copy episode)"."""
        prompt = self.zero_shot.repeated(copies)
        edits = {**written(self.model, prompt, {self.place: vectors}), **(edits or {})}
        answers = hooked_pass(self.model, prompt, edits=edits).outputs[:, -1]
        return self._errors(answers, self.asked)

    def _errors(
        self, answers: Float[Tensor, "row d"], target: Float[Tensor, "episode d"]
    ) -> Errors:
        """Errors of answers, "(part episode)"."""
        answers = rearrange(answers, "(part episode) d -> episode part d", episode=len(target))
        return self.task.error(answers, target[:, None].expand_as(answers))


class _Means:
    """What parts put out on average, in contexts and in zero-shot prompts with a vector."""

    def __init__(self, trials: Iterable[_Trial], episodes: int) -> None:
        self.context: Activations = {}
        self.prompted: Activations = {}
        for trial in trials:
            self._add(self.context, trial.clean, episodes)
            self._add(self.prompted, trial.prompted.activations, episodes)

    @staticmethod
    def _add(means: Activations, activations: Activations, episodes: int) -> None:
        for name, each in activations.items():
            share = each.sum(0, keepdim=True) / episodes
            means[name] = means[name] + share if name in means else share
