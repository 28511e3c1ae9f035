"""What may come in at a door, as bytes: frames, bodies and query strings as they should be, nearly as they should be,
and not at all so.

Each is made field by field for one of the types that a door takes. A field whose name means something is mostly given
what means something in the little world of `tests/laws/pair.py`; then some of them are spoilt.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from random import Random
from typing import Any, Final
from urllib.parse import quote_from_bytes

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from chat.application import doors
from chat.domain.frames import Ping, Resume, Typing
from tests.laws.world import of_type
from tests.logic.given import TABLES

PEOPLE: Final = ("ann", "bob", "cat", "dan")
ROOMS: Final = ("public", "private", "direct", "archived")

Fields = list[tuple[str, str]]  # names and values, both as they stand in JSON

COMMANDS: Final = doors.http_commands(TABLES)
QUERIES: Final = doors.http_queries(TABLES)
FRAMES: Final[Sequence[type]] = [
    *(kind for kind in (*COMMANDS.values(), *QUERIES.values()) if kind not in doors.WITHOUT_ACCOUNT),
    Resume,
    Typing,
    Ping,
]

SEQS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 2**53 - 1)
MEANT: Final[dict[str, Sequence[Any]]] = {
    "room": (*ROOMS, *ROOMS, "nowhere"),
    "rooms": ((), ROOMS, ("public",), ("private", "private"), ("nowhere",)),
    "account": (*PEOPLE, *PEOPLE, "nobody"),
    "accounts": ((), PEOPLE, ("nobody", "ann", "ann")),
    "author": PEOPLE,
    "members": ((), PEOPLE, ("bob", "bob"), ("nobody",)),
    "message": SEQS,
    "reply_to": SEQS,
    "before": (None, 0, -1, *SEQS),
    "after": (None, 0, -1, *SEQS, *PEOPLE),
    "around": (None, 0, *SEQS),
    "text": ("hi", "@ann @bob, hello", "日本 🎉", "\x01\x7f\u2028 e\u0301 \U0010ffff", "ß" * 8_000, "a" * 80, "%_*\"'"),
    "title": ("A room", "日本", "\u202eevil", "x" * 80),
    "kind": ("public", "private"),
    "role": ("member", "admin", "owner"),
    "emoji": ("👍", "🎉", "+1", "x" * 32),
    "name": (*PEOPLE, "ＡＮＮ", "eve", "fay", "ǅ", "ﬁ", "İ", "x" * 32),
    "password": ("password of ann", "password of bob", "\0" * 8, "🎉" * 8, "x" * 256),
    "old": ("password of ann", "password of bob", "wrong", ""),
    "new": ("another password", "\0" * 8, "x" * 256),
    "invite": ("invite", "hash of invite", "nothing"),
    "session": (*PEOPLE, "i1", "nothing"),
    "epoch": ("epoch", "", "another"),
    "uses": (1, 2, 1_000),
    "hours": (1, 24 * 365),
    "limit": (1, 2, 50, 100),
}
SEEN: Final[Sequence[dict[str, int]]] = (
    {},
    dict.fromkeys(ROOMS, 0),
    {"public": 3, "nowhere": 1, "private": -1},
    dict.fromkeys(ROOMS, 2**53 - 1),
)

# Of the right kind, and just within or just beyond what is allowed.
INTEGERS: Final = (0, -1, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63 - 1, 2**63, -(2**63) - 1, 2**64)
STRINGS: Final = ("", "\0", "a\0b", "x" * 64, "x" * 65, "x" * 8_001, " ", "\u202e", "null", "../x", "room:public", "é")

# Whoever did these could do little more.
ENDING: Final = {"log_out", "end_session", "change_password", "reset_password", "deactivate_account"}

# What is nobody's field: of every kind of JSON, at every edge.
WRONG: Final = (
    *("null", "true", "false", "{}", "[]", '""', '" "', "0", "-0", "-1", "1.5", "-0.0", "1e3", "1e308", "1e309"),
    *map(str, (2**31, 2**32, 2**53 - 1, 2**53, -(2**53), 2**63 - 1, 2**63, 2**64, -(2**63) - 1)),
    *("9" * 400, "1E400", "NaN", "Infinity", "-Infinity", "0x10", "01", "+1", ".5", "nul", "'a'", "undefined"),
    *(r'"\u0000"', r'"a\u0000b"', r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', r'"\x41"', '"\n"', '"\t"'),
    *(json.dumps(text) for text in ("x" * 65, "x" * 8_001, "../../etc", "a b", "room:public", "null", "1", "true")),
    *('"\u2028"', '"\ufeff"', '"\u202e"', '"é"', '["public"]', '[["public"]]', '{"room":"public"}', '{"":0}'),
    *("[" * 300 + "]" * 300, "[" * 20_000, '{"a":' * 2_000 + "1" + "}" * 2_000, '["' + "x" * 60_000 + '"]'),
    "[" + ",".join(['"public"'] * 101) + "]",
)


def edges_of(kind: inspect.Type) -> Sequence[Any]:
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    if any(isinstance(one, inspect.IntType) for one in kinds):
        return INTEGERS
    return STRINGS if any(isinstance(one, inspect.StrType) for one in kinds) else ()


def kinds(among: Sequence[type]) -> st.SearchStrategy[type]:
    return st.sampled_from([kind for kind in among for _ in range(1 if doors.tag_of(kind) in ENDING else 6)])


@cache
def fields_of(kind: type) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


@st.composite
def meant(draw: st.DrawFn, kind: type) -> Fields:
    """The fields of one that could be carried out, but for its type and id."""
    made: Fields = []
    for field in fields_of(kind):
        if field.name == "id" or not (field.required or draw(st.booleans())):
            continue
        edges = edges_of(field.type)
        if edges and draw(st.integers(0, 11)) == 7:
            value = draw(st.sampled_from(edges))
        elif kind is Resume and field.name == "rooms":
            value = draw(st.sampled_from(SEEN))
        elif field.name in MEANT:
            value = draw(st.sampled_from(MEANT[field.name]))
        else:
            value = of_type(Random(draw(st.integers(0, 9))), field.type)
        made.append((json.dumps(field.name), json.dumps(value, ensure_ascii=draw(st.booleans()))))
    return made


def swept() -> Iterator[bytes]:
    """Every type of frame with each of its fields at every edge, and the others as they should be."""
    numbers = count()
    for kind in FRAMES:
        sound = {field.name: _meant_first(kind, field) for field in fields_of(kind) if field.required}
        for field in fields_of(kind):
            for value in edges_of(field.type):
                yield json.dumps(
                    {"type": doors.tag_of(kind), "id": f"s{next(numbers)}", **sound, field.name: value}
                ).encode()


def _meant_first(kind: type, field: inspect.Field) -> Any:
    if kind is Resume and field.name == "rooms":
        return SEEN[1]
    return MEANT[field.name][0] if field.name in MEANT else of_type(Random(1), field.type)


@st.composite
def spoilt(draw: st.DrawFn, fields: Fields) -> Fields:
    """Mostly they are not."""
    fields = fields[:]
    for _ in range(draw(st.sampled_from((*[0] * 14, 1, 1, 1, 2, 2, 3)))):
        index = draw(st.integers(0, max(0, len(fields) - 1)))
        wrong = draw(st.sampled_from(WRONG))
        match draw(st.sampled_from(("value", "value", "value", "drop", "double", "more", "name"))):
            case "value" if fields:
                fields[index] = fields[index][0], wrong
            case "drop" if fields:
                del fields[index]
            case "double" if fields:
                fields.append((fields[index][0], draw(st.sampled_from((fields[index][1], wrong)))))
            case "name" if fields:
                fields[index] = draw(st.sampled_from(('"Room"', '""', "room", r'"\ud800"'))), fields[index][1]
            case _:
                fields.append((draw(st.sampled_from(('"more"', '"type"', '"__class__"', '"seq"', '"by"'))), wrong))
    return fields


def written(fields: Fields) -> bytes:
    return ("{" + ",".join(f"{name}:{value}" for name, value in fields) + "}").encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """On the way; mostly it is not."""
    at = draw(st.integers(0, len(data)))
    match draw(st.sampled_from((*["whole"] * 50, "cut", "byte", "behind", "before", "list", "utf-16", "other"))):
        case "cut":
            return data[:at]
        case "byte":
            return data[:at] + draw(st.binary(min_size=1, max_size=4)) + data[at:]
        case "behind":
            return data + draw(st.sampled_from((b"\n\n", b"\0", b"}", data, b"//")))
        case "before":
            return draw(st.sampled_from((b" \r\n\t", b"\xef\xbb\xbf", b"\0", b","))) + data
        case "list":
            return b"[" + data + b"]"
        case "utf-16":
            return data.decode("utf-8", "replace").encode("utf-16")
        case "other":
            return draw(st.one_of(st.binary(max_size=64), st.sampled_from(WRONG).map(str.encode)))
    return data


new: Final = st.integers(0, 10**9).map(lambda number: f'"c{number}"')
ids: Final = st.one_of(
    *[new] * 12,
    st.sampled_from(
        ('"again"', '"once more"', '""', '"\\u0000"', '"é"', json.dumps("x" * 64), json.dumps("x" * 65), "1")
    ),
)


@st.composite
def frame(draw: st.DrawFn) -> bytes:
    """For a websocket."""
    kind = draw(kinds(FRAMES))
    fields = draw(meant(kind))
    if kind not in (Resume, Typing, Ping):
        fields.insert(0, ('"id"', draw(ids)))
    fields.insert(0, ('"type"', json.dumps(doors.tag_of(kind))))
    return draw(damaged(written(draw(spoilt(fields)))))


@st.composite
def body(draw: st.DrawFn, kind: type) -> bytes:
    """Of a POST."""
    return draw(damaged(written(draw(spoilt(draw(meant(kind)))))))


@st.composite
def query_string(draw: st.DrawFn, kind: type) -> bytes:
    """Strings stand for themselves, everything else as in JSON; lists one by one."""
    parts = []
    given = [(name, value) for name, value in draw(meant(kind)) if value != "null"]
    for name, value in draw(spoilt(given)):
        for each in _strings(value):
            equals = draw(st.sampled_from((*["="] * 20, "", "==")))
            parts.append(_quoted(name.strip('"')) + equals + _quoted(each))
    joined = draw(st.sampled_from((*["&"] * 20, "&&", ";"))).join(parts)
    return draw(st.sampled_from((*[""] * 20, "&", "%", "%ff=%00", "\0=é", "=1"))).encode() + joined.encode()


def _strings(value: str) -> list[str]:
    try:
        read = msgspec.json.decode(value.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return [value]
    if isinstance(read, list):
        return [str(each) for each in read][:200]
    return [read if isinstance(read, str) else value]


def _quoted(text: str) -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogatepass"))
