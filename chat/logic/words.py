"""What is looked for when somebody searches: the one word cutter, so that every store finds the same.

Words are runs of letters, digits and underscores after NFKC and casefold; Chinese, Japanese and Korean, which
write without spaces, are cut into single characters. What a message is filed under beside its words is tagged
with a colon, which no word holds.
"""

import re
from typing import Final
from unicodedata import combining, normalize

from msgspec import UNSET

from chat.domain import limits
from chat.domain.messages import Message
from chat.domain.vocabulary import State

LENGTH: Final = 32  # characters of a word that count
PIECE: Final = 256  # characters that are normalized at once
MARKS: Final = 32  # more of them behind one another than anybody writes
PLAIN: Final = {code: chr(code).lower() if chr(code).isalnum() or chr(code) == "_" else " " for code in range(128)}
WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def cut(text: str) -> tuple[str, ...]:
    """The distinct words of `text`, in order."""
    plain = text.isascii()  # the same in less time
    words = text.translate(PLAIN).split() if plain else WORD.findall(normal(normal(text).casefold()))
    if max(map(len, words), default=0) > LENGTH:
        words = [word[:LENGTH] for word in words]
    return tuple(dict.fromkeys(words))


def normal(text: str) -> str:
    """NFKC, piece by piece, since a long run of marks takes the square of its length; and of a text that grows by it
    no more than a text may have.
    """
    if len(text) <= PIECE:
        return normalize("NFKC", text)
    made: list[str] = []
    start = length = 0
    while start < len(text) and length < limits.TEXT:
        end = _end_of_piece(text, start + PIECE)
        made.append(normalize("NFKC", text[start:end]))
        start, length = end, length + len(made[-1])
    return "".join(made)[: limits.TEXT]


def _end_of_piece(text: str, end: int) -> int:
    """Behind the marks of its last letter."""
    last = min(end + MARKS, len(text))
    while end < last and combining(text[end]):
        end += 1
    return end


def in_room(room: str) -> str:
    return f"room:{room.lower()}"


def by_author(account: str) -> str:
    return f"author:{account.lower()}"


def words_of(key: str, state: State) -> tuple[str, ...]:
    """What a state is found by; nothing, unless it is a message with a text."""
    if not isinstance(state, Message) or not state.seq or state.deleted is not UNSET:
        return ()
    return (in_room(key.split(":", 2)[1]), by_author(state.author), *cut(state.text))
