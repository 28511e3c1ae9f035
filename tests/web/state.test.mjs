import test from "node:test";
import assert from "node:assert/strict";
import { fold, initial } from "../../chat/application/web/state.js";
import { wants } from "../../chat/application/web/wants.js";
import { KEPT, KEPT_READING } from "../../chat/application/web/state/timeline.js";
import { ME, after, asked, entry, event, given, hello, message, online, opened, page, said, seqs, texts } from "./given.mjs";

const wanted = (state, want) => wants(state).filter((each) => each.want === want);
const many = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => message(from + i));

test("an unknown event changes nothing", () => {
  const state = opened([message(1)], 1);
  assert.equal(fold(state, { type: "weather_changed" }), state);
  assert.equal(fold(state, { type: "toString" }), state);
  assert.equal(fold(state, { type: "answer", id: "x", answer: {} }), state);
});

test("hello tells who I am and which rooms I have", () => {
  const state = given(hello([entry("r", { title: "general", unread: 3, mentions: 1, seq: 9, read: 4 })]));
  assert.equal(state.me.name, "ada");
  assert.equal(state.names[ME], "ada");
  assert.deepEqual([state.rooms.r.title, state.rooms.r.unread, state.rooms.r.mentions, state.rooms.r.seq], ["general", 3, 1, 9]);
});

test("an opened room wants one page, and no second one while it waits", () => {
  const state = given(online, hello(), { type: "room_opened", room: "r" });
  assert.deepEqual(wants(state), [{ want: "page", room: "r", kind: "latest" }]);
  assert.deepEqual(wants(after(state, asked())), []);
  assert.deepEqual(wants(after(state, asked(), page([]))), []);
});

test("nothing is wanted without a connection", () => {
  const state = given(hello(), { type: "room_opened", room: "r" }, { type: "message_written", id: "1", room: "r", text: "x", at: "" });
  assert.deepEqual(wants(state), []);
});

test("live messages are appended in order", () => {
  assert.deepEqual(seqs(after(opened([message(1)], 1), said(2), said(3))), [1, 2, 3]);
});

test("an event seen already is dropped", () => {
  const state = after(opened([message(1)], 1), said(2));
  assert.equal(fold(state, said(2)), state);
  assert.equal(fold(state, said(1)), state);
});

test("a gap outside of resuming forgets the messages and reads a page", () => {
  const state = after(opened([message(1)], 1), said(3));
  assert.equal(seqs(state), null);
  assert.equal(state.rooms.r.seq, 3);
  assert.equal(wanted(state, "page").length, 1);
});

test("events of unknown types count, so that they are no gap", () => {
  const state = after(opened([message(1)], 1), event("room_painted", 2, { colour: "red" }), said(3));
  assert.deepEqual(seqs(state), [1, 3]);
});

test("the events of an account's own stream are never taken for a room's", () => {
  const state = opened([message(1)], 1);
  assert.equal(fold(state, { type: "mentioned", room: "r", message: 1, seq: 77, by: "bob" }), state);
});

// ---- pages and events that cross

test("what happened since a page was asked for is folded over it", () => {
  const state = given(online, hello([entry("r", { seq: 2 })]), { type: "room_opened", room: "r" }, asked(),
    event("message_edited", 3, { message: 1, text: "new" }), said(4), event("message_deleted", 5, { message: 2 }),
    page([message(1), message(2)]));
  assert.deepEqual(texts(state), ["new", "", "text 4"]);
});

test("a page newer than the events before it is not harmed by them", () => {
  const newer = [message(1, { reactions: { "👍": ["bob"] } }), message(2), message(3, { text: "", deleted: true })];
  const state = after(given(online, hello([entry("r", { seq: 1 })]), { type: "room_opened", room: "r" }, asked(), page(newer)),
    said(2), said(3), event("reaction_added", 4, { message: 1, emoji: "👍" }),
    event("message_edited", 5, { message: 3, text: "late" }), event("message_deleted", 6, { message: 3 }));
  assert.deepEqual(seqs(state), [1, 2, 3]);
  assert.deepEqual(state.rooms.r.timeline.messages[0].reactions, { "👍": ["bob"] });
  assert.equal(state.rooms.r.timeline.messages[2].text, "");
});

test("a page that was asked for before a reset is ignored", () => {
  const state = after(opened([message(5)], 5, true), asked("old", "before", 5),
    { type: "reset", room: "r", seq: 9 }, page([message(4)], false, "old"));
  assert.equal(seqs(state), null);
});

test("older pages are put before, newer ones after, and others nowhere", () => {
  const state = opened([message(5), message(6)], 6, true);
  const up = after(state, asked("a", "before", 5), page([message(3), message(4)], false, "a"));
  assert.deepEqual(seqs(up), [3, 4, 5, 6]);
  assert.equal(up.rooms.r.timeline.complete, true);
  const stray = after(state, asked("b", "before", 99), page([message(1)], false, "b"));
  assert.deepEqual(seqs(stray), [5, 6]);
});

test("a page that failed can be asked for again", () => {
  const state = given(online, hello(), { type: "room_opened", room: "r" }, asked());
  assert.equal(wanted(fold(state, { type: "page_failed", room: "r", ask: "other" }), "page").length, 0);
  assert.equal(wanted(fold(state, { type: "page_failed", room: "r", ask: "q" }), "page").length, 1);
});

test("around a message that was looked for, live messages wait for the pages between", () => {
  let state = after(opened(many(90, 99), 99, true), { type: "room_opened", room: "r", target: 10 });
  assert.deepEqual(wants(state), [{ want: "page", room: "r", kind: "around", at: 10 }]);
  state = after(state, asked("a", "around", 10), page(many(8, 12), true, "a"), { type: "target_reached" }, said(100));
  assert.deepEqual(seqs(state), [8, 9, 10, 11, 12]);
  state = after(state, asked("b", "after", 12), said(101), page(many(13, 100), false, "b"));
  assert.deepEqual(seqs(state).slice(-2), [100, 101]);
  assert.equal(state.rooms.r.timeline.atEnd, true);
});

test("a message that cannot be found is not looked for again and again", () => {
  const state = after(opened([message(9)], 9, true), { type: "room_opened", room: "r", target: 3 },
    asked("a", "around", 3), page([message(2), message(4)], true, "a"));
  assert.equal(state.target, null);
  assert.deepEqual(wants(state), []);
});

test("a search hit in a room whose first page is on its way is still reached", () => {
  const state = given(online, hello([entry("r", { seq: 99 })]), { type: "room_opened", room: "r" }, asked(),
    { type: "room_opened", room: "r", target: 3 }, page([message(99)], true));
  assert.deepEqual(wants(state), [{ want: "page", room: "r", kind: "around", at: 3 }]);
});

// ---- memory

test("at the bottom the oldest messages are forgotten", () => {
  const state = after(opened(many(1, KEPT), KEPT), said(KEPT + 1));
  assert.equal(seqs(state).length, KEPT);
  assert.equal(seqs(state)[0], 2);
  assert.equal(state.rooms.r.timeline.complete, false);
});

test("while reading upwards the newest are forgotten, and read again later", () => {
  const reading = after(opened(many(KEPT_READING - 9, KEPT_READING + 10), KEPT_READING + 10, true), { type: "scrolled", bottom: false },
    asked("a", "before", KEPT_READING - 9), page(many(1, KEPT_READING - 10), false, "a"));
  assert.equal(seqs(reading).length, KEPT_READING);
  assert.equal(reading.rooms.r.timeline.atEnd, false);
  const full = after(opened(many(1, KEPT_READING), KEPT_READING), { type: "scrolled", bottom: false }, said(KEPT_READING + 1));
  assert.equal(full.rooms.r.timeline.atEnd, false);
  assert.equal(seqs(full).length, KEPT_READING);
});

test("only the rooms looked at last stay loaded", () => {
  const ids = Array.from({ length: 12 }, (_, i) => `r${i}`);
  const state = after(given(online, hello(ids.map((id) => entry(id)))),
    ids.flatMap((id) => [{ type: "room_opened", room: id }, asked(id, "latest", undefined, id), page([], false, id, id)]));
  assert.deepEqual(ids.filter((id) => state.rooms[id].timeline).length, 10);
  assert.ok(state.rooms.r11.timeline);
});

// ---- unread

test("others' messages are unread, mine are not", () => {
  const state = after(given(hello([entry("r", { unread: 2 })])), said(1), said(2, "x", { by: ME }), said(3, "@ada", { mentions: [ME] }));
  assert.deepEqual([state.rooms.r.unread, state.rooms.r.mentions], [4, 1]);
});

test("a room open, in view and at its end is read", () => {
  const state = after(opened([message(1)], 1), said(2));
  assert.deepEqual(wanted(state, "read"), [{ want: "read", room: "r", message: 2 }]);
  const read = fold(state, { type: "read_marked", room: "r", message: 2 });
  assert.equal(read.rooms.r.unread, 0);
  assert.deepEqual(wants(read), []);
});

test("nothing is read behind another window, or above the end", () => {
  const state = after(opened([message(1)], 1), said(2));
  assert.deepEqual(wanted(fold(state, { type: "visibility_changed", visible: false }), "read"), []);
  assert.deepEqual(wanted(fold(state, { type: "scrolled", bottom: false }), "read"), []);
});

test("reading on another device counts what is left", () => {
  const state = after(opened([], 0), { type: "scrolled", bottom: false }, said(1), said(2), said(3, "x", { mentions: [ME] }), { type: "room_read", room: "r", message: 2 });
  assert.deepEqual([state.rooms.r.unread, state.rooms.r.mentions, state.rooms.r.read], [1, 1, 2]);
});

test("reading that cannot be counted here is asked for", () => {
  let state = after(given(online, hello([entry("r", { seq: 9, unread: 5 })])), { type: "room_read", room: "r", message: 6 });
  assert.deepEqual(wants(state), [{ want: "room", room: "r" }]);
  state = after(state, { type: "room_asked", room: "r" });
  assert.deepEqual(wants(state), []);
  state = after(state, { type: "room_learned", entry: entry("r", { seq: 9, read: 6, unread: 2 }) });
  assert.equal(state.rooms.r.unread, 2);
  assert.deepEqual(wants(state), []);
});

test("the line of what is new stays where it was when the room was opened", () => {
  const state = after(given(hello([entry("r", { seq: 9, read: 4, unread: 2 })])), { type: "room_opened", room: "r" }, { type: "read_marked", room: "r", message: 9 });
  assert.equal(state.rooms.r.marker, 4);
});

// ---- rooms come and go

test("a room that I am added to is asked for, and what happens meanwhile is kept", () => {
  let state = after(given(online, hello([])), event("member_added", 2, { room: "n", account: ME, role: "member" }));
  assert.deepEqual(wants(state), [{ want: "room", room: "n" }]);
  state = after(state, { type: "room_asked", room: "n" }, said(3, "x", { room: "n" }), said(4, "y", { room: "n" }));
  assert.deepEqual(wants(state), []);
  state = after(state, { type: "room_learned", entry: entry("n", { seq: 3, unread: 1 }) });
  assert.deepEqual([state.rooms.n.seq, state.rooms.n.unread], [4, 2]);
});

test("a room that I am removed from goes away, also while it is learned", () => {
  const gone = after(opened([message(1)], 1), event("member_removed", 2, { account: ME }));
  assert.equal(gone.rooms.r, undefined);
  assert.equal(gone.open, null);
  const never = after(given(hello([])), event("member_added", 2, { room: "n", account: ME }), event("member_removed", 3, { room: "n", account: ME }));
  assert.deepEqual(never.learning, {});
});

test("a removal that a later return undid, replayed while resuming, keeps the room", () => {
  const state = after(opened([message(1)], 1), { type: "disconnected" }, hello([entry("r", { seq: 3 })]),
    { type: "resume_sent", rooms: ["r"] }, event("member_removed", 2, { account: ME }), event("member_added", 3, { account: ME, role: "member" }),
    { type: "caught_up", room: "r", seq: 3 });
  assert.equal(state.rooms.r.seq, 3);
  assert.deepEqual(seqs(state), [1]);
});

test("a room that cannot be learned is given up", () => {
  const state = after(given(online, hello([])), { type: "room_opened", room: "n" });
  assert.equal(wanted(state, "room").length, 1);
  const without = after(state, { type: "room_asked", room: "n" }, { type: "room_unknown", room: "n" });
  assert.equal(without.open, null);
  assert.deepEqual(wants(without), []);
});

test("renaming, archiving and roles are folded", () => {
  const state = after(given(hello()), event("room_renamed", 1, { title: "new" }), event("room_archived", 2), event("role_changed", 3, { account: ME, role: "admin" }));
  assert.deepEqual([state.rooms.r.title, state.rooms.r.archived, state.rooms.r.role], ["new", true, "admin"]);
  assert.equal(fold(state, event("room_unarchived", 4)).rooms.r.archived, false);
});

test("members read while people come and go end as the events say", () => {
  const state = after(given(hello()), { type: "members_asked", room: "r" },
    event("member_added", 1, { account: "eve", role: "member" }), event("member_removed", 2, { account: "bob" }),
    event("role_changed", 3, { account: "cat", role: "admin" }),
    { type: "members_read", room: "r", more: false, members: [{ account: "bob", name: "bob", role: "member" }, { account: "cat", name: "cat", role: "member" }] });
  assert.deepEqual(state.rooms.r.members.list, [{ account: "eve", role: "member" }, { account: "cat", role: "admin" }]);
  assert.equal(state.names.cat, "cat");
});

// ---- people

test("unknown names are looked up once, together", () => {
  let state = after(opened([message(1, { author: "dan" })], 1), said(2, "x", { by: "cat" }));
  assert.deepEqual(wanted(state, "names"), [{ want: "names", accounts: ["dan", "cat"] }]);
  state = after(state, { type: "names_asked", accounts: ["dan", "cat"] }, said(3, "y", { by: "dan" }));
  assert.deepEqual(wanted(state, "names"), []);
  state = after(state, { type: "names_learned", accounts: [{ id: "dan", name: "Dan" }], asked: ["dan", "cat"] });
  assert.deepEqual([state.names.dan, state.names.cat], ["Dan", null]);
  assert.deepEqual(wanted(state, "names"), []);
});

test("names that could not be looked up are wanted again", () => {
  const state = after(opened([message(1, { author: "dan" })], 1), { type: "names_asked", accounts: ["dan"] });
  assert.equal(wanted(fold(state, { type: "names_failed", accounts: ["dan"] }), "names").length, 1);
  assert.equal(wanted(after(state, { type: "disconnected" }, online), "names").length, 1);
});

test("renaming changes names, mine too", () => {
  const state = after(given(hello()), { type: "account_renamed", account: ME, name: "lovelace" });
  assert.deepEqual([state.names[ME], state.me.name], ["lovelace", "lovelace"]);
});

test("typing fades, and ends with the message", () => {
  const typing = after(given(hello()), { type: "typing", room: "r", account: "bob", now: 1000 });
  assert.ok(typing.typing.r.bob);
  assert.deepEqual(after(typing, said(1)).typing.r, {});
  assert.deepEqual(after(typing, { type: "ticked", now: 99_000 }).typing, {});
  assert.deepEqual(after(given(hello()), { type: "typing", room: "r", account: ME, now: 1 }).typing, {});
});

test("presence is kept while connected", () => {
  const state = after(given(hello()), { type: "presence", room: "r", online: ["bob", "cat"], offline: [] }, { type: "presence", room: "r", online: [], offline: ["cat"] });
  assert.deepEqual(state.online, { bob: true });
  assert.deepEqual(after(state, { type: "disconnected" }).online, {});
});

test("logging out forgets everything", () => {
  assert.equal(fold(opened([message(1)], 1), { type: "logged_out" }), initial);
});
