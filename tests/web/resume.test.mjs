import test from "node:test";
import assert from "node:assert/strict";
import { fold } from "../../chat/application/web/state.js";
import { wants } from "../../chat/application/web/wants.js";
import { after, asked, entry, event, hello, message, online, opened, page, said, seqs, ME } from "./given.mjs";

const lost = { type: "disconnected" };
const sent = { type: "resume_sent", rooms: ["r"] };
const caught = (seq) => ({ type: "caught_up", room: "r", seq });
const back = (seq, more = {}) => after(opened([message(1)], 1), lost, online, hello([entry("r", { seq, ...more })]));

test("a room that missed something is resumed from what was seen last", () => {
  const state = back(4);
  assert.deepEqual(wants(state), [{ want: "resume", epoch: "e1", rooms: { r: 1 } }]);
  assert.deepEqual(wants(after(state, sent)), []);
});

test("a room that missed nothing, or that was never loaded, is not resumed", () => {
  assert.deepEqual(wants(back(1)), []);
  const unread = after(opened([message(1)], 1), lost, online, hello([entry("r", { seq: 1 }), entry("other", { seq: 50, unread: 9 })]));
  assert.deepEqual(wants(unread), []);
  assert.equal(unread.rooms.other.unread, 9);
});

test("a room that is ahead of the server asks too, so that a restored log is noticed", () => {
  const state = after(opened([message(7)], 7), lost, online, hello([entry("r", { seq: 5 })]));
  assert.deepEqual(wants(state), [{ want: "resume", epoch: "e1", rooms: { r: 7 } }]);
  const reset = after(state, sent, { type: "reset", room: "r", seq: 5, reason: "ahead" }, said(6));
  assert.equal(reset.rooms.r.seq, 6);
  assert.equal(wants(reset)[0].want, "page");
});

test("live events wait until the room has caught up, and come after what was missed", () => {
  let state = after(back(3), sent, said(4), said(5), said(2));
  assert.deepEqual(seqs(state), [1, 2]);
  state = after(state, said(3));
  assert.deepEqual(seqs(state), [1, 2, 3, 4, 5]);
  state = after(state, caught(3), said(6));
  assert.deepEqual(seqs(state), [1, 2, 3, 4, 5, 6]);
  assert.equal(state.rooms.r.resuming, null);
  assert.deepEqual(state.rooms.r.aside, []);
});

test("events between hello and the resume wait as well", () => {
  const state = after(back(2), said(3), sent, said(2), caught(2));
  assert.deepEqual(seqs(state), [1, 2, 3]);
});

test("replayed events are not counted as unread again, live ones are", () => {
  const state = after(back(3, { unread: 2 }), { type: "scrolled", bottom: false }, sent, said(4), said(2), said(3), caught(3));
  assert.equal(state.rooms.r.unread, 3);
});

test("caught up without everything is a hole: the messages are read again", () => {
  const state = after(back(3), sent, said(2), said(4), caught(3));
  assert.equal(seqs(state), null);
  assert.equal(state.rooms.r.seq, 4);
  assert.equal(wants(after(state, online))[0].want, "page");
});

test("a reset forgets the messages, keeps what came live, and reads a page", () => {
  let state = after(back(9), sent, said(10), { type: "reset", room: "r", seq: 9, reason: "too_many" });
  assert.equal(seqs(state), null);
  assert.equal(state.rooms.r.seq, 10);
  assert.deepEqual(wants(state).map((each) => each.want), ["page"]);
  state = after(state, asked(), said(11), page([message(9), message(10)], true));
  assert.deepEqual(seqs(state), [9, 10, 11]);
});

test("the connection lost while resuming: the next resume starts where this one stood", () => {
  const state = after(back(5), sent, said(2), said(6), lost, hello([entry("r", { seq: 6 })]));
  assert.deepEqual(wants(after(state, online))[0], { want: "resume", epoch: "e1", rooms: { r: 2 } });
  assert.deepEqual(state.rooms.r.aside, []);
});

test("another epoch is another log: everything is read anew", () => {
  const state = after(opened([message(1)], 1), lost, online, hello([entry("r", { seq: 1 })], { epoch: "e2" }));
  assert.equal(seqs(state), null);
  assert.deepEqual(wants(state), [{ want: "page", room: "r", kind: "latest" }]);
});

test("another account is another state", () => {
  const state = after(opened([message(1)], 1), lost, hello([entry("r", { seq: 1 })], { account: { id: "eve", name: "eve", role: "member" } }));
  assert.equal(seqs(state), null);
});

test("a room that is not in hello any more is gone", () => {
  const state = after(opened([message(1)], 1), lost, hello([]));
  assert.deepEqual(state.rooms, {});
});

test("a page that was on its way when the connection went is asked for again", () => {
  const state = after(opened([message(5)], 5, true), asked("old", "before", 5), lost, online, hello([entry("r", { seq: 5 })]));
  assert.equal(state.rooms.r.asking, null);
  assert.deepEqual(seqs(fold(state, page([message(4)], false, "old"))), [5]);
});

test("edits and reactions that were missed are made up for", () => {
  const state = after(back(4), sent, event("message_edited", 2, { message: 1, text: "new" }),
    event("reaction_added", 3, { message: 1, emoji: "a" }), event("member_added", 4, { account: ME, role: "member" }), caught(4));
  const [only] = state.rooms.r.timeline.messages;
  assert.deepEqual([only.text, only.reactions], ["new", { a: ["bob"] }]);
});
