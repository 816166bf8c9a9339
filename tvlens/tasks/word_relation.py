"""A relation between words, which a pretrained language model may know."""

import enum
import functools
import math
from collections import Counter
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.tasks.symbol_maps import Direction, MapKind, SymbolMaps

Pair = tuple[str, str]


@dataclass(frozen=True)
class WordRelation(SymbolMaps):
    """One function from words to words, such as country to capital; symbols are numbers of words.

    Every episode is of this function, so its params are the same throughout. The examples of an
    episode are different pairs, drawn uniformly. `TextFormat(task.words, tokenizer)` spells them.

    The oracle knows all pairs, but not that it is them it will be asked about. Before it has seen
    an example of the relation it guesses among the answers, each as often as it occurs; from then
    on it is right.
    """

    name: str
    """What the relation is called."""
    pairs: tuple[Pair, ...]
    """The words (x, y) that are related."""
    direction: Direction = Direction.FORWARD
    """Which way pairs are mapped. Both ways, each word is in one pair, listed as (x, y) or (y, x)
    or as both."""
    pairs_both_ways: bool = False
    """Whether one episode may show a pair both ways: x to y and y to x."""

    def __post_init__(self) -> None:
        if not isinstance(self.direction, Direction) or self.direction is Direction.COPY:
            raise InputError(
                f"{self.name} is asked by Direction.FORWARD, INVERSE or BOTH, not "
                f"{self.direction!r}; a copy is no relation between words."
            )
        _check_pairs(self.name, self.pairs)
        _check_function(self.name, self.pairs, self.direction)

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary: every word once, first each x and then each y, in the order of pairs."""
        return _words(self.pairs)

    @property
    def function(self) -> dict[str, str]:
        """The image of every word that has one."""
        return dict(step for pair in self.pairs for step in steps(pair, self.direction))

    @property
    def kinds(self) -> tuple[MapKind, ...]:
        """The one kind of function that there is."""
        items = len(self.function)
        return (MapKind(self.direction, items // (2 if self.direction is Direction.BOTH else 1)),)

    @property
    def d_x(self) -> int:
        """Number of words."""
        return len(self.words)

    @property
    def scale(self) -> float:
        """Cross-entropy in nats of a guess among the answers: their entropy."""
        answers = Counter(self.function.values())
        return -sum(
            count / answers.total() * math.log(count / answers.total())
            for count in answers.values()
        )

    @property
    def most_shots(self) -> int:
        """Examples that an episode can have before one would repeat."""
        return len(self.function) if self.pairs_both_ways else len(_as_sets(self.function))

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """The one function, so many times; nothing is drawn."""
        images = self._images(generator.device)
        return torch.cat([images.new_zeros(1), images]).float().repeat(batch, 1)

    def sample_inputs(
        self, params: Float[Tensor, "batch d_params"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot d_x"]:
        """Draw items of different pairs.

        Raises:
            InputError: there are fewer pairs than shots.
        """
        if shots > self.most_shots:
            raise InputError(
                f"An episode of {self.name} shows no pair twice, and there are {self.most_shots}: "
                f"{shots} shots are too many. Ask for fewer, or give more pairs."
            )
        images = self.images(params)
        symbol = torch.arange(self.d_x, device=images.device)
        asked = images >= 0
        rank = torch.rand(images.shape, generator=generator, device=images.device).argsort(1)
        if not self.pairs_both_ways:
            image = images.clamp_min(0)
            returns = images.gather(1, image) == symbol
            asked = asked & ~(returns & (rank > rank.gather(1, image)))
        return self.one_hot(rank.masked_fill(~asked, self.d_x).argsort(1)[:, :shots])

    def oracle(
        self,
        x: Float[Tensor, "batch shot d_x"],
        y: Float[Tensor, "batch shot d_y"],
        query: Float[Tensor, "batch query d_x"],
    ) -> Float[Tensor, "batch query d_y"]:
        """Log-probabilities: the answers by frequency until an example of the relation is seen, and
        then the right one. What has no image is answered by the same guess.
        """
        table = self.one_hot(self._images(x.device)).to(x.dtype)
        guess = table.sum(0) / table.sum()
        seen = ((x @ table) * y).sum(-1).bool().any(1)
        right = query @ table
        known = seen[:, None, None] & right.any(-1, keepdim=True)
        return torch.where(known, right, guess).clamp_min(1e-12).log()

    def _images(self, device: torch.device) -> Int[Tensor, " d_x"]:
        """The image of every word, -1 where it has none."""
        images = torch.tensor(_image_numbers(self.pairs, self.direction))
        # Sent without waiting: a tensor made on a GPU from a list would stop the host every step.
        return images.to(device, non_blocking=True)


class AnswerKind(enum.StrEnum):
    """What an answer to a word x is; the first that applies."""

    RIGHT = "right"
    """The image of x."""
    REVERSED = "reversed"
    """A word whose image is x: the pair is right, the direction is not."""
    COPY = "copy"
    """x itself."""
    WRONG_PAIR = "wrong pair"
    """Of another pair, on the side where the image of x stands."""
    WRONG_SIDE = "wrong side"
    """Of another pair, on the side of x."""
    OTHER = "other"
    """No word of the relation."""


def kind_of_answer(task: WordRelation, x: str, answer: str) -> AnswerKind:
    """What kind of answer, or of error, a word is.

    Args:
        x: the word that was asked.
        answer: what was said; space around it does not count.

    Raises:
        InputError: x has no image.
    """
    function, answer = task.function, answer.strip()
    if x not in function:
        raise InputError(
            f"{task.name} ({task.direction}) has no image of {x!r}; ask one of the "
            f"{len(function)} words in `task.function`."
        )
    left, right = (set(side) for side in zip(*task.pairs, strict=True))
    is_left = x in left and task.direction is not Direction.INVERSE
    tests = {
        AnswerKind.RIGHT: answer == function[x],
        AnswerKind.REVERSED: function.get(answer) == x,
        AnswerKind.COPY: answer == x,
        AnswerKind.WRONG_PAIR: answer in (right if is_left else left),
        AnswerKind.WRONG_SIDE: answer in left | right,
        AnswerKind.OTHER: True,
    }
    return next(kind for kind, applies in tests.items() if applies)


def steps(pair: Pair, direction: Direction) -> tuple[Pair, ...]:
    """What a pair (x, y) says of the function: which words go to which."""
    x, y = pair
    return {
        Direction.FORWARD: ((x, y),),
        Direction.INVERSE: ((y, x),),
        Direction.BOTH: ((x, y), (y, x)),
    }[direction]


def _check_pairs(name: str, pairs: tuple[Pair, ...]) -> None:
    wrong = [each for each in pairs if not _is_pair(each)] if isinstance(pairs, tuple) else [pairs]
    if wrong:
        raise InputError(
            f"The pairs of {name} are a tuple of tuples of two words, got {wrong[0]!r}; write "
            '(("hot", "cold"), ("big", "small")).'
        )
    for pair, count in Counter(pairs).items():
        for word in pair:
            if not word or word != word.strip():
                raise InputError(
                    f"{name} has the pair {pair}; a word is not empty and has no space around it. "
                    "Spaces between words belong to the template of the format."
                )
        if pair[0] == pair[1]:
            raise InputError(
                f"{name} has the pair {pair}, a copy, which looks right for the wrong reason; "
                "leave it out."
            )
        if count > 1:
            raise InputError(f"{name} has the pair {pair} {count} times; leave one of them.")


def _is_pair(given: object) -> bool:
    return (
        isinstance(given, tuple)
        and len(given) == 2
        and all(isinstance(word, str) for word in given)
    )


def _check_function(name: str, pairs: tuple[Pair, ...], direction: Direction) -> None:
    function: dict[str, str] = {}
    for x, y in (step for pair in pairs for step in steps(pair, direction)):
        if function.setdefault(x, y) != y:
            advice = {
                Direction.FORWARD: "Keep one of these pairs.",
                Direction.INVERSE: "Ask it forward, or keep one of these pairs.",
                Direction.BOTH: "Ask it one way: both ways each word is in one pair.",
            }
            raise InputError(
                f"{name} ({direction}) takes {x!r} to {function[x]!r} and to {y!r}, but a function "
                f"has one image. {advice[direction]}"
            )
    answers, different = len(set(function.values())), len(_as_sets(function))
    if min(answers, different) < 2:
        raise InputError(
            f"{name} ({direction}) has {different} pairs and {answers} answers, and without 2 of "
            "both there is nothing to ask; give more pairs."
        )


def _as_sets(function: dict[str, str]) -> set[frozenset[str]]:
    """The pairs of a function, whichever way they are mapped."""
    return {frozenset(step) for step in function.items()}


@functools.cache
def _words(pairs: tuple[Pair, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pair[side] for side in (0, 1) for pair in pairs))


@functools.cache
def _image_numbers(pairs: tuple[Pair, ...], direction: Direction) -> list[int]:
    number = {word: index for index, word in enumerate(_words(pairs))}
    function = dict(step for pair in pairs for step in steps(pair, direction))
    return [number[function[word]] if word in function else -1 for word in number]
