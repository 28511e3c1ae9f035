"""Texts that nobody wrote: of about 2,000 words, few of them often and most of them seldom, as people write.

The commonest words are English, the rest is made up of syllables. The same `Random` gives the same texts.
"""

from itertools import accumulate, product
from random import Random
from typing import Final

ENGLISH: Final = """
    the to and of a in is it you that for on this with be have not are can we what at if do will as so from there but
    just or all about was one like when up my your out some how now more get they then by would has an our me no time
    them good need see know only here yes think also new any make because could who should use which where work first
    well way very much even back look right still let today same after before again thanks maybe please room message
    tomorrow morning server people question answer idea meeting coffee lunch train weather garden music
"""
COMMON: Final = tuple(ENGLISH.split())
BEGINNINGS: Final = "b br d f g gr h k l m n p r s st t tr v w z"
VOWELS: Final = "a e i o u ei ou"
ENDINGS: Final = "n r l s nt m lm"
WORDS: Final = 2_000
LONGEST: Final = 20  # words of a text


def vocabulary() -> list[str]:
    """The commonest first; always the same."""
    syllables = ["".join(parts) for parts in product(BEGINNINGS.split(), VOWELS.split(), ["", *ENDINGS.split()])]
    chance = Random(0)  # noqa: S311
    made_up = (chance.choice(syllables) + chance.choice(syllables) for _ in range(2 * WORDS))
    return list(dict.fromkeys([*COMMON, *made_up]))[:WORDS]


class Texts:
    """The word at rank n comes n times as seldom as the first (Zipf's law)."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._words = vocabulary()
        self._weights = list(accumulate(1 / rank for rank in range(1, len(self._words) + 1)))

    def text(self) -> str:
        length = self._chance.randint(1, LONGEST)
        return " ".join(self._chance.choices(self._words, cum_weights=self._weights, k=length))

    def title(self) -> str:
        return " ".join(self._chance.choices(self._words[len(COMMON) :], k=2)).capitalize()
