import test from "node:test";
import assert from "node:assert/strict";
import { createConnection, pause } from "../../chat/application/web/connection.js";

/** A clock that moves only when told, and sockets that do only what is asked of them. */
function world(doing = {}) {
  const timers = new Map();
  let now = 0;
  let count = 0;
  const clock = {
    now: () => now,
    set: (act, wait) => { timers.set(++count, { act, at: now + wait }); return count; },
    clear: (timer) => timers.delete(timer),
  };
  const sockets = [];
  const seen = { frames: [], statuses: [], lost: 0, ended: [], order: [] };
  const open = () => {
    const socket = {
      sent: [], closed: false, close: () => { socket.closed = true; },
      send: (text) => { const frame = JSON.parse(text); socket.sent.push(frame); seen.order.push(`sent ${frame.type}`); },
    };
    sockets.push(socket);
    return socket;
  };
  const connection = createConnection({
    open, clock, random: () => 0, newId: () => `id${++count}`,
    accept: ({ account }) => { seen.order.push("judged"); return account.id === "ada"; },
    onFrame: (frame) => { seen.frames.push(frame); seen.order.push(`told ${frame?.type}`); doing.frame?.(connection, frame); },
    onStatus: (status) => { seen.statuses.push(status); seen.order.push(status.status); doing.status?.(connection, status); },
    onLost: () => { seen.lost += 1; seen.order.push("lost"); }, onEnded: (why) => seen.ended.push(why),
  });
  const pass = (milliseconds) => {
    const end = now + milliseconds;
    for (;;) {
      const [id, next] = [...timers].filter(([, each]) => each.at <= end).sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (!id) break;
      timers.delete(id);
      now = next.at;
      next.act();
    }
    now = end;
  };
  const last = () => sockets.at(-1);
  const tell = (frame) => last().onmessage({ data: JSON.stringify(frame) });
  const hello = { type: "hello", epoch: "e1", account: { id: "ada" }, rooms: [] };
  return {
    connection, sockets, seen, pass, last, tell,
    status: () => seen.statuses.at(-1).status,
    close: (code, reason = "") => last().onclose({ code, reason }),
    greet() { tell(hello); return this; },
    greetAs(id) { tell({ ...hello, account: { id } }); return this; },
    begin() { connection.start(); tell(hello); return this; },
  };
}

const settled = async (promise) => {
  const pending = Symbol("pending");
  const outcome = await Promise.race([promise.then((value) => ({ value }), (error) => ({ error })), new Promise((then) => setImmediate(then, pending))]);
  return outcome === pending ? null : outcome;
};

test("it is online once hello came, not before", () => {
  const w = world();
  w.connection.start();
  assert.equal(w.status(), "connecting");
  assert.equal(w.connection.send({ type: "typing", room: "r" }), false);
  w.greet();
  assert.equal(w.status(), "online");
  assert.equal(w.seen.frames[0].type, "hello");
});

test("hello is judged, then told, and only then is anything sent", () => {
  const w = world({
    frame: (connection) => connection.send({ type: "too_early" }),
    status: (connection, { status }) => { if (status === "online") connection.send({ type: "resume" }); },
  });
  w.connection.start();
  w.connection.command("join_room", { room: "a" });
  w.greet();
  assert.deepEqual(w.seen.order, ["connecting", "judged", "told hello", "online", "sent resume", "sent join_room"]);
});

test("what is asked on becoming online is asked once", () => {
  const w = world({ status: (connection, { status }) => { if (status === "online") connection.command("mark_read", { room: "a" }); } });
  w.begin();
  assert.deepEqual(w.last().sent.map(({ type }) => type), ["mark_read"]);
});

test("a first hello to somebody else ends everything, and nothing was sent or told", async () => {
  const w = world();
  w.connection.start();
  const joined = w.connection.command("join_room", { room: "a" });
  w.greetAs("eve");
  assert.equal((await settled(joined))?.error.code, "lost");
  w.pass(100_000);
  assert.deepEqual(w.seen.order, ["connecting", "judged"]);
  assert.deepEqual(w.seen.ended, ["changed"]);
  assert.deepEqual([w.sockets.length, w.last().sent, w.last().closed], [1, [], true]);
});

test("what was not answered is not sent again on a connection of somebody else", async () => {
  const w = world({ status: (connection, { status }) => { if (status === "online") connection.send({ type: "send_message" }); } }).begin();
  const joined = w.connection.command("join_room", { room: "a" });
  const again = w.connection.command("join_room", { room: "b" });
  w.tell({ type: "refused", id: w.last().sent.at(-1).id, code: "too_fast", detail: "", retry_after: 2 });
  w.close(1006);
  w.connection.check();
  w.greetAs("eve");
  for (const each of [joined, again]) assert.equal((await settled(each))?.error.code, "lost");
  assert.equal(w.connection.send({ type: "typing", room: "a" }), false);
  w.connection.check();
  w.last().onmessage({ data: JSON.stringify({ type: "message_sent", room: "a", seq: 1 }) });
  w.pass(100_000);
  assert.deepEqual(w.last().sent, []);
  assert.deepEqual(w.seen.frames.map(({ type }) => type), ["hello", "refused"]);
  assert.deepEqual([w.seen.ended, w.seen.statuses.at(-1), w.sockets.length], [["changed"], { status: "connecting" }, 2]);
});

test("nothing is heard before hello", async () => {
  const w = world().begin();
  const joined = w.connection.command("join_room", { room: "a" });
  const [{ id }] = w.last().sent;
  w.close(1006);
  w.connection.check();
  w.tell({ type: "ack", id });
  assert.equal(await settled(joined), null);
  assert.equal(w.seen.frames.length, 1);
});

test("a connection stopped by what hello told stays stopped", () => {
  const w = world({ frame: (connection) => connection.stop() }).begin();
  assert.equal(w.status(), "connecting");
  assert.equal(w.connection.send({ type: "typing", room: "r" }), false);
});

test("a server that never says hello is left", () => {
  const w = world();
  w.connection.start();
  w.pass(15_000);
  assert.equal(w.last().closed, true);
  assert.equal(w.status(), "offline");
  w.pass(500);
  assert.equal(w.sockets.length, 2);
});

test("waits grow from half a second to fifteen, and start over after a steady time", () => {
  const w = world().begin();
  const waits = [];
  for (let i = 0; i < 8; i++) {
    w.close(1006);
    waits.push(w.seen.statuses.at(-1).retryAt);
    const before = w.sockets.length;
    w.pass(15_000);
    assert.equal(w.sockets.length > before, true);
  }
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6].map((i) => waits[i + 1] - waits[i] - 15_000), [500, 1000, 2000, 4000, 7000, 0, 0]);
  w.greet();
  w.pass(5_000);
  w.close(1006);
  w.pass(499);
  const count = w.sockets.length;
  w.pass(1);
  assert.equal(w.sockets.length, count + 1);
});

test("chance shortens a wait by up to half", () => {
  assert.equal(pause(1006, "", 0, () => 0), 500);
  assert.equal(pause(1006, "", 0, () => 1), 250);
});

test("close codes say how long to wait", () => {
  assert.equal(pause(4008, "", 0, () => 0), 0);
  assert.ok(pause(4008, "", 9, () => 0) > 0, "not for ever at once");
  assert.equal(pause(1012, "1234", 0, () => 0), 1234);
  assert.equal(pause(1012, "soon", 0, () => 0), 500);
  assert.equal(pause(1012, "999999999", 0, () => 0), 60_000);
  assert.ok(pause(4429, "", 0, () => 0) >= 30_000);
  assert.equal(pause(4429, "2500", 0, () => 0), 2500);
  assert.equal(pause(4429, "20", 0, () => 0), 500);
});

test("a server that restarts is left alone for as long as it asks, and then asked again with the same id", async () => {
  const w = world().begin();
  const answer = w.connection.command("send_message", { room: "r", text: "hi" });
  const [asked] = w.last().sent;
  w.tell({ type: "refused", id: asked.id, code: "unavailable", retry_after: 1 });
  w.close(1012, "1234");
  assert.equal(w.seen.statuses.at(-1).retryAt, 1234);
  w.pass(1233);
  assert.deepEqual([w.sockets.length, w.status()], [1, "offline"]);
  w.pass(1);
  assert.equal(w.sockets.length, 2);
  w.greet();
  assert.deepEqual(w.last().sent, [asked]);
  w.tell({ type: "ack", id: asked.id, room: "r", seq: 7 });
  assert.equal((await answer).seq, 7);
});

test("an ended session is not tried again", () => {
  const w = world().begin();
  w.close(4401);
  w.pass(100_000);
  assert.deepEqual([w.seen.ended, w.sockets.length, w.seen.lost], [["ended"], 1, 1]);
});

test("the status says offline before anything is told lost", () => {
  for (const code of [1006, 1012, 4401]) {
    const w = world().begin();
    w.close(code);
    assert.deepEqual(w.seen.order.slice(-2), ["offline", "lost"], `after ${code}`);
  }
});

test("silence after sending is answered with a ping, more silence with a new connection", () => {
  const w = world().begin();
  w.connection.send({ type: "typing", room: "r" });
  w.pass(15_000);
  assert.deepEqual(w.last().sent.at(-1), { type: "ping" });
  w.pass(5_000);
  assert.equal(w.last().closed, true);
  assert.equal(w.seen.lost, 1);
  assert.equal(w.status(), "offline");
});

test("a pong, or anything else that is heard, keeps the connection", () => {
  const w = world().begin();
  w.connection.send({ type: "typing", room: "r" });
  w.pass(15_000);
  w.tell({ type: "pong" });
  w.pass(20_000);
  assert.equal(w.sockets.length, 1);
  assert.ok(w.seen.frames.every(({ type }) => type !== "pong"));
});

test("a quiet connection is asked now and then whether it lives", () => {
  const w = world().begin();
  w.pass(45_000);
  assert.deepEqual(w.last().sent, [{ type: "ping" }]);
  w.pass(5_000);
  assert.equal(w.last().closed, true);
});

test("looking at the page again pings at once, or ends the wait", () => {
  const w = world().begin();
  w.connection.check();
  assert.deepEqual(w.last().sent, [{ type: "ping" }]);
  w.close(1006);
  w.connection.check();
  assert.equal(w.sockets.length, 2);
  w.connection.check();
  assert.equal(w.sockets.length, 2, "one attempt at a time");
});

test("what a socket says after it was left is not heard", () => {
  const w = world().begin();
  const old = w.last();
  w.connection.check();
  w.pass(5_000);
  w.pass(500);
  old.onmessage({ data: JSON.stringify({ type: "message_sent", room: "r", seq: 1 }) });
  old.onclose({ code: 1006, reason: "" });
  assert.equal(w.seen.frames.length, 1);
  assert.equal(w.sockets.length, 2);
});

test("a query is answered by its id", async () => {
  const w = world().begin();
  const answer = w.connection.query("list_rooms", {});
  const [{ id, type }] = w.last().sent;
  assert.equal(type, "list_rooms");
  w.tell({ type: "answer", id: "another", answer: 1 });
  w.tell({ type: "answer", id, answer: { rooms: [] } });
  assert.deepEqual(await answer, { rooms: [] });
});

test("a refusal rejects with its code", async () => {
  const w = world().begin();
  const answer = w.connection.query("room", { room: "r" });
  w.tell({ type: "refused", id: w.last().sent[0].id, code: "not_found", detail: "No." });
  await assert.rejects(answer, { code: "not_found", detail: "No." });
});

test("a query is lost with its connection, and not asked without one", async () => {
  const w = world().begin();
  const answer = w.connection.query("list_rooms");
  w.close(1006);
  await assert.rejects(answer, { code: "lost" });
  await assert.rejects(w.connection.query("list_rooms"), { code: "lost" });
});

test("a command outlives its connection, with its id, in order", async () => {
  const w = world().begin();
  const first = w.connection.command("join_room", { room: "a" });
  w.close(1006);
  const second = w.connection.command("join_room", { room: "b" });
  w.pass(500);
  w.greet();
  const [one, two] = w.last().sent;
  assert.deepEqual([one.room, two.room], ["a", "b"]);
  assert.equal(one.id, w.sockets[0].sent[0].id);
  w.tell({ type: "ack", id: one.id, room: "a", seq: 1 });
  assert.equal((await first).seq, 1);
  assert.equal(await settled(second), null);
});

test("after a passing trouble the same is asked again, when the server says", async () => {
  const w = world().begin();
  const done = w.connection.command("join_room", { room: "a" });
  const [{ id }] = w.last().sent;
  w.tell({ type: "refused", id, code: "too_fast", detail: "", retry_after: 2 });
  w.pass(1_999);
  assert.equal(w.last().sent.length, 1);
  w.pass(1);
  assert.deepEqual(w.last().sent[1], w.last().sent[0]);
  w.tell({ type: "ack", id });
  await done;
});

test("passing trouble that does not pass is told in the end", async () => {
  const w = world().begin();
  const done = w.connection.command("join_room", { room: "a" });
  const [{ id }] = w.last().sent;
  for (let i = 0; i < 7; i++) {
    w.tell({ type: "refused", id, code: "busy", detail: "Busy." });
    w.pass(14_000);
    w.tell({ type: "pong" });
    w.pass(1_000);
  }
  await assert.rejects(done, { code: "busy" });
});

test("stopping ends everything", async () => {
  const w = world().begin();
  const answer = w.connection.command("join_room", { room: "a" });
  w.connection.stop();
  await assert.rejects(answer, { code: "lost" });
  assert.equal(w.last().closed, true);
  w.pass(100_000);
  assert.equal(w.sockets.length, 1);
});

test("a socket that cannot be made is tried later", () => {
  let tries = 0;
  const timers = [];
  const connection = createConnection({
    open: () => { tries += 1; throw new Error("no"); }, random: () => 0, newId: () => "1",
    clock: { now: () => 0, set: (act) => timers.push(act), clear: () => {} },
    accept: () => true, onFrame: () => {}, onStatus: () => {}, onLost: () => {}, onEnded: () => {},
  });
  connection.start();
  timers.pop()();
  assert.equal(tries, 2);
});

test("a frame that is no JSON is passed over", () => {
  const w = world().begin();
  w.last().onmessage({ data: "{" });
  w.last().onmessage({ data: "null" });
  assert.equal(w.status(), "online");
});
