"""Relations between words: their functions, their files, and what is refused."""

import itertools
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from tests.task_conformance import certain_logits, check_task, episodes_of, zero_shot_oracle
from tests.tiny_llama import TEMPLATE, letter_tokenizer
from tvlens.base.errors import InputError
from tvlens.prompts import Role, TextFormat
from tvlens.tasks import (
    WORD_LISTS,
    AnswerKind,
    Direction,
    MapKind,
    WordList,
    WordRelation,
    kind_of_answer,
    list_relations,
    load_pairs,
    load_relation,
    sample_episodes,
)
from tvlens.tasks.word_lists import FOLDER

FORWARD, INVERSE, BOTH = Direction.FORWARD, Direction.INVERSE, Direction.BOTH
ASKED = [
    pytest.param(each.name, direction, id=f"{each.name}-{direction}")
    for each in WORD_LISTS
    for direction in each.directions
]
BY_NAME = {each.name: each for each in WORD_LISTS}
# In a fixed order that says something; all others are sorted.
COUNTED = {"next-letter", "next-numeral", "numeral-digits"}

OPPOSITES = (("hot", "cold"), ("big", "small"), ("wet", "dry"))
CHAIN = (("one", "two"), ("two", "three"), ("three", "four"))
LANGUAGES = (("Chile", "Spanish"), ("Cuba", "Spanish"), ("France", "French"))


def written(name: str) -> list[tuple[str, str]]:
    """The pairs of a file, read without tvlens."""
    data = json.loads((FOLDER / f"{name}.json").read_bytes())
    return [(each["input"], each["output"]) for each in data]


def spelled(task: WordRelation, symbols: torch.Tensor) -> list[list[str]]:
    assert (symbols.sum(-1) == 1).all(), "no symbol, or several"
    return [[task.words[number] for number in row] for row in symbols.argmax(-1).tolist()]


def named(pairs: tuple[tuple[str, str], ...], direction: Direction = FORWARD) -> WordRelation:
    return WordRelation("own", pairs, direction)


@pytest.mark.parametrize(
    "task",
    [
        load_relation("country-capital"),
        load_relation("country-language"),
        load_relation("next-letter", INVERSE),
        load_relation("antonym", BOTH),
        WordRelation("opposites", tuple(written("antonym")), BOTH, pairs_both_ways=True),
    ],
    ids=lambda task: f"{task.name}-{task.direction}",
)
def test_a_relation_keeps_what_tasks_promise(task: WordRelation):
    check_task(task, exact_from=1, right=certain_logits, ignorant=zero_shot_oracle)


@pytest.mark.parametrize(("name", "direction"), ASKED)
def test_examples_are_pairs_of_the_file_and_none_occurs_twice(name: str, direction: Direction):
    pairs = written(name)
    task = load_relation(name, direction)
    episodes = episodes_of(task, 40, len(pairs))
    right = {
        FORWARD: set(pairs),
        INVERSE: {(y, x) for x, y in pairs},
        BOTH: {*pairs, *((y, x) for x, y in pairs)},
    }[direction]
    shown = set()
    for xs, ys in zip(spelled(task, episodes.x), spelled(task, episodes.y), strict=True):
        examples = list(zip(xs, ys, strict=True))
        assert set(examples) <= right
        assert len({frozenset(each) for each in examples}) == len(pairs), "a pair occurs twice"
        shown |= set(examples)
    assert shown == right
    assert torch.equal(episodes.y, episodes.target)
    assert len(episodes.params.unique(dim=0)) == 1
    with pytest.raises(InputError, match=f"there are {len(pairs)}: {len(pairs) + 1} shots"):
        episodes_of(task, 1, len(pairs) + 1)


@pytest.mark.parametrize("each", WORD_LISTS, ids=lambda each: each.name)
def test_a_list_is_what_it_says(each: WordList):
    pairs = written(each.name)
    left, right = (Counter(side) for side in zip(*pairs, strict=True))
    assert 30 <= len(pairs) <= 100
    assert left.total() == len(left), "a word has two images"
    assert each.one_to_one is (right.total() == len(right))
    apart = not set(left) & set(right)
    expected = [FORWARD, *[INVERSE] * each.one_to_one, *[BOTH] * (each.one_to_one and apart)]
    assert each.directions == tuple(expected)
    for direction in {FORWARD, INVERSE, BOTH} - set(each.directions):
        with pytest.raises(InputError, match=f"{each.name} \\({direction}\\) takes"):
            load_relation(each.name, direction)
    assert BOTH in each.directions or not each.involution


@pytest.mark.parametrize("name", list_relations())
def test_a_file_is_clean(name: str):
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    pairs = written(name)
    assert unicodedata.is_normalized("NFC", text)
    assert text.endswith("]\n") and not any(line != line.rstrip() for line in text.split("\n"))
    words = [word for pair in pairs for word in pair]
    assert all(word == " ".join(word.split()) != "" for word in words)
    assert name in COUNTED or pairs == sorted(pairs)
    assert json.loads(text) == [{"input": x, "output": y} for x, y in pairs]


def test_every_file_is_listed_and_names_are_sorted():
    assert list_relations() == sorted(path.stem for path in FOLDER.glob("*.json"))
    assert all(each.description.endswith(".") for each in WORD_LISTS)


def test_words_that_can_be_computed_are_right():
    computed: dict[str, Callable[[str], str]] = {
        "first-letter": lambda word: word[0],
        "lower-capitalised": str.capitalize,
        "lower-upper": str.upper,
        "next-letter": lambda letter: chr(ord(letter) + 1),
    }
    for name, image in computed.items():
        assert all(y == image(x) for x, y in written(name)), name
    value = {word: int(digits) for word, digits in written("numeral-digits")}
    assert list(value.values()) == list(range(100))
    assert all(value[y] == value[x] + 1 for x, y in written("next-numeral"))
    tens = {word: number for word, number in value.items() if number in range(20, 100, 10)}
    for word, number in value.items():
        if "-" in word:
            ten, unit = word.split("-")
            assert tens[ten] + value[unit] == number


def test_words_that_follow_a_rule_or_are_known_exceptions_are_right():
    def regular(name: str, *endings: tuple[str, str]) -> set[str]:
        """Words whose image none of the rules gives."""
        made = {x: {x[: -len(old) or None] + new for old, new in endings} for x, _ in written(name)}
        return {x for x, y in written(name) if y not in made[x]}

    doubled = [(letter, f"{letter}{letter}") for letter in "bdgmnprt"]
    gerund = [("", "ing"), ("e", "ing"), ("ie", "ying")]
    gerund += [(one, f"{two}ing") for one, two in doubled]
    assert regular("present-gerund", *gerund) == set()
    third = [("", "s"), ("", "es"), ("y", "ies")]
    assert regular("present-third-person", *third) == {"have"}
    compared = [("", "er"), ("", "r"), ("y", "ier"), *((one, f"{two}er") for one, two in doubled)]
    assert regular("comparative", *compared) == {"good", "bad"}
    most = dict(written("superlative"))
    assert most.keys() == dict(written("comparative")).keys()
    for x, y in written("comparative"):
        assert x in ("good", "bad") or most[x] == y[:-1] + "st"


def test_languages_can_be_compared_on_the_same_english_words():
    for one, other in itertools.combinations(("french", "german", "italian", "spanish"), 2):
        shared = dict(written(f"english-{one}")).keys() & dict(written(f"english-{other}")).keys()
        assert len(shared) >= 65


def test_an_involution_comes_back_and_antonyms_are_one_both_ways():
    task = load_relation("antonym", BOTH)
    assert BY_NAME["antonym"].involution
    function = task.function
    assert all(function[function[word]] == word != function[word] for word in task.words)
    for one, other in (("hot", "cold"), ("left", "right"), ("always", "never")):
        assert (function[one], function[other]) == (other, one)
    episodes = episodes_of(task, 200, 5)
    assert torch.equal(task.apply(episodes.params, episodes.target), episodes.x)


def test_pairs_listed_both_ways_are_the_same_function_as_pairs_listed_once():
    once = named(OPPOSITES, BOTH)
    twice = named((*OPPOSITES, *((y, x) for x, y in OPPOSITES)), BOTH)
    forward = named(twice.pairs)
    assert once.function == twice.function == forward.function
    assert once.kinds == twice.kinds == (MapKind(BOTH, 3),)
    assert once.most_shots == twice.most_shots == forward.most_shots == 3
    assert once.words == ("hot", "big", "wet", "cold", "small", "dry")
    for task in (twice, forward):
        for xs in spelled(task, episodes_of(task, 100, 3).x):
            assert len({frozenset((x, task.function[x])) for x in xs}) == 3


def test_a_pair_is_shown_both_ways_if_told_and_every_item_is_as_likely():
    told = WordRelation("own", OPPOSITES, BOTH, pairs_both_ways=True)
    assert told.most_shots == 6
    for xs in spelled(told, episodes_of(told, 50, 6).x):
        assert sorted(xs) == sorted(told.words)
    for task in (told, named(OPPOSITES, BOTH), named(CHAIN), named(LANGUAGES)):
        shots, items = task.most_shots, len(task.function)
        often = episodes_of(task, 6000, shots).x.mean(0)
        asked = [word in task.function for word in task.words]
        assert_close(
            often[:, asked],
            torch.full((shots, items), 1 / items),
            atol=4 * 0.5 / math.sqrt(6000),
            rtol=0,
        )


def test_the_oracle_guesses_by_frequency_until_it_sees_the_relation():
    task = named(LANGUAGES)
    number = {word: index for index, word in enumerate(task.words)}
    one_hot = torch.eye(task.d_x)

    def answer(x: str, y: str, asked: str) -> dict[str, float]:
        shown = (one_hot[number[word]][None, None] for word in (x, y, asked))
        chances = task.oracle(*shown).exp()[0, 0].tolist()
        return {word: round(chances[number[word]], 5) for word in task.words}

    nothing = dict.fromkeys(task.words, 0.0)
    guess = nothing | {"Spanish": round(2 / 3, 5), "French": round(1 / 3, 5)}
    assert answer("Chile", "Spanish", "France") == nothing | {"French": 1.0}
    assert answer("Chile", "French", "France") == guess
    assert answer("Spanish", "Chile", "France") == guess
    assert answer("Chile", "Spanish", "French") == guess
    assert task.scale == pytest.approx(math.log(3) - 2 / 3 * math.log(2))


def test_a_text_format_spells_the_words():
    task = named((("a", "abc"), ("b", "cab"), ("c", "ba")))
    format = TextFormat(task.words, letter_tokenizer(), TEMPLATE)
    episodes = episodes_of(task, 12, 3)
    prompt = format.context(episodes)
    letters = "^abc=;"
    for row, (xs, ys) in enumerate(
        zip(spelled(task, episodes.x), spelled(task, episodes.y), strict=True)
    ):
        text = "^" + "".join(f"{x}={y};" for x, y in zip(xs, ys, strict=True))
        found = "".join(letters[token] for token in prompt.inputs[row, : prompt.lengths[row]])
        # The last token of the last answer predicts nothing that is asked.
        assert found == text[:-2]
    assert prompt.places(Role.ARROW).index is not None


@pytest.mark.parametrize(
    ("task", "x", "answers"),
    [
        (
            named(OPPOSITES),
            "hot",
            {"cold": "right", "hot": "copy", "small": "wrong pair", "big": "wrong side"},
        ),
        (
            named(OPPOSITES, INVERSE),
            "cold",
            {" hot\n": "right", "cold": "copy", "big": "wrong pair", "dry": "wrong side"},
        ),
        (
            named(OPPOSITES, BOTH),
            "cold",
            {"hot": "right", "cold": "copy", "wet": "wrong pair", "dry": "wrong side"},
        ),
        (
            named(CHAIN),
            "two",
            {"three": "right", "one": "reversed", "two": "copy", "four": "wrong pair"},
        ),
        (
            named(CHAIN, INVERSE),
            "two",
            {"one": "right", "three": "reversed", "two": "copy", "four": "wrong side"},
        ),
        (
            named(LANGUAGES),
            "Cuba",
            {"Spanish": "right", "French": "wrong pair", "Chile": "wrong side", "spanish": "other"},
        ),
    ],
    ids=lambda each: f"{each.pairs[0][0]}-{each.direction}" if type(each) is WordRelation else "",
)
def test_answers_are_sorted_by_what_is_wrong(task: WordRelation, x: str, answers: dict[str, str]):
    for answer, kind in {**answers, "": "other", "blue": "other"}.items():
        assert kind_of_answer(task, x, answer) is AnswerKind(kind), answer


def test_the_kinds_of_all_words_add_up():
    for direction in (FORWARD, INVERSE, BOTH):
        task = load_relation("country-capital", direction)
        for x in list(task.function)[:3]:
            counts = Counter(kind_of_answer(task, x, word) for word in task.words)
            others = len(task.pairs) - 1
            assert counts == {"right": 1, "copy": 1, "wrong pair": others, "wrong side": others}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: named((*OPPOSITES, OPPOSITES[0])), r"\('hot', 'cold'\) 2 times; leave"),
        (lambda: named((*OPPOSITES, ("hot", "cool"))), "'hot' to 'cold' and to 'cool'.*Keep one"),
        (lambda: named(LANGUAGES, INVERSE), "'Spanish' to 'Chile' and to 'Cuba'.*Ask it forward"),
        (lambda: named(LANGUAGES, BOTH), "'Spanish' to 'Chile' and to 'Cuba'.*Ask it one way"),
        (lambda: named(CHAIN, BOTH), "'two' to 'one' and to 'three'.*Ask it one way"),
        (lambda: named((*OPPOSITES, ("sheep", "sheep"))), "a copy.*leave it out"),
        (lambda: named((*OPPOSITES, ("", "dry"))), "not empty"),
        (lambda: named((*OPPOSITES, ("low", " high"))), "no space around"),
        (lambda: named((*OPPOSITES, ("low", " \t"))), "no space around"),
        (lambda: named(OPPOSITES, Direction.COPY), "FORWARD, INVERSE or BOTH"),
        (lambda: named(()), "0 pairs and 0 answers"),
        (lambda: named(OPPOSITES[:1], BOTH), "1 pairs and 2 answers"),
        (lambda: named(LANGUAGES[:2]), "2 pairs and 1 answers"),
        (lambda: episodes_of(named(OPPOSITES), 2, 4), "there are 3: 4 shots"),
        (lambda: kind_of_answer(named(OPPOSITES), "cold", "hot"), "no image of 'cold'"),
        (lambda: load_relation("antonyms"), "'antonyms'. Did you mean 'antonym'"),
    ],
)
def test_what_is_wrong_is_said_once_and_with_a_remedy(make: Callable[[], Any], said: str):
    with pytest.raises(InputError, match=said) as error:
        make()
    assert "\n" not in str(error.value)


def saved(folder: Path, data: Any) -> Path:
    path = folder / "own.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "data",
    [
        [{"input": x, "output": y} for x, y in OPPOSITES],
        [{"output": y, "input": x, "source": "me"} for x, y in OPPOSITES],
        [list(pair) for pair in OPPOSITES],
        dict(OPPOSITES),
        {x: [y] for x, y in OPPOSITES},
    ],
)
def test_pairs_load_in_every_shape(tmp_path: Path, data: Any):
    found = load_pairs(saved(tmp_path, data), direction=BOTH)
    assert found.relation == named(OPPOSITES, BOTH)
    assert found.kept == 3
    left_out = (found.duplicates, found.ambiguous, found.copies, found.empty)
    assert left_out == (0, 0, 0, 0) and found.first_of_several == 0


def test_a_shipped_file_loads_as_the_relation():
    for name in ("english-german", "antonym"):
        found = load_pairs(FOLDER / f"{name}.json", direction=INVERSE)
        assert found.relation == load_relation(name, INVERSE)


@pytest.mark.parametrize(
    ("direction", "kept", "ambiguous"),
    [
        (FORWARD, ("hot:cold", "big:small", "cool:cold", "cold:hot", "wet:dry"), 1),
        (INVERSE, ("hot:cold", "big:small", "hot:warm", "cold:hot", "wet:dry"), 1),
        (BOTH, ("hot:cold", "big:small", "cold:hot", "wet:dry"), 2),
    ],
)
def test_pairs_that_are_left_out_are_counted(
    tmp_path: Path, direction: Direction, kept: tuple[str, ...], ambiguous: int
):
    data = [
        ["hot", "cold"],
        ["big", ["small", "little"]],
        ["hot", "cold "],
        ["cool", "cold"],
        ["hot", "warm"],
        ["cold", "hot"],
        ["sheep", "sheep"],
        ["", "dry"],
        ["wet", []],
        ["wet", " "],
        [" wet", "dry"],
    ]
    found = load_pairs(saved(tmp_path, data), name="mine", direction=direction)
    assert found.relation == WordRelation(
        "mine", tuple((each.split(":")[0], each.split(":")[1]) for each in kept), direction
    )
    assert (found.duplicates, found.copies, found.empty) == (1, 1, 3)
    assert (found.ambiguous, found.first_of_several) == (ambiguous, 1)
    assert found.kept + ambiguous + 5 == len(data)


def test_repeated_keys_and_other_forms_of_accents_are_counted_too(tmp_path: Path):
    twice = saved(tmp_path, '{"a": "b", "a": "c", "d": "e"}')
    assert load_pairs(twice).ambiguous == 1
    accents = [["bread", "pan"], ["day", "día"], ["day", unicodedata.normalize("NFD", "día")]]
    found = load_pairs(saved(tmp_path, accents))
    assert (found.kept, found.duplicates) == (2, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "Cannot read .*own.json: No such file"),
        (b'[["a", "b"], ["c"', "own.json is not valid JSON"),
        (b'[["a", "\xff"]]', "own.json is not valid JSON .*utf-8"),
        (b'"hot"', "should be a list of .* got hot"),
        (b'["hot", "cold"]', "should be a list of .* got hot"),
        (b'[["a", "b", "c"]]', "should be a list of .* got \\['a', 'b', 'c'\\]"),
        (b'[{"x": "a", "y": "b"}]', "should be a list of .* got {'x': 'a', 'y': 'b'}"),
        (b'[["a", 1]]', "with texts throughout; got \\['a', 1\\]"),
        (b'{"a": {"b": "c"}}', "should be a list of"),
        (b"[{}]", "should be a list of"),
        (b"[]", "has 0 pairs"),
        (b'[["a", "b"], ["a", "c"], ["d", "d"]]', "1 pairs .* 1 ambiguous, 1 copies, 0 empty"),
    ],
)
def test_a_file_that_holds_no_pairs_is_refused(tmp_path: Path, content: bytes | None, said: str):
    path = tmp_path / "own.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_pairs(path)


def test_shots_are_checked_before_anything_is_drawn():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    with pytest.raises(InputError):
        sample_episodes(named(OPPOSITES), 2, 9, generator=generator)
    assert torch.equal(generator.get_state(), before)
