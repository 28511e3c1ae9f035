import test from "node:test";
import assert from "node:assert/strict";
import { fold } from "../../chat/application/web/state.js";
import { wants } from "../../chat/application/web/wants.js";
import { KEPT_UNSENT, shown } from "../../chat/application/web/state/outbox.js";
import { keepUnsent, readUnsent } from "../../chat/application/web/storage.js";
import { ME, after, asked, entry, given, hello, message, online, opened, page, said, seqs } from "./given.mjs";

const write = (id, text = id, more = {}) => ({ type: "message_written", id, room: "r", text, at: "2024-01-01T00:00:00Z", ...more });
const sent = (id) => ({ type: "outbox_sent", id });
const ack = (id, seq) => ({ type: "ack", id, room: "r", seq });
const refused = (id, code) => ({ type: "refused", id, code, detail: `It is ${code}.` });
const due = (state) => wants(state).filter((each) => each.want === "send").map(({ entry: { id } }) => id);
const ids = (state) => shown(state.outbox, "r").map(({ id }) => id);
const mine = (seq, text) => said(seq, text, { by: ME });

test("what is written is shown and sent at once", () => {
  const state = after(opened([], 0), write("1"));
  assert.deepEqual(ids(state), ["1"]);
  assert.deepEqual(due(state), ["1"]);
  assert.deepEqual(due(after(state, sent("1"))), []);
});

test("a room's messages are sent one after the other, rooms do not wait for each other", () => {
  const state = after(opened([], 0), write("1"), write("2"), write("3", "x", { room: "other" }));
  assert.deepEqual(due(state), ["1", "3"]);
  assert.deepEqual(due(after(state, sent("1"))), ["3"]);
  assert.deepEqual(due(after(state, sent("1"), ack("1", 1))), ["2", "3"]);
});

test("what is on its way when the connection goes is sent again, with its id and in order", () => {
  const state = after(opened([], 0), write("1"), write("2"), sent("1"), { type: "disconnected" });
  assert.deepEqual(due(state), ["1"]);
  assert.deepEqual(due(after(state, sent("1"), ack("1", 1), mine(1, "1"))), ["2"]);
});

test("the event before the answer: shown once all the time", () => {
  let state = after(opened([], 0), write("1", "hi"), sent("1"), mine(1, "hi"));
  assert.deepEqual([seqs(state), ids(state)], [[1], []]);
  assert.equal(state.outbox.length, 1);
  state = after(state, ack("1", 1));
  assert.deepEqual([seqs(state), state.outbox], [[1], []]);
});

test("the answer before the event: shown until the event is there", () => {
  let state = after(opened([], 0), write("1", "hi"), sent("1"), ack("1", 1));
  assert.deepEqual([seqs(state), ids(state)], [[], ["1"]]);
  assert.deepEqual(due(state), []);
  state = after(state, mine(1, "hi"));
  assert.deepEqual([seqs(state), state.outbox], [[1], []]);
});

test("the answer lost with the connection: resumed, sent again, one message", () => {
  const state = after(opened([], 0), write("1", "hi"), sent("1"), { type: "disconnected" },
    hello([entry("r", { seq: 1 })]), { type: "resume_sent", rooms: ["r"] }, sent("1"), mine(1, "hi"), { type: "caught_up", room: "r", seq: 1 });
  assert.deepEqual([seqs(state), ids(state)], [[1], []]);
  assert.deepEqual(after(state, ack("1", 1)).outbox, []);
});

test("the same words from another device hide mine only until the answer", () => {
  const state = after(opened([], 0), write("1", "hi"), sent("1"), mine(1, "hi"), mine(2, "hi"), ack("1", 2));
  assert.deepEqual([seqs(state), state.outbox], [[1, 2], []]);
});

test("a message that was only written is not hidden by one that looks the same", () => {
  assert.deepEqual(ids(after(opened([], 0), write("1", "hi"), mine(1, "hi"))), ["1"]);
});

test("another's message with the same words hides nothing", () => {
  assert.deepEqual(ids(after(opened([], 0), write("1", "hi"), sent("1"), said(1, "hi"))), ["1"]);
});

for (const code of ["unavailable", "busy", "too_fast", "internal"]) {
  test(`after ${code} the same message is sent again`, () => {
    assert.deepEqual(due(after(opened([], 0), write("1"), sent("1"), refused("1", code))), ["1"]);
  });
}

test("a refusal for good is shown with its words, and holds up nobody", () => {
  const state = after(opened([], 0), write("1"), write("2"), sent("1"), refused("1", "archived"));
  assert.deepEqual(state.outbox[0].detail, "It is archived.");
  assert.deepEqual(due(state), ["2"]);
});

test("a refused message is sent again with its id, or discarded, as its writer says", () => {
  const state = after(opened([], 0), write("1"), sent("1"), refused("1", "forbidden"));
  assert.deepEqual(due(fold(state, { type: "outbox_retried", id: "1" })), ["1"]);
  assert.deepEqual(fold(state, { type: "outbox_discarded", id: "1" }).outbox, []);
});

test("a message on its way cannot be discarded", () => {
  assert.equal(fold(after(opened([], 0), write("1"), sent("1")), { type: "outbox_discarded", id: "1" }).outbox.length, 1);
});

test("a refusal that comes late does not undo an answer", () => {
  const state = after(opened([], 0), write("1"), sent("1"), ack("1", 1), refused("1", "busy"));
  assert.deepEqual(due(state), []);
});

test("an answer for a room that is not loaded ends it: the page will have it", () => {
  assert.deepEqual(after(given(online, hello()), write("1"), sent("1"), ack("1", 5)).outbox, []);
});

test("an acknowledged message whose event is in a later page is not shown twice", () => {
  const state = after(opened([], 0), write("1", "hi"), sent("1"), ack("1", 5), { type: "reset", room: "r", seq: 9 }, asked(), page([message(5, { author: ME, text: "hi" })]));
  assert.deepEqual([seqs(state), state.outbox], [[5], []]);
});

test("another epoch keeps what is uncertain and drops what was acknowledged", () => {
  const state = after(opened([], 0), write("1"), sent("1"), ack("1", 1), write("2"), sent("2"), { type: "disconnected" },
    hello([entry("r", { seq: 0 })], { epoch: "e2" }));
  assert.deepEqual(state.outbox.map(({ id, status }) => [id, status]), [["2", "waiting"]]);
});

test("the same id is written once, and not more than can be kept", () => {
  const full = Array.from({ length: KEPT_UNSENT + 5 }, (_, i) => write(String(i).padStart(4, "0")));
  const state = after(opened([], 0), full, full[0]);
  assert.equal(state.outbox.length, KEPT_UNSENT);
});

test("what was kept is loaded in the order it was written, without doubles", () => {
  const entries = [{ id: "1", room: "r", text: "a", at: "", status: "waiting" }, { id: "3", room: "r", text: "c", at: "", status: "waiting" }];
  const state = after(opened([], 0), write("3"), { type: "outbox_loaded", entries }, write("4"));
  assert.deepEqual(state.outbox.map(({ id }) => id), ["1", "3", "4"]);
});

// ---- kept over a reload

function storage() {
  const map = new Map();
  return {
    get length() { return map.size; }, key: (i) => [...map.keys()][i], getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => map.set(key, value), removeItem: (key) => map.delete(key),
  };
}

test("unsent messages survive a reload, each account's own", () => {
  const kept = storage();
  const states = [given(hello())];
  for (const each of [write("2"), write("1"), sent("2"), refused("2", "forbidden"), write("3"), sent("3"), ack("3")]) states.push(fold(states.at(-1), each));
  for (let i = 1; i < states.length; i++) keepUnsent(kept, ME, states[i - 1].outbox, states[i].outbox);
  assert.deepEqual(readUnsent(kept, ME).map(({ id, status }) => [id, status]), [["1", "waiting"], ["2", "refused"]]);
  assert.deepEqual(readUnsent(kept, "eve"), []);
});

test("two tabs do not write over each other", () => {
  const kept = storage();
  keepUnsent(kept, ME, [], after(given(hello()), write("1")).outbox);
  keepUnsent(kept, ME, [], after(given(hello()), write("2")).outbox);
  assert.deepEqual(readUnsent(kept, ME).map(({ id }) => id), ["1", "2"]);
});

test("broken or forbidden storage loses nothing but the keeping", () => {
  const kept = storage();
  kept.setItem(`chat.unsent.${ME}.1`, "{");
  kept.setItem(`chat.unsent.${ME}.2`, "{}");
  assert.deepEqual(readUnsent(kept, ME), []);
  const forbidden = { get length() { throw new Error("no"); }, setItem() { throw new Error("no"); } };
  assert.deepEqual(readUnsent(forbidden, ME), []);
  keepUnsent(forbidden, ME, [], after(given(hello()), write("1")).outbox);
});
