"""What the outputs of a language model say, as one of some words."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class WordAnswers:
    """Answers of several tokens each, judged as greedy decoding would give them.

    The right answer is in the prompt, so each of its tokens is predicted from those before it.
    What is predicted is the word that the most likely tokens spell up to and including the first
    wrong one.
    """

    index: Int[np.ndarray, "batch answer token"]
    """Where each token of the answer is predicted; short answers repeat their last place."""
    asked: Int[np.ndarray, "batch answer"]
    """The number of the right word."""
    spelling: Int[np.ndarray, "word token"]
    """The tokens of every word, -1 behind its end."""

    @property
    def only(self) -> slice:
        """All positions from the first answer on."""
        return slice(int(self.index.min()), None)

    @property
    def last(self) -> "WordAnswers":
        """The last of the answers alone."""
        return replace(self, index=self.index[:, -1:], asked=self.asked[:, -1:])

    def repeated(self, times: int) -> "WordAnswers":
        """The answers of a prompt whose rows are repeated, "(time batch)"."""
        index, asked = np.tile(self.index, (times, 1, 1)), np.tile(self.asked, (times, 1))
        return replace(self, index=index, asked=asked)

    def moved(self, by: Int[np.ndarray, " batch"]) -> "WordAnswers":
        """The answers of a prompt whose rows begin elsewhere."""
        return replace(self, index=self.index + by[:, None, None])

    def predictions(
        self, outputs: Float[Tensor, "batch needed d_vocab"]
    ) -> Float[Tensor, "batch answer word"]:
        """1 at the word that is predicted; where it is none, -1 at the right one."""
        device = outputs.device
        index = torch.from_numpy(self.index - self.only.start).to(device)
        rows = torch.arange(len(outputs), device=device)[:, None, None]
        greedy = outputs[rows, index].argmax(-1)
        spelling = torch.from_numpy(self.spelling).to(device)
        asked = torch.from_numpy(self.asked).to(device)
        right = spelling[asked]
        wrong = (greedy != right) & (right >= 0)
        said = _spelled(torch.where(wrong, greedy, right), wrong, spelling)
        # argmax finds the first of several words that begin alike.
        words = F.one_hot(said.long().argmax(-1), len(spelling))
        none = ~said.any(-1, keepdim=True)
        return torch.where(none, -F.one_hot(asked, len(spelling)), words).to(outputs)


def _spelled(
    tokens: Int[Tensor, "batch answer token"],
    wrong: Bool[Tensor, "batch answer token"],
    spelling: Int[Tensor, "word token"],
) -> Bool[Tensor, "batch answer word"]:
    """Which words begin with the tokens up to the first wrong one; all of them where none is."""
    counts = wrong.cumsum(-1) - wrong.long() == 0  # Up to and including the first wrong one.
    same = tokens[..., None, :] == spelling
    return (same | ~counts[..., None, :]).all(-1)
