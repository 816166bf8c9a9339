"""What one task vector can not do, and several can: `python analyses/task_vector_limits.py`."""

from __future__ import annotations

from chapters import flow, ranks, several, symbols, words, worth
from claims import Book, Story, publish
from command_line import parse, plain_errors, quietly

DESCRIPTION = """The limits of one task vector (arXiv 2506.09048) on models that ship: how many
examples it is worth, that it holds a map of rank one and no more, what several vectors add, where
a softmax transformer makes it, and which symbols it stands for. A page with figures, and a table of
what is said beside what is found.

Example: python analyses/task_vector_limits.py --out figures/limits"""

BOOK = Book(
    "task_vector_limits",
    "What can one task vector not do?",
    "A vector of a linear transformer acts as one example that is a mixture of the examples shown "
    "(arXiv 2506.09048). Then it can hold a map of rank one and no more, and several are better "
    "than one. Intervals are 95%, over seeds and episodes for linear transformers, over functions "
    "for softmax models, which are one training each.",
    tuple(each.told for each in (worth, ranks, symbols, several, flow, words)),
)

if __name__ == "__main__":
    with plain_errors():
        story = parse(Story, Story(), DESCRIPTION)
        with quietly(story.quiet):
            publish(BOOK, story)
