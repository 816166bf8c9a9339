"""Which symbols does the task vector stand for?"""

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, ONE_LAYOUT, ONE_MODEL, SYMBOLS, UNTRAINED, asks
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.patching import Site, residual_name
from tvlens.interventions.residual_stream import last_vectors, residual_stream
from tvlens.prompts import Episodes, Format, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import Vocabulary
from tvlens.results.vocabulary import SORTS
from tvlens.shifts.base import are_symbols
from tvlens.subjects import Subject
from tvlens.tasks import Task

Vectors = Float[Tensor, "episode layer d_model"]


@asks(ONE_MODEL, CARRIER, UNTRAINED, SYMBOLS, ONE_LAYOUT)
def vocabulary(subject: Subject) -> Vocabulary:
    """What the model's read-out makes of the task vector of each layer; see `Vocabulary`.

    Args:
        subject: the model whose vectors are read out.
    """
    return measure_vocabulary(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        layer=subject.layer,
        untrained=subject.untrained_model,
    )


@torch.inference_mode()
def measure_vocabulary(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    layer: int,
    untrained: HookedRootModule,
) -> Vocabulary:
    """The same, of plain data.

    The last carrier's vector is put in the place of the stream after the last block, at the token
    that answers, and the output there is read: final norm and unembedding, whatever they are.

    Args:
        model: whose vectors are read out.
        task: names the result.
        format: how examples become tokens.
        episodes: the contexts; their inputs and outputs are symbols of one vocabulary.
        queries: other examples of the same functions (`fresh_queries`): their outputs are right
            answers that a context need not show.
        layer: of the scores.
        untrained: a model of the same kind before training, for the control.

    Raises:
        InputError: inputs or outputs are not one-hot or not of one width, there is a single
            episode, or the model has no such layer.
    """
    _check_symbols(task, episodes)
    residual_name(model, layer)  # Raises where there is none.
    vectors, strange = (_vectors(each, format, episodes) for each in (model, untrained))
    decoded = {
        "own": _decoded(model, format, queries, vectors),
        "another": _decoded(model, format, queries, vectors.roll(1, dims=0)),
        "mean": _decoded(model, format, queries, vectors.mean(0, keepdim=True).expand_as(vectors)),
        "untrained": _decoded(untrained, format, queries, strange),
    }
    return Vocabulary(
        xr.Dataset(
            {
                "place": (
                    ("vector", "episode", "layer", "symbol"),
                    torch.stack([_places(each) for each in decoded.values()]).cpu().numpy(),
                ),
                "is_a": (
                    ("sort", "episode", "symbol"),
                    _sorts(episodes, queries).to(torch.int8).cpu().numpy(),
                ),
            },
            coords={
                "vector": list(decoded),
                "layer": range(vectors.shape[1]),
                "sort": list(SORTS),
            },
            attrs={
                "layer": layer,
                "carrier": carrier_of(format).value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )


def _check_symbols(task: Task, episodes: Episodes) -> None:
    x, y = episodes.x, episodes.target
    if not (are_symbols(x) and are_symbols(y) and x.shape[-1] == y.shape[-1]):
        raise InputError(
            f"A vector stands for symbols only where inputs and outputs are one-hot symbols of one "
            f"vocabulary; those of {type(task).__name__} are not, or are of {x.shape[-1]} and "
            f"{y.shape[-1]} symbols. Ask models of TokenOffset, or use `decodability`."
        )
    if episodes.batch < 2:
        raise InputError("The control needs the vector of another episode; give at least 2.")


def _vectors(model: HookedRootModule, format: Format, episodes: Episodes) -> Vectors:
    """The last carrier's vector at every layer."""
    rows = list(chunks(episodes, format.n_tokens(episodes.shots)))
    streams = (
        residual_stream(model, format.context(episodes[some]))
        for some in progress(rows, "reading vectors")
    )
    return torch.cat([last_vectors(stream, carrier_of(format)) for stream in streams])


def _decoded(
    model: HookedRootModule, format: Format, queries: Episodes, vectors: Vectors
) -> Float[Tensor, "episode layer symbol"]:
    """Outputs where a vector stands at the answering token after the last block.

    No other token matters there, so any prompt will do: the shortest is taken.
    """
    none = torch.zeros(1, 1, dtype=torch.long, device=vectors.device)
    stream = residual_stream(model, format.zero_shot(queries, none))
    place = Site(stream.n_layers, format.answer)
    layers = range(vectors.shape[1])
    outputs = [stream.answer({place: vectors[:, layer : layer + 1]}) for layer in layers]
    return torch.stack(outputs, dim=1)


def _places(outputs: Float[Tensor, "... symbol"]) -> Int[Tensor, "... symbol"]:
    """Places of symbols in the order of outputs; 1 is the largest."""
    return outputs.argsort(-1, descending=True).argsort(-1) + 1


def _sorts(episodes: Episodes, queries: Episodes) -> Float[Tensor, "sort episode symbol"]:
    """1 for the symbols of each of the `SORTS`: each is of the first that it fits."""
    fits = (
        episodes.target[:, -1],
        episodes.y[:, :-1].amax(1),
        queries.target.amax(1),
        episodes.x.amax(1),
        torch.ones_like(episodes.target[:, -1]),
    )
    first = torch.stack(fits).cumsum(0).eq(1).to(fits[0])
    return first * torch.stack(fits)
