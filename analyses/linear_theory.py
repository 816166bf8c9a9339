"""What is proven of linear transformers, on trained ones: `python analyses/linear_theory.py`."""

from __future__ import annotations

from chapters import demonstrations, dropout, formats, landscape, weights
from claims import Book, Story, publish
from command_line import parse, plain_errors, quietly

DESCRIPTION = """The theory of linear transformers (arXiv 2506.09048) on models that ship: what
their weights look like and what lies around them, what risk they reach, what dropout changes, and
which examples a vector is made of. A page with figures, and a table of what is said beside what is
found.

The models come from `python analyses/train.py --preset triplet-2x5 --seed 1` and the like.

Example: python analyses/linear_theory.py --out figures/theory"""

BOOK = Book(
    "linear_theory",
    "What does theory say of linear transformers, and do trained ones agree?",
    "Linear transformers trained from several seeds beside the weights and risks that theory "
    "gives them (arXiv 2506.09048). Intervals are 95% over seeds and episodes; of weights, the "
    "smallest and the largest seed. R is the squared error for each coordinate of y: 4 is knowing "
    "nothing.",
    tuple(each.told for each in (weights, landscape, formats, dropout, demonstrations)),
)

if __name__ == "__main__":
    with plain_errors():
        story = parse(Story, Story(), DESCRIPTION)
        with quietly(story.quiet):
            publish(BOOK, story)
