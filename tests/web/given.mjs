// What the tests of the fold share: events as the server tells them, folded in order, and
// a room on a server that is a list of events.

import { fold, initial } from "../../chat/application/web/state.js";

export const ME = "me";
export const at = (seq) => new Date(Date.UTC(2024, 0, 1) + seq * 1000).toISOString();

export const entry = (id, more = {}) => ({
  id, title: id, kind: "public", seq: 0, read: 0, unread: 0, mentions: 0, role: "member", archived: false, ...more,
});

export const hello = (rooms = [entry("r")], more = {}) => ({
  type: "hello", epoch: "e1", account: { id: ME, name: "ada", role: "member" }, rooms, limits: {}, ...more,
});

export const event = (type, seq, fields = {}) => ({ type, room: "r", seq, at: at(seq), by: "bob", ...fields });
export const said = (seq, text = `text ${seq}`, fields = {}) =>
  event("message_sent", seq, { author: fields.by ?? "bob", text, mentions: [], ...fields });
export const message = (seq, more = {}) =>
  ({ seq, author: "bob", at: at(seq), text: `text ${seq}`, mentions: [], reactions: {}, ...more });

export const online = { type: "connection_changed", status: "online" };
export const asked = (id = "q", kind = "latest", place = undefined, room = "r") =>
  ({ type: "page_asked", room, ask: { id, kind, at: place } });
export const page = (messages, more = false, ask = "q", room = "r") => ({ type: "page_read", room, ask, messages, more });

const bob = { type: "names_learned", accounts: [{ id: "bob", name: "bob" }] };

/** Folds events from nothing but bob's name, or from a state given first. */
export const given = (...events) => [bob, ...events.flat()].reduce(fold, initial);
export const after = (state, ...events) => events.flat().reduce(fold, state);

/** A room that is open, with this page loaded at this seq. */
export const opened = (messages, seq, more = false) =>
  given(online, hello([entry("r", { seq })]), { type: "room_opened", room: "r" }, asked(), page(messages, more));

export const seqs = (state, room = "r") => state.rooms[room].timeline?.messages.map((each) => each.seq) ?? null;
export const texts = (state, room = "r") => state.rooms[room].timeline?.messages.map((each) => each.text) ?? null;

/** Everything in `value` becomes immutable, so a fold that changes its input throws. */
export function frozen(value) {
  if (value && typeof value === "object" && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(frozen);
  }
  return value;
}
