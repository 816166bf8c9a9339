"""How much of a context may be dropped above a layer, and what is lost?"""

from collections.abc import Mapping

import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, ONE_LAYOUT, ONE_MODEL, asks
from tvlens.base.progress import progress
from tvlens.interventions.baselines import oracle_errors
from tvlens.interventions.contexts import Contexts
from tvlens.interventions.patching import Site, count_layers
from tvlens.interventions.residual_stream import residual_stream
from tvlens.interventions.stamps import stamp
from tvlens.prompts import Episodes, Format, PositionIds, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import Pruning
from tvlens.subjects import Subject
from tvlens.tasks import Task, check_same_functions

Lengths = Int[Tensor, "1 length"]
States = Mapping[Site, Float[Tensor, "episode length d_model"]]


@asks(ONE_MODEL, CARRIER, ONE_LAYOUT)
def pruning(subject: Subject, *, position_ids: PositionIds | None = None) -> Pruning:
    """Errors when above a layer only the tokens of the query are left, at every layer and length.

    What the arrays mean is in `Pruning`.

    Args:
        subject: the model that is asked.
        position_ids: those of the zero-shot prompts of task-vector prompting; the format's own if
            None.
    """
    return measure_pruning(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        position_ids=position_ids,
    )


@torch.inference_mode()
def measure_pruning(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    position_ids: PositionIds | None = None,
) -> Pruning:
    """The same, of plain data.

    Pruned inference is run as what it equals: a prompt of the query's tokens alone, at the
    positions that they have in the context, whose residuals at the layer are those of the full
    context.

    Args:
        model: any model; `pruned_answers` gives the same answers, and saves the time, for a
            `HookedTransformer`.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: the contexts; example n + 1 is asked after n examples.
        queries: what task-vector prompting asks: other examples of the same functions
            (`fresh_queries`).
        position_ids: those of the zero-shot prompts of task-vector prompting.
    """
    check_same_functions(episodes, queries, shots=True)
    shots, first = episodes.shots, format.first_length(carrier_of(format))
    lengths = torch.arange(first, shots, device=episodes.x.device)[None]
    tokens = format.n_tokens(shots) + 2 * lengths.shape[1] * len(format.query)
    parts = []
    for rows in progress(list(chunks(episodes, tokens)), "pruning"):
        some = episodes[rows]
        contexts = Contexts(model, format, some)
        answers = contexts.answers()[:, first:]
        asked = _Asked(model, task, format, queries[rows], lengths, position_ids)
        parts.append(
            {
                "icl": task.error(answers, some.target[:, first:]),
                "zero_shot": asked.errors({}),
                "tvp": torch.stack(
                    [asked.errors(each) for each in _vectors(format, contexts, lengths)], dim=1
                ),
            }
            | _pruned_errors(model, task, format, some, contexts, lengths)
        )
    data = xr.Dataset(
        {name: _label(torch.cat([part[name] for part in parts])) for name in parts[0]},
        coords={
            "layer": range(count_layers(model) + 1),
            "examples": range(first, shots),
            "tokens": ("examples", [format.n_tokens(n + 1) for n in range(first, shots)]),
        },
        attrs=stamp(
            task,
            format,
            kept=len(format.query),
            position_ids=position_ids or format.position_ids,
        ),
    )
    return Pruning(data.assign(oracle=oracle_errors(task, episodes).sel(examples=data.examples)))


class _Asked:
    """Prompts of a query alone, one for each context length, and the errors of answers to them."""

    def __init__(
        self,
        model: HookedRootModule,
        task: Task,
        format: Format,
        queries: Episodes,
        lengths: Lengths,
        position_ids: PositionIds | None,
    ) -> None:
        self.task, self.length = task, lengths.shape[1]
        self.target = queries.target[:, -self.length :]
        self.stream = residual_stream(model, format.zero_shot(queries, lengths, position_ids))

    def errors(self, states: States) -> Float[Tensor, "episode length"]:
        """Errors when some residuals are replaced by those of contexts."""
        values = {
            site: rearrange(state, "episode length d -> (episode length) 1 d")
            for site, state in states.items()
        }
        answers = self.stream.answer(values)
        answers = rearrange(answers, "(episode n) d -> episode n d", n=self.length)
        return self.task.error(answers, self.target)


def _pruned_errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    contexts: Contexts,
    lengths: Lengths,
) -> dict[str, Float[Tensor, "episode layer length"]]:
    """Errors when the earlier tokens are dropped above each layer, while the prompt is read and
    after that.
    """
    alone = _Asked(model, task, format, episodes, lengths, PositionIds.KEEP)
    vectors = _vectors(format, contexts, lengths)
    pruned, evicted = [], []
    for layer in range(contexts.n_layers + 1):
        sites = [Site(layer, role) for role in format.query]
        states = _states(contexts, sites, lengths)
        pruned.append(alone.errors(states))
        if carrier_of(format) is not format.answer:
            for above in vectors[layer:]:
                states |= above
        evicted.append(alone.errors(states))
    return {"pruned": torch.stack(pruned, dim=1), "evicted": torch.stack(evicted, dim=1)}


def _vectors(format: Format, contexts: Contexts, lengths: Lengths) -> list[States]:
    """The carrier's states at each layer."""
    sites = [Site(layer, carrier_of(format)) for layer in range(contexts.n_layers + 1)]
    return [_states(contexts, [site], lengths) for site in sites]


def _states(
    contexts: Contexts, sites: list[Site], lengths: Lengths
) -> dict[Site, Float[Tensor, "episode length d_model"]]:
    """The residuals at some sites, one for each context length."""
    states = {site: contexts.vectors(site.layer, site.role) for site in sites}
    return {site: state[:, -lengths.shape[1] :] for site, state in states.items()}


def _label(errors: Float[Tensor, "episode *layer length"]) -> xr.Variable:
    dims = ("episode", "layer", "examples") if errors.dim() == 3 else ("episode", "examples")
    return xr.Variable(dims, errors.float().cpu().numpy())
