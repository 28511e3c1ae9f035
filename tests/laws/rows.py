"""The smallest store there could be: rows found in a dict of states, as their description says."""

from collections.abc import Mapping, Sequence

import msgspec

from chat.domain.log import Found, Hit, Holding, Listed, Range, Rows
from chat.domain.vocabulary import State
from chat.logic.lists import lists_of
from chat.logic.words import words_of

States = Mapping[str, State]


def find(rows: Rows, states: States) -> Found:
    match rows:
        case Range():
            keys = sorted((key for key in states if rows.first <= key <= rows.last), reverse=rows.newest)
            return [msgspec.json.encode(states[key]) for key in keys[: rows.limit]]
        case Holding():
            keys = [key for key in sorted(states, reverse=True) if _holds(key, states[key], rows)]
            return [Hit(key, msgspec.json.encode(states[key]), 0) for key in keys[: rows.limit]]
        case Listed():
            return [key for _, key in _listed(rows, states)][: rows.limit]


def _holds(key: str, state: State, rows: Holding) -> bool:
    words = set(words_of(key, state))
    return words.issuperset(rows.words) and all(words.intersection(group) for group in rows.among)


def _listed(rows: Listed, states: States) -> Sequence[tuple[str, str]]:
    labels = ((lists_of(state).get(rows.list), key) for key, state in states.items())
    found = [(label, key) for label, key in labels if label is not None and rows.text in label]
    return sorted(place for place in found if place > rows.after)
