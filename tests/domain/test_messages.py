"""A message as a value: its state, encoded, is a row of a page as clients get it."""

import msgspec

from chat.domain.messages import ListMessages, MarkRead, Message, MessageSent, SearchMessages

# `{"messages":[…]}`, of the public interface; a question mark marks what may be absent.
ROW = ["seq", "author", "at", "text", "edited_at?", "deleted?", "reply_to?", "mentions", "reactions", "pinned?"]
ALWAYS = {name for name in ROW if not name.endswith("?")}


def fields(value: msgspec.Struct) -> set[str]:
    return set(msgspec.json.decode(msgspec.json.encode(value)))


def test_a_message_is_encoded_as_a_row() -> None:
    full = Message(seq=5, edited_at="now", deleted=True, reply_to=3, pinned=True)
    assert fields(Message(seq=5)) == ALWAYS
    assert fields(full) == {name.rstrip("?") for name in ROW}


def test_a_message_is_stored_and_read_again() -> None:
    message = Message(seq=5, author="ann", mentions=("bob",), reactions={"+1": ("bob", "cat")}, pinned=True)
    assert msgspec.json.decode(msgspec.json.encode(message), type=Message) == message


def test_what_an_event_does_not_say_is_absent() -> None:
    assert {"reply_to", "deleted"}.isdisjoint(fields(MessageSent(author="ann", text="hi")))


def test_a_page_is_of_fifty_and_a_search_of_twenty() -> None:
    assert ListMessages(room="tea").limit == 50
    assert SearchMessages(text="tea").limit == 20


def test_a_seq_that_was_never_given_is_not_read() -> None:
    assert MarkRead(room="tea", message=1).message == 1
