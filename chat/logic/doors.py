"""Reading what comes in: one decoder for every door, made of the mediator's tables.

Decoding is validating, limits included. Whatever it finds is one refusal, `malformed`, that names the field at fault.
"""

import json
import re
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chat.domain.errors import Refused
from chat.domain.vocabulary import Command, Query

M = TypeVar("M", Command, Query)
T = TypeVar("T")

UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeError)
# Where msgspec says what is wrong. Anchored: a value that it quotes before may imitate this.
_PLACE: Final = re.compile(r" - at (?:`key` in )?`\$\.?([^`\[]*)(?:\[[^`]*)?`\Z")
_REQUIRED: Final = re.compile(r"\AObject missing required field `([^`]+)`")


class _Id(Struct):
    id: str | UnsetType = UNSET


_id = msgspec.json.Decoder(_Id)


def decoder(kinds: Iterable[type]) -> msgspec.json.Decoder[Any]:
    """Of JSON objects whose `type` names one of these kinds."""
    return msgspec.json.Decoder(reduce(or_, kinds))


def one_decoder(kind: type[T]) -> "msgspec.json.Decoder[T]":
    """Of JSON objects of this one kind; a `type` may be left out."""
    return msgspec.json.Decoder(kind)


def malformed(error: Exception) -> Refused:
    """The refusal for what a decoder found."""
    if not isinstance(error, msgspec.ValidationError):
        return Refused("malformed", "This is not readable JSON.")
    place = _PLACE.search(str(error))
    found = place or _REQUIRED.search(str(error))
    sentence = str(error)[: place.start()] if place else str(error)
    if "matching regex" in sentence:
        sentence = "It is empty, or holds characters that are not allowed here"
    return Refused("malformed", f"{sentence}.", field=found[1] or None if found else None)


def id_in(data: bytes) -> str | None:
    """The id of a frame that is an object with a string `id`, whatever else is wrong with it."""
    try:
        found = _id.decode(data).id
    except UNREADABLE:
        found = _id_beside_surrogates(data)
    return found or None if isinstance(found, str) else None


def _id_beside_surrogates(data: bytes) -> Any:
    """Half a character in a text is JSON to browsers and to the standard library, not to msgspec."""
    try:
        found = json.loads(data)["id"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) and found.isascii() else None


def from_strings(kind: type[M], fields: dict[str, str | list[str]]) -> M:
    """A query whose fields came as strings, as in a URL. Raises `Refused`."""
    try:
        return msgspec.convert(fields, kind, strict=False)
    except UNREADABLE as error:
        raise malformed(error) from None
