"""Does a task vector serve elsewhere than where it was read?"""

import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, asks
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.baselines import oracle_errors
from tvlens.interventions.contexts import Contexts
from tvlens.interventions.patching import Site, check_layer, count_layers
from tvlens.interventions.residual_stream import last_vectors, residual_stream
from tvlens.interventions.stamps import stamp
from tvlens.prompts import Episodes, Format, PositionIds, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import Transfer
from tvlens.subjects import Subject
from tvlens.tasks import Task, check_same_functions

LAST = slice(-1, None)
Vectors = Float[Tensor, "episode layer d_model"]

_DIMENSIONS = {
    "layers": ("episode", "read", "write"),
    "shuffled": ("episode", "read", "write"),
    "zero_shot": ("episode",),
    "lengths": ("episode", "examples", "position"),
    "lengths_zero_shot": ("episode", "examples", "position"),
    "icl": ("episode", "examples"),
}


@asks(ONE_MODEL, CARRIER, LAYER)
def transfer(subject: Subject, *, position_ids: PositionIds | None = None) -> Transfer:
    """Task-vector prompting with a vector of another layer, and at the positions of another length.

    What the arrays mean is in `Transfer`.

    Args:
        subject: the model that is asked.
        position_ids: those of the zero-shot prompts that vectors of other layers are written into;
            the format's own if None.
    """
    return measure_transfer(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        layer=subject.layer,
        position_ids=position_ids,
    )


@torch.inference_mode()
def measure_transfer(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    layer: int,
    position_ids: PositionIds | None = None,
) -> Transfer:
    """The same, of plain data.

    Args:
        model: what is asked.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: the contexts.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`). Example n is asked with the vector of n examples, at all positions.
        layer: where vectors are read and written that go to other positions; the one that scores
            report.
        position_ids: those of the zero-shot prompts that vectors of other layers are written into.

    Raises:
        InputError: the model has no such layer, there are no examples, or queries are of other
            functions.
    """
    check_layer(model, layer)
    check_same_functions(episodes, queries, shots=True)
    if episodes.shots < 2:
        raise InputError(f"Expected episodes of at least 2 shots, got {episodes.shots}.")
    first = format.first_length(carrier_of(format))
    parts = []
    neighbour = last_vectors(
        residual_stream(model, format.context(episodes[LAST])), carrier_of(format)
    )
    tokens = format.n_tokens(episodes.shots) + episodes.shots * len(format.query)
    for rows in progress(list(chunks(episodes, tokens)), "moving vectors"):
        some, asked = episodes[rows], queries[rows]
        contexts = Contexts(model, format, some)
        own = last_vectors(contexts.longest, carrier_of(format))
        parts.append(
            _layer_errors(model, task, format, asked, own, neighbour, position_ids)
            | _length_errors(model, task, format, asked, contexts, layer)
            | {"icl": task.error(contexts.answers(), some.target)[:, first:]}
        )
        neighbour = own[LAST]
    lengths, layers = range(first, episodes.shots), range(count_layers(model) + 1)
    data = xr.Dataset(
        {
            name: (dims, torch.cat([part[name] for part in parts]).float().cpu().numpy())
            for name, dims in _DIMENSIONS.items()
        },
        coords={"read": layers, "write": layers, "examples": lengths, "position": lengths},
        attrs=stamp(task, format, layer=layer, position_ids=position_ids or format.position_ids),
    )
    return Transfer(data.assign(oracle=oracle_errors(task, episodes).sel(examples=lengths)))


def _layer_errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    queries: Episodes,
    own: Vectors,
    neighbour: Float[Tensor, "1 layer d_model"],
    position_ids: PositionIds | None,
) -> dict[str, Tensor]:
    """Errors with the vectors of every layer, own and another episode's, at every layer."""
    longest = torch.tensor([[queries.shots - 1]], device=queries.x.device)
    stream = residual_stream(model, format.zero_shot(queries, longest, position_ids))
    layers = range(own.shape[1])

    def errors(vectors: Vectors) -> Float[Tensor, "episode read write"]:
        def written(read: int, write: int) -> Float[Tensor, " episode"]:
            answer = stream.answer({Site(write, carrier_of(format)): vectors[:, read, None]})
            return task.error(answer, queries.target[:, -1])

        rows = [torch.stack([written(read, write) for write in layers], -1) for read in layers]
        return torch.stack(rows, dim=1)

    return {
        "layers": errors(own),
        "shuffled": errors(torch.cat([neighbour, own[:-1]])),
        "zero_shot": task.error(stream.answer(), queries.target[:, -1]),
    }


def _length_errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    queries: Episodes,
    contexts: Contexts,
    layer: int,
) -> dict[str, Float[Tensor, "episode examples position"]]:
    """Errors with the vectors of every length, at the positions of every length."""
    site = Site(layer, carrier_of(format))
    asked = queries.some_shots(slice(format.first_length(site.role), None))
    vectors = rearrange(
        contexts.vectors(layer, site.role), "episode length d -> (episode length) 1 d"
    )

    def errors(answers: Float[Tensor, "row d_y"]) -> Float[Tensor, "episode examples"]:
        answers = rearrange(answers, "(episode n) d -> episode n d", episode=queries.batch)
        return task.error(answers, asked.target)

    written, untouched = [], []
    for position in range(queries.shots - asked.shots, queries.shots):
        there = _repeated(queries.some_shots(slice(position)), asked.shots).then(_singly(asked))
        length = torch.tensor([[position]], device=asked.x.device)
        stream = residual_stream(model, format.zero_shot(there, length, PositionIds.KEEP))
        written.append(errors(stream.answer({site: vectors})))
        untouched.append(errors(stream.answer()))
    both = {"lengths": written, "lengths_zero_shot": untouched}
    return {name: torch.stack(each, dim=-1) for name, each in both.items()}


def _repeated(episodes: Episodes, times: int) -> Episodes:
    """Each episode several times over: rows "(episode time)"."""
    rows = torch.arange(episodes.batch, device=episodes.x.device)
    return episodes[rows.repeat_interleave(times)]


def _singly(episodes: Episodes) -> Episodes:
    """Each example as an episode of its own: rows "(episode shot)"."""
    examples = (episodes.x, episodes.y, episodes.target)
    alone = (rearrange(each, "episode shot d -> (episode shot) 1 d") for each in examples)
    return Episodes(*alone, params=episodes.params.repeat_interleave(episodes.shots, dim=0))
