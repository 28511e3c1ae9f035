// What this client knows, as a pure fold: fold(state, event) -> state.
//
// Events are the server's frames as they come, and what happens on this side in the same
// past tense (message_written, page_read, disconnected …). Time, ids and randomness come in
// as values; there is no DOM, clock or network here. States are never changed, so a view
// compares parts with === to see what is new. Unknown events leave the state as it is.
//
// What is to be done about a state is as pure: see wants.js.

import * as rooms from "./state/room.js";
import * as outbox from "./state/outbox.js";
import { messageOf } from "./state/timeline.js";

/** Rooms whose messages stay loaded beside the open one. */
export const KEPT_ROOMS = 10;
/** Someone who typed is shown for this long, in milliseconds. */
export const TYPING = 5000;

export const initial = Object.freeze({
  connection: { status: "connecting" },   // or online, or offline with retryAt
  visible: true,                          // this page is in front
  bottom: true,                           // the end of the open room is in view
  epoch: null, me: null, limits: {},
  rooms: {}, learning: {},                // learning: room -> {asked, events} until `room` answers
  open: null, recent: [], target: null,   // target: the message to bring into view
  names: {}, nameless: {},                // nameless: account -> "wanted" | "asked"
  online: {}, typing: {},                 // typing: room -> {account: until}
  outbox: [],
});

/** @returns the state after `event`; the same object if nothing changed */
export function fold(state, event) {
  if (Object.hasOwn(handlers, event.type)) return handlers[event.type](state, event);
  return Number.isInteger(event.seq) && typeof event.room === "string" ? roomEvent(state, event) : state;
}

const view = (state, room) => ({ me: state.me?.id, bottom: state.open !== room || state.bottom });

function withRoom(state, id, change) {
  const room = state.rooms[id];
  if (!room) return state;
  const next = change(room);
  if (next === room) return state;
  const changed = { ...state, rooms: { ...state.rooms, [id]: next } };
  return { ...changed, outbox: outbox.settled(changed.outbox, changed.rooms) };
}

const without = (object, key) => {
  const { [key]: _, ...others } = object;
  return others;
};

// ---- events of rooms: all that have a room and a seq, also of types not known here, which
// count too, or they would look like a gap

function roomEvent(state, event) {
  const mine = event.account === state.me?.id;
  const room = state.rooms[event.room];
  if (!room) return newcomer(state, event, mine);
  if (mine && event.type === "member_removed" && event.seq > room.counted) return roomGone(state, event.room);
  const next = withRoom(state, event.room, (known) => rooms.receive(known, event, view(state, event.room)));
  if (next === state) return state;
  const named = missing(next, [event.by, event.author, event.account]);
  return event.type === "message_sent" ? arrived(named, event) : named;
}

function newcomer(state, event, mine) {
  const kept = state.learning[event.room];
  if (mine && event.type === "member_removed") return { ...state, learning: without(state.learning, event.room) };
  if (kept) return learning(state, event.room, { ...kept, events: [...kept.events, event] });
  return mine && event.type === "member_added" ? learning(state, event.room, { asked: false, events: [event] }) : state;
}

const learning = (state, room, kept) => ({ ...state, learning: { ...state.learning, [room]: kept } });

const roomGone = (state, room) => ({
  ...state, rooms: without(state.rooms, room), typing: without(state.typing, room),
  recent: state.recent.filter((id) => id !== room),
  open: state.open === room ? null : state.open,
});

function arrived(state, event) {
  const quiet = { ...state, typing: untyped(state.typing, event.room, event.author) };
  return (event.author ?? event.by) === state.me?.id ? { ...quiet, outbox: outbox.echoed(quiet.outbox, event) } : quiet;
}

const untyped = (typing, room, account) => typing[room]?.[account]
  ? { ...typing, [room]: without(typing[room], account) } : typing;

// ---- names

function missing(state, accounts) {
  const unknown = accounts.filter((id) => id && !Object.hasOwn(state.names, id) && !state.nameless[id]);
  if (!unknown.length) return state;
  return { ...state, nameless: { ...state.nameless, ...Object.fromEntries(unknown.map((id) => [id, "wanted"])) } };
}

function named(state, pairs) {
  const names = { ...state.names, ...Object.fromEntries(pairs) };
  const nameless = Object.fromEntries(Object.entries(state.nameless).filter(([id]) => !Object.hasOwn(names, id)));
  return { ...state, names, nameless };
}

const authorsOf = (messages) => messages.flatMap((message) =>
  [message.author, ...Object.values(message.reactions ?? {}).flat()]);

// ---- the table

const handlers = {
  // the connection
  connection_changed: (state, { status, retryAt }) => ({ ...state, connection: { status, retryAt } }),
  disconnected: (state) => ({
    ...state,
    rooms: Object.fromEntries(Object.entries(state.rooms).map(([id, room]) => [id, rooms.disconnected(room)])),
    learning: Object.fromEntries(Object.keys(state.learning).map((id) => [id, { asked: false, events: [] }])),
    nameless: Object.fromEntries(Object.keys(state.nameless).map((id) => [id, "wanted"])),
    outbox: outbox.disconnected(state.outbox), online: {}, typing: {},
  }),
  hello,
  resume_sent: (state, { rooms: asked }) => asked.reduce((next, id) =>
    withRoom(next, id, (room) => ({ ...room, resuming: "asked" })), state),
  caught_up: (state, { room, seq }) => withRoom(state, room, (known) => rooms.caughtUp(known, seq, view(state, room))),
  reset: (state, { room, seq }) => withRoom(state, room, (known) => rooms.reset(known, seq ?? known.seq, view(state, room))),

  // rooms and their pages
  room_opened: opened,
  room_closed: (state) => ({ ...state, open: null, target: null }),
  room_asked: (state, { room }) => state.rooms[room] ? withRoom(state, room, (known) => ({ ...known, recount: "asked" })) : learning(state, room, { events: [], ...state.learning[room], asked: true }),
  room_learned: learned,
  room_unknown: (state, { room }) => ({ ...state, learning: without(state.learning, room), open: state.open === room && !state.rooms[room] ? null : state.open }),
  page_asked: (state, { room, ask }) => withRoom(state, room, (known) => rooms.asked(known, ask)),
  page_read: pageRead,
  page_failed: (state, { room, ask }) => withRoom(state, room, (known) => rooms.pageFailed(known, ask)),
  page_forgotten: (state, { room }) => withRoom({ ...state, bottom: true, target: null }, room, (known) => rooms.forgotten(known)),
  members_asked: (state, { room }) => withRoom(state, room, rooms.membersAsked),
  members_read: (state, { room, ...page }) =>
    withRoom(named(state, page.members.filter((each) => each.name).map((each) => [each.account, each.name])), room, (known) => rooms.membersRead(known, page)),
  read_marked: (state, { room, message }) => withRoom(state, room, (known) => rooms.readUpTo(known, message, view(state, room))),
  room_read: (state, { room, message }) => withRoom(state, room, (known) => rooms.readUpTo(known, message, view(state, room))),

  mentioned: (state) => state,            // message_sent told it already
  session_started: (state) => state,
  session_ended: (state) => state,

  // people
  account_registered: (state, { account, name }) => named(state, [[account, name]]),
  account_renamed: (state, { account, name }) => ({
    ...named(state, [[account, name]]),
    me: state.me?.id === account ? { ...state.me, name } : state.me,
  }),
  authors_seen: (state, { accounts }) => missing(state, accounts),
  names_asked: (state, { accounts }) => ({ ...state, nameless: { ...state.nameless, ...Object.fromEntries(accounts.map((id) => [id, "asked"])) } }),
  names_learned: (state, { accounts, asked = [] }) =>
    named(state, [...asked.map((id) => [id, state.names[id] ?? null]), ...accounts.map(({ id, name }) => [id, name])]),
  names_failed: (state, { accounts }) => missing({ ...state, nameless: accounts.reduce(without, state.nameless) }, accounts),
  presence: (state, { online = [], offline = [] }) => ({
    ...state, online: { ...offline.reduce(without, state.online), ...Object.fromEntries(online.map((id) => [id, true])) },
  }),
  typing: (state, { room, account, now }) => !state.rooms[room] || account === state.me?.id ? state
    : missing({ ...state, typing: { ...state.typing, [room]: { ...state.typing[room], [account]: now + TYPING } } }, [account]),
  ticked,

  // what I write
  outbox_loaded: (state, { entries }) => ({ ...state, outbox: outbox.loaded(state.outbox, entries) }),
  message_written: (state, entry) => ({ ...state, outbox: outbox.written(state.outbox, entry) }),
  outbox_sent: (state, { id }) => ({ ...state, outbox: outbox.sent(state.outbox, id) }),
  outbox_retried: (state, { id }) => ({ ...state, outbox: outbox.retried(state.outbox, id) }),
  outbox_discarded: (state, { id }) => ({ ...state, outbox: outbox.discarded(state.outbox, id) }),
  ack: (state, { id, seq }) => {
    const next = outbox.acked(state.outbox, id, seq);
    return next === state.outbox ? state : { ...state, outbox: outbox.settled(next, state.rooms) };
  },
  refused: (state, event) => {
    const next = outbox.refused(state.outbox, event);
    return next === state.outbox ? state : { ...state, outbox: next };
  },

  // what I look at
  visibility_changed: (state, { visible }) => state.visible === visible ? state : { ...state, visible },
  scrolled: (state, { bottom }) => state.bottom === bottom ? state : { ...state, bottom },
  target_reached: (state) => ({ ...state, target: null }),
  logged_out: () => initial,
};

function hello(state, { epoch, account, rooms: entries, limits }) {
  const same = state.epoch === epoch && state.me?.id === account.id;
  const known = same ? state.rooms : {};
  const next = Object.fromEntries(entries.map((entry) =>
    [entry.id, known[entry.id] ? rooms.metAgain(known[entry.id], entry) : rooms.newRoom(entry)]));
  const unanswered = outbox.disconnected(state.outbox);
  const met = {
    ...state, epoch, me: account, limits: limits ?? {}, rooms: next, learning: {}, online: {}, typing: {},
    recent: state.recent.filter((id) => next[id]),
    outbox: outbox.settled(same ? unanswered : unanswered.filter((entry) => entry.status !== "acked"), next),
  };
  return missing(named(met, [[account.id, account.name]]), entries.map((entry) => entry.with));
}

function opened(state, { room, target = null }) {
  if (state.open === room && !target) return state;
  const recent = [room, ...state.recent.filter((id) => id !== room)];
  const old = recent[KEPT_ROOMS];
  const cleared = old ? withRoom(state, old, (known) => (known.resuming ? known : rooms.forgotten(known))) : state;
  const next = { ...cleared, open: room, recent: recent.slice(0, KEPT_ROOMS), target, bottom: state.open === room ? state.bottom : true };
  return state.open === room ? next
    : withRoom(next, room, (known) => ({ ...known, marker: known.unread ? known.read : null }));
}

function learned(state, { entry }) {
  if (state.rooms[entry.id]) return withRoom(state, entry.id, (known) => rooms.recounted(known, entry));
  const kept = state.learning[entry.id]?.events ?? [];
  const next = { ...state, learning: without(state.learning, entry.id), rooms: { ...state.rooms, [entry.id]: rooms.newRoom(entry) } };
  return kept.reduce(roomEvent, missing(next, [entry.with]));
}

function pageRead(state, { room, ask, ...page }) {
  const jumped = state.rooms[room]?.asking?.kind === "around";
  const next = withRoom(state, room, (known) => rooms.pageRead(known, ask, page, view(state, room)));
  if (next === state) return state;
  const lost = jumped && next.target && next.open === room && !messageOf(next.rooms[room].timeline, next.target);
  return missing(lost ? { ...next, target: null } : next, authorsOf(page.messages));
}

function ticked(state, { now }) {
  const typing = Object.fromEntries(Object.entries(state.typing)
    .map(([room, who]) => [room, Object.fromEntries(Object.entries(who).filter(([, until]) => until > now))])
    .filter(([, who]) => Object.keys(who).length));
  return { ...state, typing };
}
