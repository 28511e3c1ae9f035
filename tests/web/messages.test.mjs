import test from "node:test";
import assert from "node:assert/strict";
import { after, event, message, opened, said } from "./given.mjs";

const first = (state) => state.rooms.r.timeline.messages[0];
const loaded = (more) => opened([message(1, more)], 1);

test("an edit changes the text and says when", () => {
  const state = after(loaded(), event("message_edited", 2, { message: 1, text: "new" }));
  assert.equal(first(state).text, "new");
  assert.ok(first(state).edited_at);
});

test("a change of a message that is not loaded changes no message", () => {
  const before = loaded();
  const state = after(before, event("message_edited", 2, { message: 77, text: "new" }), event("reaction_added", 3, { message: 0, emoji: "x" }));
  assert.equal(state.rooms.r.timeline, before.rooms.r.timeline);
  assert.equal(state.rooms.r.seq, 3);
});

test("deleting takes text, reactions and mentions, and stays", () => {
  const state = after(loaded({ reactions: { a: ["bob"] }, mentions: ["me"], pinned: true, edited_at: "x" }),
    event("message_deleted", 2, { message: 1 }), event("message_edited", 3, { message: 1, text: "back" }),
    event("reaction_added", 4, { message: 1, emoji: "a" }), event("message_pinned", 5, { message: 1 }));
  assert.deepEqual(first(state), { seq: 1, author: "bob", at: first(state).at, text: "", deleted: true, mentions: [], reactions: {} });
});

test("a redacted message arrives deleted", () => {
  const state = after(loaded(), said(2, "", { deleted: true, reply_to: 1 }));
  const last = state.rooms.r.timeline.messages[1];
  assert.equal(last.deleted, true);
  assert.equal(last.reply_to, 1);
});

test("reactions are counted once for each account", () => {
  const add = (seq, by, emoji = "a") => event("reaction_added", seq, { message: 1, emoji, by });
  const state = after(loaded(), add(2, "bob"), add(3, "cat"), add(4, "bob"), add(5, "bob", "b"));
  assert.deepEqual(first(state).reactions, { a: ["bob", "cat"], b: ["bob"] });
});

test("a reaction taken back is gone, and its emoji with the last one", () => {
  const back = (seq, by) => event("reaction_removed", seq, { message: 1, emoji: "a", by });
  const state = loaded({ reactions: { a: ["bob", "cat"] } });
  assert.deepEqual(first(after(state, back(2, "bob"))).reactions, { a: ["cat"] });
  assert.deepEqual(first(after(state, back(2, "bob"), back(3, "cat"), back(4, "cat"))).reactions, {});
});

test("pins come and go", () => {
  const pinned = after(loaded(), event("message_pinned", 2, { message: 1 }));
  assert.equal(first(pinned).pinned, true);
  assert.equal("pinned" in first(after(pinned, event("message_unpinned", 3, { message: 1 }))), false);
});
