"""Reading what comes in: whatever is wrong with it is one refusal that names the field at fault."""

import time

import msgspec
import pytest

from chat.domain.accounts import CreateInviteForm, ListAccounts, RegisterForm
from chat.domain.errors import Refused
from chat.domain.frames import Resume
from chat.domain.messages import ListMessages, SendMessage
from chat.domain.rooms import CreateRoom
from chat.domain.vocabulary import Query
from chat.logic.doors import UNREADABLE, decoder, from_strings, id_in, malformed, one_decoder

DOOR = decoder([SendMessage, CreateRoom, CreateInviteForm, RegisterForm, ListMessages, ListAccounts, Resume])


def send(rest: bytes) -> bytes:
    return b'{"type":"send_message","id":"1","room":"tea"' + rest + b"}"


def create(rest: bytes) -> bytes:
    return b'{"type":"create_room","title":"Tea"' + rest + b"}"


def refusal(data: bytes) -> Refused:
    with pytest.raises(UNREADABLE) as raised:
        DOOR.decode(data)
    return malformed(raised.value)


def test_a_message_is_read_by_its_type() -> None:
    assert DOOR.decode(send(b',"text":"hi"')) == SendMessage(id="1", room="tea", text="hi")
    assert DOOR.decode(b'{"type":"list_messages","room":"tea"}') == ListMessages(room="tea")


def test_fields_that_nobody_knows_are_ignored() -> None:
    assert DOOR.decode(send(b',"text":"hi","colour":{"red":[1]}')) == SendMessage(id="1", room="tea", text="hi")


def test_one_kind_alone_needs_no_type() -> None:
    assert one_decoder(CreateRoom).decode(b'{"title":"Tea","kind":"public"}') == CreateRoom(title="Tea", kind="public")


FAULTS: dict[str, tuple[bytes, str]] = {
    "missing": (send(b""), "text"),
    "of another type": (send(b',"text":7'), "text"),
    "null": (send(b',"text":null'), "text"),
    "empty": (send(b',"text":""'), "text"),
    "blank": (send(b',"text":" \\n "'), "text"),
    "with a NUL": (send(b',"text":"a\\u0000b"'), "text"),
    "too long": (send(b',"text":"' + b"a" * 8_001 + b'"'), "text"),
    "too small": (send(b',"text":"a","reply_to":0'), "reply_to"),
    "too great": (send(b',"text":"a","reply_to":9007199254740992'), "reply_to"),
    "far too great": (send(b',"text":"a","reply_to":' + b"9" * 30), "reply_to"),
    "endlessly great": (send(b',"text":"a","reply_to":' + b"9" * 6_000), "reply_to"),
    "infinite": (send(b',"text":"a","reply_to":1e400'), "reply_to"),
    "a fraction": (send(b',"text":"a","reply_to":1.5'), "reply_to"),
    "an id with a space": (b'{"type":"list_messages","room":"a b"}', "room"),
    "an id with a colon": (b'{"type":"list_messages","room":"a:b"}', "room"),
    "an id of nothing": (b'{"type":"list_messages","room":""}', "room"),
    "a command id in Greek": (send(',"text":"hi","id":"α"'.encode()), "id"),
    "a command id too long": (send(b',"text":"hi","id":"' + b"i" * 65 + b'"'), "id"),
    "not among the choices": (create(b',"kind":"odd"'), "kind"),
    "in a list": (create(b',"kind":"public","members":["ann","b b"]'), "members"),
    "no list": (create(b',"kind":"public","members":"ann"'), "members"),
    "a list too long": (create(b',"kind":"public","members":[' + b'"a",' * 100 + b'"a"]'), "members"),
    "the key of a mapping": (b'{"type":"resume","epoch":"e","rooms":{"a b":1}}', "rooms"),
    "the value of a mapping": (b'{"type":"resume","epoch":"e","rooms":{"tea":"1"}}', "rooms"),
    "a short password": (b'{"type":"register","name":"ann","password":"1234567"}', "password"),
    "an odd name": (b'{"type":"register","name":"a n","password":"12345678"}', "name"),
    "an unknown type": (b'{"type":"say"}', "type"),
    "no type": (b"{}", "type"),
    "a type that is none": (b'{"type":1}', "type"),
    "a type that imitates a place": (b'{"type":"x - at `$.room`"}', "type"),
    "a choice that imitates a place": (create(b',"kind":"required field `room` - at `$.room`"'), "kind"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refusal_names_the_field_at_fault(fault: str) -> None:
    data, field = FAULTS[fault]
    found = refusal(data)
    assert (found.code, found.status, found.field) == ("malformed", 400, field)


def test_a_refusal_says_in_a_sentence_what_was_expected() -> None:
    assert refusal(send(b',"text":7')).detail == "Expected `str`, got `int`."
    assert refusal(send(b"")).detail == "Object missing required field `text`."
    assert refusal(send(b',"text":""')).detail == "It is empty, or holds characters that are not allowed here."


@pytest.mark.parametrize("data", [b"[]", b"7", b"null", b'"send_message"'])
def test_what_is_no_object_has_no_field_at_fault(data: bytes) -> None:
    assert (refusal(data).code, refusal(data).field) == ("malformed", None)


UNREADABLES: dict[str, bytes] = {
    "nothing": b"",
    "half of it": send(b',"text":"hi"')[:-1],
    "more than one": send(b',"text":"hi"') * 2,
    "no JSON": b"send_message",
    "too deep": send(b',"text":"hi","x":' + b"[" * 30_000 + b"]" * 30_000),
    "too deep in objects": b'{"type":' * 5_000,
    "not UTF-8": send(b',"text":"\xff"'),
    "half a character": send(b',"text":"\\ud83d"'),
    "the other half": send(b',"text":"\\ude00"'),
}


@pytest.mark.parametrize("what", UNREADABLES)
def test_what_cannot_be_read_is_refused(what: str) -> None:
    found = refusal(UNREADABLES[what])
    assert (found.code, found.detail, found.field) == ("malformed", "This is not readable JSON.", None)


def test_a_long_value_that_is_refused_costs_no_time() -> None:
    evil = b" - at `$.room" + b"a" * 30_000 + b"[" * 30_000 + b"`"
    started = time.perf_counter()
    assert refusal(create(b',"kind":"' + evil + b'"')).field == "kind"
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"id":"1"}', "1"),
        (send(b""), "1"),
        (send(b',"text":"\\ud83d"'), "1"),
        (b'{"id":"' + b"i" * 65 + b'"}', "i" * 65),
        ('{"id":"ä"}'.encode(), "ä"),
        (b'{"id":""}', None),
        (b'{"id":1}', None),
        (b'{"id":null}', None),
        (b"{}", None),
        (b"[]", None),
        (b'["\\ud83d"]', None),
        (b'"\\ud83d"', None),
        (b'{"id":"\\ud83d"}', None),
        (b'{"id":1,"text":"\\ud83d"}', None),
        (b'{"text":"\\ud83d"}', None),
        (b"", None),
        (b"\xff", None),
        (b'{"id":"1"', None),
        (b'{"id":"1","x":' + b"[" * 30_000, None),
        (b'{"n":' + b"9" * 6_000 + b',"text":"\\ud83d","id":"1"}', None),
    ],
    ids=lambda value: repr(value)[-40:],
)
def test_the_id_of_a_frame_is_found_in_whatever_else_it_is(data: bytes, found: str | None) -> None:
    assert id_in(data) == found


# ---- from a URL


def test_a_query_is_read_from_strings() -> None:
    fields: dict[str, str | list[str]] = {"room": "tea", "before": "7", "limit": "100", "colour": "red"}
    assert from_strings(ListMessages, fields) == ListMessages(room="tea", before=7, limit=100)
    assert from_strings(ListAccounts, {"accounts": ["ann", "bob"]}) == ListAccounts(accounts=("ann", "bob"))


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (ListMessages, {}, "room"),
        (ListMessages, {"room": ["tea", "club"]}, "room"),
        (ListMessages, {"room": "tea", "before": "soon"}, "before"),
        (ListMessages, {"room": "tea", "before": ""}, "before"),
        (ListMessages, {"room": "tea", "before": "9" * 6_000}, "before"),
        (ListMessages, {"room": "tea", "limit": "101"}, "limit"),
        (ListMessages, {"room": "tea", "limit": "0"}, "limit"),
        (ListMessages, {"room": "tea", "before": "\ud800"}, None),
        (ListAccounts, {"text": "a\0b"}, "text"),
        (ListAccounts, {"accounts": "ann"}, "accounts"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_strings_that_are_no_query_are_refused(
    kind: type[Query], fields: dict[str, str | list[str]], field: str | None
) -> None:
    with pytest.raises(Refused) as raised:
        from_strings(kind, fields)
    assert (raised.value.code, raised.value.field) == ("malformed", field)


def test_every_error_of_a_decoder_is_a_refusal() -> None:
    found = malformed(msgspec.ValidationError("Something new"))
    assert (found.detail, found.field) == ("Something new.", None)
