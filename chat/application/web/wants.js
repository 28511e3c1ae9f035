// What is to be done about a state, as values: wants(state) -> list. main.js carries each
// out and folds what became of it, so a want disappears by being asked for, never by being
// remembered elsewhere. Nothing is wanted of the server while there is no connection.

import { messageOf } from "./state/timeline.js";
import { due } from "./state/outbox.js";

/** @returns {Array<{want: "resume"|"page"|"room"|"names"|"send"|"read"}>} */
export function wants(state) {
  if (state.connection.status !== "online" || !state.me) return [];
  return [...resume(state), ...learn(state), ...page(state), ...names(state), ...send(state), ...read(state)];
}

function resume({ epoch, rooms }) {
  const behind = Object.values(rooms).filter((room) => room.resuming === "wanted");
  if (!behind.length) return [];
  return [{ want: "resume", epoch, rooms: Object.fromEntries(behind.map((room) => [room.id, room.seq])) }];
}

const learn = ({ learning, rooms, open }) => [
  ...Object.keys(learning).filter((room) => !learning[room].asked),
  ...(open && !rooms[open] && !learning[open] ? [open] : []),
  ...Object.keys(rooms).filter((room) => rooms[room].recount === true),
].map((room) => ({ want: "room", room }));

function page({ open, rooms, target }) {
  const room = rooms[open];
  if (!room || room.asking || room.resuming) return [];
  if (target && !messageOf(room.timeline, target)) return [{ want: "page", room: open, kind: "around", at: target }];
  return room.timeline ? [] : [{ want: "page", room: open, kind: "latest" }];
}

function names({ nameless }) {
  const accounts = Object.keys(nameless).filter((id) => nameless[id] === "wanted").slice(0, 100);
  return accounts.length ? [{ want: "names", accounts }] : [];
}

const send = ({ outbox }) => due(outbox).map((entry) => ({ want: "send", entry }));

/** Read is what was in view: the room open, its end on the screen, the page in front. */
function read({ open, rooms, visible, bottom }) {
  const room = rooms[open];
  if (!room?.unread || !visible || !bottom || !room.timeline?.atEnd || room.resuming) return [];
  const last = room.timeline.messages.at(-1);
  return last && last.seq > room.read ? [{ want: "read", room: open, message: last.seq }] : [];
}
