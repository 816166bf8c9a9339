"""What an analysis needs of the model, task and format that it is put to.

An analysis names its needs once, in `asks`. They are checked before any work, and tell `study` and
the command line which questions apply.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

from tvlens.base.errors import InputError
from tvlens.interventions.parts import head_weights
from tvlens.interventions.patching import count_layers
from tvlens.models import LinearTransformer
from tvlens.models.linear.weights import structured_layers
from tvlens.prompts import PAIRWISE, TRIPLET, AlignedPrompt
from tvlens.prompts.word_answers import WordAnswers
from tvlens.shifts.base import are_symbols
from tvlens.subjects import Subject, check_subject
from tvlens.tasks import MatrixRegression, SymbolMaps, sample_episodes

Options = ParamSpec("Options")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Need:
    """Something that a subject may lack."""

    missing: Callable[[Subject], str | None]
    """Why a subject lacks it, as a sentence with a remedy; None where it does not."""


def asks(
    *needs: Need,
) -> Callable[
    [Callable[Concatenate[Subject, Options], Found]],
    Callable[Concatenate[Subject, Options], Found],
]:
    """Check the needs of an analysis before it begins."""

    def decorate(
        analysis: Callable[Concatenate[Subject, Options], Found],
    ) -> Callable[Concatenate[Subject, Options], Found]:
        @functools.wraps(analysis)
        def checked(subject: Any, *args: Options.args, **options: Options.kwargs) -> Found:
            check_subject(subject)
            for reason in missing(checked, subject):
                raise InputError(reason)
            return analysis(subject, *args, **options)

        setattr(checked, "needs", needs)  # noqa: B010
        return checked

    return decorate


def missing(analysis: Callable[..., Any], subject: Subject) -> list[str]:
    """Why an analysis cannot be put to a subject; empty where it can."""
    needs: tuple[Need, ...] = getattr(analysis, "needs", ())
    reasons = (need.missing(subject) for need in needs)
    return [reason for reason in reasons if reason is not None]


def _several(subject: Subject) -> str | None:
    if len(subject.models) == 1:
        return None
    return (
        f"This asks one model, and the subject has {len(subject.models)} that differ in their "
        "seed. Ask each by itself: `subject.alone(0)`, ..."
    )


def _no_carrier(subject: Subject) -> str | None:
    try:
        subject.carrier  # noqa: B018
    except InputError as error:
        return str(error)
    return None


def _carrier_late(subject: Subject) -> str | None:
    format = subject.format
    if format.carrier is None or format.first_length(format.carrier) == 0:
        return None
    return (
        f"Each prompt needs a carrier for each example and the query, and in format "
        f"{format.name!r} a prompt without examples has none. Take zxy or arrow."
    )


def _several_models(subject: Subject) -> str | None:
    if len(subject.models) == 1:
        return None
    return (
        f"This asks one model, and the subject has {len(subject.models)} that differ in their "
        "seed. Ask each by itself: `subject.alone(0)`, ..."
    )


def _no_layer(subject: Subject) -> str | None:
    named = subject.asked_layer is not None
    prescribed = subject.training is not None and subject.training.tvp_layer is not None
    if named or prescribed or count_layers(subject.models[0]) > 1:
        return None
    return (
        "A model of one block has no layer between two blocks to choose; name one: "
        "`asked_layer=1` of the subject."
    )


def _judged_by_word(subject: Subject) -> str | None:
    if not isinstance(subject.format.context(_few(subject)).answers, WordAnswers):
        return None
    return (
        f"Answers are compared with those to another function or vector, and in format "
        f"{subject.format.name!r} an answer of several tokens is only known to be right or wrong. "
        "Take a format of one token for each role."
    )


def _lacks_hook(name: str, what: str) -> Callable[[Subject], str | None]:
    def missing(subject: Subject) -> str | None:
        model = subject.models[0]
        if f"blocks.0.{name}" in model.hook_dict:
            return None
        return (
            f"{type(model).__name__} has no hook point of {what}. Put a HookPoint there and name "
            f"it as TransformerLens does: `{name}`."
        )

    return missing


def _no_head_weights(subject: Subject) -> str | None:
    model = subject.models[0]
    try:
        for block in range(count_layers(model)):
            head_weights(model, block)
    except InputError as error:
        return str(error)
    return None


def _one_block(subject: Subject) -> str | None:
    if count_layers(subject.models[0]) > 1:
        return None
    return "A model of one block has no layer between two blocks; take a deeper one."


def _ragged(subject: Subject) -> str | None:
    if isinstance(subject.format.context(_few(subject)), AlignedPrompt):
        return None
    return (
        f"Rows must share one layout, and in format {subject.format.name!r} words differ in "
        "length. Take a format of one token for each role."
    )


def _no_symbols(subject: Subject) -> str | None:
    episodes = _few(subject)
    if are_symbols(episodes.x) and are_symbols(episodes.target):
        return None
    return (
        f"{type(subject.task).__name__} is a task on numbers, and this asks about symbols. Take a "
        "task such as TokenOffset, Bijections or Relations."
    )


def _no_symbol_maps(subject: Subject) -> str | None:
    if isinstance(subject.task, SymbolMaps):
        return None
    return (
        f"The functions of {type(subject.task).__name__} are no maps between symbols; ask a model "
        "of Bijections or Relations."
    )


def _not_linear(subject: Subject) -> str | None:
    others = {type(e).__name__ for e in subject.models if not isinstance(e, LinearTransformer)}
    if not others:
        return None
    return (
        f"This asks linear transformers, got a {' and a '.join(sorted(others))}. Take a model such "
        "as triplet-2x5."
    )


def _not_structured(subject: Subject) -> str | None:
    model = subject.models[0]
    if not isinstance(model, LinearTransformer):
        return None  # This is said of all that are not linear.
    try:
        structured_layers(model)
    except InputError as error:
        return str(error)
    return None


def _no_pairs(subject: Subject) -> str | None:
    if subject.format in (PAIRWISE, TRIPLET):
        return None
    return (
        f"This compares pairs and triplets, and got format {subject.format.name!r}. Take a model "
        "such as pairwise-2x5-keep80 or triplet-2x5-keep80."
    )


def _no_matrices(subject: Subject) -> str | None:
    if isinstance(subject.task, MatrixRegression):
        return None
    return (
        f"Theory speaks of MatrixRegression, and these are tested on {type(subject.task).__name__}."
    )


def _other_length(subject: Subject) -> str | None:
    asked, trained = subject.test.examples, _trained_length(subject)
    if asked == trained:
        return None
    return (
        f"These linear transformers have positions for {trained} examples, and are asked {asked}. "
        f"Test them with `examples={trained}`."
    )


def _too_short(subject: Subject) -> str | None:
    asked, trained = subject.test.examples, _trained_length(subject)
    if asked >= trained:
        return None
    return (
        f"These linear transformers answer after {trained} examples, and are shown {asked}. Test "
        f"them with `examples={trained}` or more."
    )


def _trained_length(subject: Subject) -> int:
    """Examples that linear transformers were trained with; those of the test for other models."""
    model = subject.models[0]
    return model.examples if isinstance(model, LinearTransformer) else subject.test.examples


def _no_untrained(subject: Subject) -> str | None:
    if subject.untrained:
        return None
    return (
        "The control needs an untrained model of the same kind; give one to the subject as "
        "`untrained=(model,)`."
    )


def _no_snapshots(subject: Subject) -> str | None:
    if subject.snapshots is not None:
        return None
    return "No weights were kept along this training. Train with snapshots, and ask the run folder."


def examples(least: int) -> Need:
    """Contexts of so many examples."""

    def missing(subject: Subject) -> str | None:
        if subject.test.examples >= least:
            return None
        return f"This needs contexts of at least {least} examples, got {subject.test.examples}."

    return Need(missing)


def _few(subject: Subject) -> Any:
    """Two episodes, to look at their kind."""
    generator = torch.Generator(subject.device).manual_seed(0)
    return sample_episodes(subject.task, 2, 2, generator=generator)


ONE_MODEL = Need(_several)
"""A single model."""
CARRIER = Need(_no_carrier)
"""A token that holds the task vector."""
CARRIER_IN_EVERY_PROMPT = Need(_carrier_late)
"""A carrier for the query too, where no example is shown."""
ONE_MODEL = Need(_several_models)
"""One model, and not one for each of several seeds."""
LAYER = Need(_no_layer)
"""A layer to read and write vectors at."""
WHOLE_ANSWERS = Need(_judged_by_word)
"""Answers that can be compared with more than the right one."""
PATTERNS = Need(_lacks_hook("attn.hook_pattern", "attention patterns"))
"""Attention patterns."""
HEADS = Need(_lacks_hook("attn.hook_z", "attention heads"))
"""Attention heads."""
HEAD_WEIGHTS = Need(_no_head_weights)
"""Attention heads that tell how they write."""
INNER_LAYER = Need(_one_block)
"""A layer between two blocks."""
ONE_LAYOUT = Need(_ragged)
"""Prompts whose rows share one layout."""
SYMBOLS = Need(_no_symbols)
"""A task on symbols."""
SYMBOL_MAPS = Need(_no_symbol_maps)
"""A task whose functions map symbols to symbols."""
LINEAR = Need(_not_linear)
"""Linear transformers."""
STRUCTURED = Need(_not_structured)
"""Linear transformers whose layers have A, B, C and D."""
PAIRS_OR_TRIPLETS = Need(_no_pairs)
"""Prompts of linear transformers in pairs or triplets."""
MATRICES = Need(_no_matrices)
"""The task of linear transformers that theory speaks of."""
OWN_LENGTH = Need(_other_length)
"""Contexts as long as those that linear transformers were trained with."""
OWN_LENGTH_OR_MORE = Need(_too_short)
"""Contexts at least as long."""
UNTRAINED = Need(_no_untrained)
"""An untrained model of the same kind."""
SNAPSHOTS = Need(_no_snapshots)
"""Weights along the training."""
