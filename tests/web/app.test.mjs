// The client as a whole but its views, in a browser that is only as much as it asks for.

import test from "node:test";
import assert from "node:assert/strict";
import { createApp } from "../../chat/application/web/app.js";
import { entry, hello, message, said, ME } from "./given.mjs";

const kept = new Map();
const sockets = [];

class Socket {
  sent = [];
  closed = false;
  constructor() { sockets.push(this); }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.closed = true; }
}

const listening = { addEventListener() {}, removeEventListener() {} };
Object.assign(globalThis, {
  ...listening,
  WebSocket: Socket,
  location: { protocol: "http:", host: "chat.test" },
  document: { ...listening, visibilityState: "visible", hidden: false },
  requestAnimationFrame() {},
  localStorage: {
    get length() { return kept.size; },
    key: (i) => [...kept.keys()][i] ?? null,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, text) => kept.set(key, text),
    removeItem: (key) => kept.delete(key),
  },
});

const eve = { id: "eve", name: "eve", role: "member" };

/** The page of `ME`, which ends with the test. */
function page(t) {
  kept.clear();
  sockets.length = 0;
  const ended = [];
  const app = createApp({ account: { id: ME, name: "ada", role: "member" }, onEnded: (why) => ended.push(why), onTrouble() {} });
  t.after(() => app.stop());
  const last = () => sockets.at(-1);
  const tell = (frame) => last().onmessage({ data: JSON.stringify(frame) });
  return {
    app, ended, last, tell,
    lose: () => last().onclose({ code: 1006, reason: "" }),
    sent: () => last().sent.map(({ type }) => type),
    start(...rooms) { app.start(); tell(hello(rooms)); return this; },
    /** The room "r" is in front, with this page of it loaded. */
    async read(messages) {
      app.openRoom("r");
      const { id } = last().sent.find(({ type }) => type === "list_messages");
      tell({ type: "answer", id, answer: { messages, more: false } });
      await new Promise(setImmediate);
    },
  };
}

test("what was written offline is not sent by somebody else", (t) => {
  const w = page(t).start(entry("r"));
  w.lose();
  w.app.send("r", "for nobody else");
  w.app.attempt("join_room", { room: "other" });
  w.app.reconnect();
  w.tell(hello([entry("r")], { account: eve }));
  assert.deepEqual(w.last().sent, []);
  assert.deepEqual([w.ended, w.last().closed], [["changed"], true]);
  assert.equal(w.app.state.me.id, ME);
  assert.equal(w.app.state.connection.status, "connecting");
  w.app.send("r", "nor this");
  w.app.reconnect();
  assert.equal(sockets.length, 2);
  assert.deepEqual(w.last().sent, []);
  assert.deepEqual([...kept.keys()].map((key) => key.startsWith(`chat.unsent.${ME}.`)), [true, true]);
});

test("what was kept from before is not sent by somebody else", (t) => {
  const w = page(t);
  kept.set(`chat.unsent.${ME}.1`, JSON.stringify({ id: "1", room: "r", text: "kept", at: "2024-01-01T00:00:00Z" }));
  w.app.start();
  w.app.attempt("join_room", { room: "other" });
  w.tell(hello([entry("r")], { account: eve }));
  assert.deepEqual([w.last().sent, w.ended, kept.size], [[], ["changed"], 1]);
});

test("what was written offline is sent once when the same account is back", (t) => {
  const w = page(t).start(entry("r"));
  w.lose();
  w.app.send("r", "later");
  w.app.attempt("join_room", { room: "other" });
  w.app.reconnect();
  w.tell(hello([entry("r")]));
  assert.deepEqual(w.sent(), ["send_message", "join_room"]);
  assert.deepEqual(w.ended, []);
});

test("what was on its way waits when the connection is lost", (t) => {
  const w = page(t).start(entry("r"));
  w.app.send("r", "perhaps");
  w.app.openRoom("r");
  assert.equal(w.app.state.outbox[0].status, "sent");
  w.lose();
  assert.equal(w.app.state.outbox[0].status, "waiting");
  assert.equal(w.app.state.rooms.r.asking, null, "no page is asked of a dead connection");
});

test("an interrupted resume is asked for anew by what the next hello tells", async (t) => {
  const w = page(t).start(entry("r", { seq: 1 }));
  await w.read([message(1)]);
  w.lose();
  w.app.reconnect();
  w.tell(hello([entry("r", { seq: 4 })]));
  assert.deepEqual(w.last().sent[0], { type: "resume", epoch: "e1", rooms: { r: 1 } });
  w.tell(said(2));
  w.lose();
  w.app.send("r", "later");
  w.app.reconnect();
  w.tell(hello([entry("r", { seq: 5 })]));
  assert.deepEqual(w.sent().filter((type) => type !== "who_is_online" && type !== "list_accounts"), ["resume", "send_message"]);
  assert.deepEqual(w.last().sent[0].rooms, { r: 2 });
  assert.equal(w.app.state.rooms.r.resuming, "asked");
  w.lose();
  w.app.reconnect();
  w.tell(hello([entry("r", { seq: 5 })], { epoch: "e2" }));
  assert.equal(w.sent().includes("resume"), false, "another log is not resumed by the old one's epoch");
  assert.equal(w.sent().filter((type) => type === "list_messages").length, 1);
});

test("a room opened offline is read once, after hello", (t) => {
  const w = page(t).start(entry("r"));
  w.lose();
  w.app.openRoom("r");
  w.app.reconnect();
  w.tell(hello([entry("r", { seq: 3 })]));
  assert.equal(w.sent().filter((type) => type === "list_messages").length, 1);
});

test("who is online is asked with every hello", (t) => {
  const direct = entry("d", { kind: "direct", with: "bob" });
  const w = page(t).start(direct);
  assert.deepEqual(w.last().sent.filter(({ type }) => type === "who_is_online").map(({ room }) => room), ["d"]);
  w.lose();
  w.app.reconnect();
  w.tell(hello([direct]));
  assert.deepEqual(w.last().sent.filter(({ type }) => type === "who_is_online").map(({ room }) => room), ["d"]);
});
