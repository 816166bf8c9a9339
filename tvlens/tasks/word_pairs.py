"""Pairs of words from files, as others publish them."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvlens.base.errors import InputError
from tvlens.base.files import read_json
from tvlens.tasks.symbol_maps import Direction
from tvlens.tasks.word_relation import Pair, WordRelation, steps


@dataclass(frozen=True)
class LoadedPairs:
    """A relation from a file, and what was left out of it."""

    relation: WordRelation
    """The pairs that were kept."""
    duplicates: int
    """Pairs that had occurred."""
    ambiguous: int
    """Pairs that give a second image to a word; the first is kept."""
    copies: int
    """Pairs of a word and itself."""
    empty: int
    """Pairs with an empty word, or with a list of no outputs."""
    first_of_several: int
    """Pairs that were kept with the first of several outputs."""

    @property
    def kept(self) -> int:
        """Pairs of the relation."""
        return len(self.relation.pairs)


def load_pairs(
    path: Path | str, *, name: str | None = None, direction: Direction = Direction.FORWARD
) -> LoadedPairs:
    """Load a relation from a JSON file.

    It is a list of objects with "input" and "output", a list of [x, y], or one object {x: y}. Of
    outputs that are lists the first is taken. Words lose the space around them, and letters with
    accents become one character each (NFC).

    Args:
        name: what to call it; the name of the file unless given.
        direction: the way in which each word must have one image.

    Raises:
        InputError: the file is not there, is not UTF-8 or JSON, or is of another shape, or fewer
            than two pairs are left.
    """
    path = Path(path)
    found: Counter[str] = Counter()
    function: dict[str, str] = {}
    kept: dict[Pair, None] = {}
    for x, outputs in _entries(read_json(path, objects=tuple), path):
        pair = (_cleaned(x), _cleaned(outputs[0]) if outputs else "")
        reason = _refused(pair, kept, function, direction)
        found[reason or "kept"] += 1
        if reason is None:
            kept[pair] = None
            function.update(steps(pair, direction))
            found["several"] += len(outputs) > 1
    refused = {each: found[each] for each in ("duplicates", "ambiguous", "copies", "empty")}
    if len(kept) < 2:
        raise InputError(
            f"{path} has {len(kept)} pairs to ask {direction}, and it takes 2; left out were "
            f"{', '.join(f'{count} {each}' for each, count in refused.items())}."
        )
    relation = WordRelation(name or path.stem, tuple(kept), direction)
    return LoadedPairs(relation, **refused, first_of_several=found["several"])


def _refused(
    pair: Pair, kept: dict[Pair, None], function: dict[str, str], direction: Direction
) -> str | None:
    """Why a pair cannot be added to those kept; None where it can."""
    if not all(pair):
        return "empty"
    if pair[0] == pair[1]:
        return "copies"
    if pair in kept:
        return "duplicates"
    if any(function.get(x, y) != y for x, y in steps(pair, direction)):
        return "ambiguous"
    return None


def _cleaned(word: str) -> str:
    return unicodedata.normalize("NFC", word.strip())


def _entries(data: Any, path: Path) -> Iterator[tuple[str, list[str]]]:
    """The words x of a file and their outputs, of which there may be several.

    Args:
        data: parsed JSON, with tuples of keys and values for objects, so that none is lost.
        path: what to call it in errors.
    """
    if not isinstance(data, tuple | list):
        raise _wrong_shape(path, data)
    for each in data:
        entry: Any = each
        if isinstance(data, list) and isinstance(each, tuple):
            values = dict(each)
            entry = [values.get("input"), values.get("output")]
        if not isinstance(entry, tuple | list) or len(entry) != 2:
            raise _wrong_shape(path, each)
        x, y = entry
        outputs = y if isinstance(y, list) else [y]
        if not all(isinstance(word, str) for word in (x, *outputs)):
            raise _wrong_shape(path, each)
        yield x, outputs


def _wrong_shape(path: Path, given: Any) -> InputError:
    shown = dict(given) if isinstance(given, tuple) and given and type(given[0]) is tuple else given
    return InputError(
        f'{path} should be a list of {{"input": "hot", "output": "cold"}}, a list of '
        f'["hot", "cold"], or {{"hot": "cold"}}, with texts throughout; got {str(shown)[:80]}.'
    )
