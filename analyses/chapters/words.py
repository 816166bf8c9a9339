"""Table 4: which symbols a vector is decoded to."""

from __future__ import annotations

import vocabulary
from claims import Chapter, Claim, Story, lies
from study import shipped

import tvlens as tvl
from chapters.shipped import score, side_by_side, subject


def told(story: Story) -> Chapter:
    """Vectors of all models of symbols that ship, through the final norm and the unembedding."""
    subjects = [
        subject(name, story, story.episodes // 4)
        for name in shipped(tvl.TokenFormat)
        if vocabulary.is_symbolic(tvl.load_pretrained(name, device=str(story.on)))
    ]
    found = {each.name: vocabulary.analyse(each) for each in subjects}
    scores = {name: each.scores() for name, each in found.items()}
    few = ("offset-tvp", "bijections-vanilla", "relations-tvp")
    claims = []
    for name, each in scores.items():
        gain = score(each, "outputs_own_to_it")
        claim = f"{name}: outputs among the five likeliest, above those by another's vector"
        claims.append(Claim(claim, "Table 4, > 0", *gain, lies(gain, above=0)))
    return Chapter(
        "Which symbols does a vector stand for?",
        {"words": tvl.plots.plot_vocabulary({name: found[name] for name in few})},
        side_by_side(scores),
        claims,
        "The vector of each layer goes through the final norm and the unembedding. Counted are "
        "outputs that the context shows, but for the answer to its own query. Intervals are 95% "
        "over episodes.",
    )
