"""Table 4: which symbols a vector is decoded to."""

import tvlens as tvl
from tvlens.analysis.shared.needs import SYMBOLS
from tvlens.plots import plot_vocabulary
from tvlens.results import Vocabulary
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import score, side_by_side, subject
from tvlens.studies.claims import Claim, claim_id, lies
from tvlens.studies.story import Story
from tvlens.subjects import Subject
from tvlens.training.runs import list_pretrained


def told(story: Story) -> Chapter:
    """Vectors of all models of symbols that ship, through the final norm and the unembedding."""
    every = [subject(name, story, story.episodes // 4) for name in list_pretrained()]
    found = {each.name: vocabulary(each) for each in every if SYMBOLS.missing(each) is None}
    scores = {name: each.scores() for name, each in found.items()}
    few = ("offset-tvp", "bijections-vanilla", "relations-tvp")
    claims = []
    for name, each in scores.items():
        gain = score(each, "outputs_own_to_it")
        claim = f"{name}: outputs among the five likeliest, above those by another's vector"
        id = claim_id("Tab4", "outputs", name)
        claims.append(Claim(id, claim, "Table 4, > 0", *gain, lies(gain, above=0.0)))
    return Chapter(
        "Which symbols does a vector stand for?",
        {"words": plot_vocabulary({name: found[name] for name in few})},
        side_by_side(scores),
        claims,
        "The vector of each layer goes through the final norm and the unembedding. Counted are "
        "outputs that the context shows, but for the answer to its own query. Intervals are 95% "
        "over episodes.",
    )


def vocabulary(asked: Subject) -> Vocabulary:
    """The symbols of one model."""
    return tvl.analysis.vocabulary(
        asked.model,
        asked.task,
        asked.format,
        asked.episodes,
        asked.queries,
        layer=asked.layer,
        untrained=asked.untrained_model,
    )
