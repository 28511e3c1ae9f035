"""What the doors take, derived from the mediator's tables: a command that is wired is at every door.

A command that the tables know in a form with secrets comes in as that form. `register` and `log_in` belong to HTTP,
where the answer can set a cookie.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from chat.application.forms import FORMS
from chat.domain.accounts import LogInForm, RegisterForm, Welcome
from chat.domain.frames import Ping, Resume, Typing
from chat.domain.vocabulary import Command, Query
from chat.logic.doors import decoder
from chat.logic.mediator import Tables

WITHOUT_ACCOUNT: Final = frozenset({RegisterForm, LogInForm, Welcome})


def tag_of(kind: type) -> str:
    """What a type is called on the wire."""
    tag = msgspec.inspect.type_info(kind)
    assert isinstance(tag, msgspec.inspect.StructType)
    return str(tag.tag)


def taken_as(commands: Iterable[type[Command]]) -> list[type[Command]]:
    """Each command, or the form that it is made of."""
    forms = {tag_of(form): form for form in FORMS}
    return [forms.get(tag_of(command), command) for command in commands]


def by_tag(kinds: Iterable[type]) -> dict[str, type]:
    return {tag_of(kind): kind for kind in kinds}


def http_commands(tables: Tables) -> dict[str, type[Command]]:
    return by_tag(taken_as(tables.commands))


def http_queries(tables: Tables) -> dict[str, type[Query]]:
    return by_tag(tables.queries)


def frame_decoder(tables: Tables) -> "msgspec.json.Decoder[Any]":
    """Of every frame that a websocket takes."""
    kinds = [*taken_as(tables.commands), *tables.queries]
    return decoder([*(kind for kind in kinds if kind not in WITHOUT_ACCOUNT), Resume, Typing, Ping])


def list_fields(kind: type[Query]) -> frozenset[str]:
    """The fields that hold several values: in a URL they may be given more than once."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return frozenset(field.encode_name for field in info.fields if _is_list(field.type))


def _is_list(kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(map(_is_list, kind.types))
    return isinstance(kind, msgspec.inspect.VarTupleType)
