"""Table 4: which symbols a vector is decoded to."""

from tvlens.analysis.vocabulary import vocabulary
from tvlens.plots import plot_vocabulary
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import all_that_fit, score, side_by_side
from tvlens.studies.claims import Claim, claim_id, lies
from tvlens.studies.story import Story


def told(story: Story) -> Chapter:
    """Vectors of all models of symbols that ship, through the final norm and the unembedding."""
    every = all_that_fit(vocabulary, story, story.episodes // 4)
    found = {each.name: vocabulary(each) for each in every}
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
