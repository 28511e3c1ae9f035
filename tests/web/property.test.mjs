// Whatever happens in a room, and whenever the connection goes, is late or answers late, a
// client ends with what the server has. Each seed is one history, told in one random way.

import test from "node:test";
import assert from "node:assert/strict";
import { fold, initial } from "../../chat/application/web/state.js";
import { wants } from "../../chat/application/web/wants.js";
import { ME, at, entry, frozen, hello, online } from "./given.mjs";

function chance(seed) {
  let state = seed * 2654435761 + 1;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { below: (n) => Math.floor(next() * n), maybe: (p) => next() < p, pick: (list) => list[Math.floor(next() * list.length)] };
}

/** A server of one room, told by its own simple rules: state by message, not by event. */
function createServer(random) {
  const log = [];
  const shown = new Map();
  const put = (type, fields) => {
    const event = { type, room: "r", seq: log.length + 1, at: at(log.length + 1), by: "bob", ...fields };
    log.push(frozen(event));
    return event;
  };
  const alive = () => [...shown.values()].filter((each) => !each.deleted).map((each) => each.seq);
  const put_message = (by, text) => {
    const event = put("message_sent", { author: by, by, text, mentions: [] });
    shown.set(event.seq, { seq: event.seq, author: by, at: event.at, text, mentions: [], reactions: {} });
    return event;
  };

  function happen() {
    const target = random.pick(alive());
    if (!target || random.maybe(0.5)) return put_message(random.pick(["bob", "cat"]), `text ${log.length}`);
    const message = shown.get(target);
    const by = random.pick(["bob", "cat", "dan"]);
    const emoji = random.pick(["a", "b"]);
    const who = message.reactions[emoji] ?? [];
    if (random.maybe(0.15)) {
      shown.set(target, { seq: target, author: message.author, at: message.at, text: "", deleted: true, mentions: [], reactions: {} });
      return put("message_deleted", { message: target });
    }
    if (random.maybe(0.3)) {
      const event = put("message_edited", { message: target, text: `edit ${log.length}` });
      shown.set(target, { ...message, text: event.text, edited_at: event.at });
      return event;
    }
    if (!who.includes(by)) {
      shown.set(target, { ...message, reactions: { ...message.reactions, [emoji]: [...who, by] } });
      return put("reaction_added", { message: target, emoji, by });
    }
    const { [emoji]: _, ...others } = message.reactions;
    const left = who.filter((each) => each !== by);
    shown.set(target, { ...message, reactions: left.length ? { ...others, [emoji]: left } : others });
    return put("reaction_removed", { message: target, emoji, by });
  }

  function page({ kind, at: place, limit }) {
    const all = [...shown.values()].sort((a, b) => a.seq - b.seq).map((each) => structuredClone(each));
    if (kind === "after") {
      const newer = all.filter((each) => each.seq > place);
      return { messages: newer.slice(0, limit), more: newer.length > limit };
    }
    const older = kind === "before" ? all.filter((each) => each.seq < place) : all;
    return { messages: older.slice(-limit), more: older.length > limit };
  }

  return { log, happen, page, send: put_message, all: () => page({ kind: "latest", limit: 1e9 }).messages };
}

/** Runs a client against the server: frames wait in `wire`, in order, until they are taken. */
function run(seed) {
  const random = chance(seed);
  const server = createServer(random);
  const answered = new Map();
  let state = frozen({ ...initial, names: { bob: "bob", cat: "cat", dan: "dan" } });
  let wire = [];
  let ids = 0;
  let told = 0;
  let up = false;
  let late = [];
  let told_at_hello = 0;

  const take = (event) => {
    const before = state;
    state = frozen(fold(before, frozen(structuredClone(event))));
    check(state, before);
  };

  const carry = {
    page(want) {
      const ask = { id: `p${ids++}`, kind: want.kind, at: want.at };
      take({ type: "page_asked", room: "r", ask });
      const answer = { type: "page_read", room: "r", ask: ask.id, ...server.page({ ...ask, limit: 5 }) };
      // The answer may overtake events that are told already, or come after later ones.
      if (random.maybe(0.5)) late.push(answer);
      else wire.splice(random.below(wire.length + 1), 0, answer);
    },
    resume({ rooms }) {
      const seen = rooms.r;
      take({ type: "resume_sent", rooms: ["r"] });
      if (random.maybe(0.15)) return void wire.push({ type: "reset", room: "r", seq: told_at_hello, reason: "too_many" });
      const missed = server.log.filter(({ seq }) => seq > seen && seq <= told_at_hello);
      const replay = [...missed, { type: "caught_up", room: "r", seq: told_at_hello }];
      // Live events may come between the replayed ones.
      let place = 0;
      for (const frame of replay) {
        place += random.below(wire.length - place + 1);
        wire.splice(place++, 0, frame);
      }
    },
    send({ entry: { id, text } }) {
      take({ type: "outbox_sent", id });
      if (random.maybe(0.2)) return void wire.push({ type: "refused", id, code: "busy", detail: "" });
      if (!answered.has(id)) answered.set(id, server.send(ME, text).seq);
      tell();
      wire.push({ type: "ack", id, room: "r", seq: answered.get(id) });
    },
    names: ({ accounts }) => take({ type: "names_learned", accounts: accounts.map((id) => ({ id, name: id })) }),
    read: ({ message }) => take({ type: "read_marked", room: "r", message }),
    room: ({ room }) => {
      take({ type: "room_asked", room });
      take({ type: "room_learned", entry: here() });
    },
  };
  const work = () => {
    for (let list = wants(state); list.length; list = wants(state)) list.forEach((want) => carry[want.want](want));
  };
  const here = () => entry("r", { seq: server.log.length, unread: 0, read: server.log.length });

  const arrive = () => wire.push(...late.splice(0));
  const tell = () => {
    if (up) wire.push(...server.log.slice(told));
    if (up && random.maybe(0.1)) wire.push(random.pick(server.log));
    told = server.log.length;
  };
  const connect = () => {
    up = true;
    told = told_at_hello = server.log.length;
    wire = [];
    late = [];
    take(online);
    take(hello([here()]));
    work();
  };
  const drop = () => {
    wire.splice(random.below(wire.length + 1));
    while (wire.length) take(wire.shift());
    up = false;
    take({ type: "connection_changed", status: "offline" });
    take({ type: "disconnected" });
    work();
  };
  const steps = [
    () => { server.happen(); tell(); },
    () => { server.happen(); tell(); },
    () => { if (wire.length) take(wire.shift()); work(); },
    () => { if (wire.length) take(wire.shift()); work(); },
    () => { take({ type: "message_written", id: `m${String(ids++).padStart(5, "0")}`, room: "r", text: `mine ${ids}`, at: "" }); work(); },
    () => { if (random.maybe(0.3)) { if (up) drop(); else connect(); } },
    () => older(),
    () => { if (random.maybe(0.3)) arrive(); },
  ];
  const older = () => {
    const room = state.rooms.r;
    if (!up || !room?.timeline?.messages.length || room.asking || room.resuming || room.timeline.complete) return;
    carry.page({ kind: "before", at: room.timeline.messages[0].seq });
  };

  connect();
  take({ type: "room_opened", room: "r" });
  work();
  for (let i = 0; i < 120; i++) random.pick(steps)();
  if (!up) connect();
  for (let i = 0; wire.length || late.length || wants(state).length; i++) {
    assert.ok(i < 10_000, "it never comes to rest");
    if (wire.length) take(wire.shift());
    else arrive();
    work();
  }
  return { state, server, answered };
}

/** What must hold of every state on the way. */
function check(state, before) {
  const room = state.rooms.r;
  const seqs = room?.timeline?.messages.map((each) => each.seq) ?? [];
  assert.ok(seqs.every((seq, i) => i === 0 || seq > seqs[i - 1]), "messages are in order, none twice");
  if (before.epoch === state.epoch && before.rooms.r?.timeline && room?.timeline) assert.ok(room.seq >= before.rooms.r.seq, "nothing is unseen");
}

test("however it was told, the client ends with what the server has", () => {
  for (let seed = 1; seed <= 400; seed++) {
    const { state, server } = run(seed);
    const { timeline, seq } = state.rooms.r;
    const first = timeline.complete ? 0 : timeline.messages[0].seq;
    assert.deepEqual(timeline.messages, server.all().filter((each) => each.seq >= first), `seed ${seed}`);
    assert.equal(seq, server.log.length, `seed ${seed}`);
  }
});

test("however often it was sent, every written message is kept once, in the order written", () => {
  for (let seed = 1001; seed <= 1300; seed++) {
    const { state, server, answered } = run(seed);
    const mine = server.all().filter((each) => each.author === ME).map((each) => each.seq);
    assert.deepEqual(state.outbox, [], `seed ${seed}`);
    assert.deepEqual([...answered].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, seq]) => seq), mine, `seed ${seed}`);
  }
});

test("a page cut anywhere and the events after it equal the whole", () => {
  for (let seed = 2001; seed <= 2040; seed++) {
    const random = chance(seed);
    const server = createServer(random);
    const pages = [];
    for (let i = 0; i < 60; i++) {
      pages.push(server.page({ kind: "latest", limit: 1e9 }));
      server.happen();
    }
    pages.forEach((page, cut) => {
      const start = [online, hello([entry("r", { seq: cut })]), { type: "room_opened", room: "r" },
        { type: "page_asked", room: "r", ask: { id: "q", kind: "latest" } }, { type: "page_read", room: "r", ask: "q", ...page }];
      const state = [...start, ...server.log.slice(cut)].reduce(fold, initial);
      assert.deepEqual(state.rooms.r.timeline.messages, server.all(), `seed ${seed}, cut ${cut}`);
    });
  }
});
