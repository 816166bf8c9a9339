"""Task-vector prompting everywhere in a model: the map that several questions look at."""

from collections.abc import Sequence

import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F
from transformer_lens import HookedRootModule

from tvlens.base.progress import progress
from tvlens.interventions.baselines import oracle_errors
from tvlens.interventions.contexts import Contexts
from tvlens.interventions.patching import QuerySite, Site
from tvlens.interventions.residual_stream import ResidualStream, residual_stream
from tvlens.interventions.stamps import stamp
from tvlens.prompts import Episodes, Format, PositionIds, Role, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import LocalityMap
from tvlens.tasks import Task, check_same_functions

Vectors = Float[Tensor, "episode length d_model"]
Errors = Float[Tensor, "episode examples"]
LAST = slice(-1, None)

_DIMENSIONS = {
    "tvp": ("episode", "layer", "role", "examples"),
    "shuffled": ("episode", "layer", "examples"),
    "random": ("episode", "layer", "examples"),
    "untrained": ("episode", "layer", "examples"),
    "icl": ("episode", "examples"),
    "zero_shot": ("episode", "examples"),
    "window": ("episode", "layer"),
    "ablated": ("episode", "layer"),
    "ignorant": ("episode",),
}


@torch.inference_mode()
def measure_locality_map(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    untrained: HookedRootModule,
    generator: Generator,
    position_ids: PositionIds | None = None,
) -> LocalityMap:
    """Task-vector prompting at every layer, role and context length, with controls.

    What the arrays mean is in `LocalityMap`. Episodes are worked on in chunks, so memory does not
    grow with their number.

    Args:
        model: what is mapped.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: the contexts.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`), since some tokens have seen their own x.
        untrained: a model of the same kind before training, for the control.
        generator: draws the random control: one direction for each episode.
        position_ids: those of the zero-shot prompts.
    """
    check_same_functions(episodes, queries, shots=True)
    parts = []
    carrier = carrier_of(format)
    neighbours = _read(Contexts(model, format, episodes[LAST]), carrier)
    shape = (episodes.batch, 1, neighbours[0].shape[-1])
    directions = torch.randn(shape, generator=generator, device=episodes.x.device)
    tokens = format.n_tokens(episodes.shots) + episodes.shots * len(format.query)
    for rows in progress(list(chunks(episodes, tokens)), "mapping"):
        some, asked = episodes[rows], queries[rows]
        contexts = Contexts(model, format, some)
        prompts = _ZeroShot(model, task, format, asked, position_ids)
        vectors = {role: _read(contexts, role) for role in format.roles}
        own = vectors[carrier]
        errors = {
            "tvp": torch.stack([prompts.errors(role, vectors[role]) for role in vectors], dim=2),
            "shuffled": prompts.errors(carrier, _shifted(neighbours, own)),
            "random": prompts.errors(carrier, _norm_matched(directions[rows], own)),
            "untrained": _untrained_errors(untrained, task, format, some, asked, position_ids),
            "icl": task.error(contexts.answers(), some.target),
            "zero_shot": prompts.unwritten_errors(),
            "window": _window_errors(model, task, format, some, contexts.longest),
        }
        errors["ablated"], errors["ignorant"] = _ablated_errors(
            model, task, format, some, contexts.longest
        )
        parts.append(errors)
        neighbours = [vector[LAST] for vector in own]
    data = xr.Dataset(
        {
            name: (dims, torch.cat([part[name] for part in parts]).float().cpu().numpy())
            for name, dims in _DIMENSIONS.items()
        },
        coords={
            "layer": range(len(neighbours)),
            "role": [role.value for role in format.roles],
            "examples": range(episodes.shots),
            "written": ("role", [format.written_role(role).value for role in format.roles]),
        },
        attrs=stamp(task, format, position_ids=position_ids or format.position_ids),
    )
    return LocalityMap(data.assign(oracle=oracle_errors(task, episodes)))


class _ZeroShot:
    """Zero-shot prompts of some queries, one for each context length, and the errors of answers to
    them when a vector is written.
    """

    def __init__(
        self,
        model: HookedRootModule,
        task: Task,
        format: Format,
        queries: Episodes,
        position_ids: PositionIds | None,
    ) -> None:
        self.task, self.format, self.queries = task, format, queries
        lengths = torch.arange(queries.shots, device=queries.x.device)[None]
        prompt = format.zero_shot(queries, lengths, position_ids)
        self.stream = residual_stream(model, prompt)

    def errors(
        self, role: Role, vectors: Sequence[Vectors]
    ) -> Float[Tensor, "episode layer examples"]:
        """Errors when vectors of a role, one at each layer, are written; nan where it has none."""
        written = self.format.written_role(role)
        errors = [self._written(Site(layer, written), each) for layer, each in enumerate(vectors)]
        return torch.stack(errors, dim=1)

    def unwritten_errors(self) -> Errors:
        """Errors when nothing is written."""
        return self._score(self.stream.answer())

    def _written(self, site: Site, vectors: Vectors) -> Errors:
        missing = self.queries.shots - vectors.shape[1]
        vectors = F.pad(vectors, (0, 0, missing, 0))  # So that all roles share one stream.
        value = rearrange(vectors, "episode length d -> (episode length) 1 d")
        errors = self._score(self.stream.answer({site: value}))
        errors[:, :missing] = torch.nan
        return errors

    def _score(self, answers: Float[Tensor, "row d_y"]) -> Errors:
        answers = rearrange(answers, "(episode n) d -> episode n d", n=self.queries.shots)
        return self.task.error(answers, self.queries.target)


def _untrained_errors(
    untrained: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    position_ids: PositionIds | None,
) -> Float[Tensor, "episode layer examples"]:
    """Errors of an untrained model that is given its own vectors."""
    carrier = carrier_of(format)
    own = _read(Contexts(untrained, format, episodes), carrier)
    prompts = _ZeroShot(untrained, task, format, queries, position_ids)
    return prompts.errors(carrier, own)


def _window_errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    context: ResidualStream,
) -> Float[Tensor, "episode layer"]:
    """Errors of the last answer when, above a layer, the tokens of its query see only each other.

    A prompt of just these tokens is run, with the states that they have in the full context: all of
    them at the layer, and above it those of a carrier that does not answer itself, which still sees
    everything.
    """
    carrier = carrier_of(format)
    window = residual_stream(model, format.context(episodes).alone())
    errors = []
    for layer in range(context.n_layers + 1):
        sites: list[Site | QuerySite] = [QuerySite(layer)]
        if carrier is not format.answer:
            above = range(layer + 1, context.n_layers + 1)
            sites += [Site(each, carrier, -1) for each in above]
        answers = window.answer({site: context.read(site) for site in sites})
        errors.append(task.error(answers, episodes.target[:, -1]))
    return torch.stack(errors, dim=1)


def _ablated_errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    context: ResidualStream,
) -> tuple[Float[Tensor, "episode layer"], Float[Tensor, " episode"]]:
    """Errors of the last answer when, from a layer on, its carrier is as if there were no context;
    and errors of the same query without a context.

    Nothing is held after the last block: where the carrier answers itself, that would replace the
    answer and not what it is made from.
    """
    longest = torch.tensor([[episodes.shots - 1]], device=episodes.x.device)
    ignorant = residual_stream(model, format.zero_shot(episodes, longest, PositionIds.KEEP))
    errors = []
    for layer in range(context.n_layers + 1):
        sites = [Site(each, carrier_of(format), -1) for each in range(layer, context.n_layers)]
        answers = context.answer({site: ignorant.read(site) for site in sites})
        errors.append(task.error(answers, episodes.target[:, -1]))
    alone = task.error(ignorant.answer(), episodes.target[:, -1])
    return torch.stack(errors, dim=1), alone


def _read(contexts: Contexts, role: Role) -> list[Vectors]:
    """The vectors of a role at every layer."""
    return [contexts.vectors(layer, role) for layer in range(contexts.n_layers + 1)]


def _shifted(
    neighbours: Sequence[Float[Tensor, "1 length d_model"]], vectors: Sequence[Vectors]
) -> list[Vectors]:
    """At each layer the vectors of the episode before; `neighbours` are those before the first."""
    pairs = zip(neighbours, vectors, strict=True)
    return [torch.cat([neighbour, own[:-1]]) for neighbour, own in pairs]


def _norm_matched(
    directions: Float[Tensor, "episode 1 d_model"], vectors: Sequence[Vectors]
) -> list[Vectors]:
    """At each layer vectors of given directions with the norms of `vectors`."""
    unit = F.normalize(directions, dim=-1)
    return [unit.to(own) * own.norm(dim=-1, keepdim=True) for own in vectors]
