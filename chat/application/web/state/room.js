// One room as this client knows it.
//
//   seq       the last event folded; the next must be seq + 1
//   counted   up to here `unread` was counted by the server, after it by us
//   timeline  what is loaded of its messages, or null (see timeline.js)
//   resuming  null, or "wanted" / "asked": events older than hello's seq are on their way,
//             and what arrives too early waits in `aside`
//   asking    the page that is asked for, or null; events folded since then stay in
//             `journal` and are folded again over the page, which may be older than they
//   marker    where reading had ended when the room was opened: "new" begins after it
//
// A lower seq was seen already and is dropped. A gap outside of resuming means that
// something was lost on the way: then the messages are forgotten and a page is read.

import { follow, merge } from "./timeline.js";

const told = ({ id, title, kind, seq, read, unread, mentions, role, archived, with: other }) => ({
  id, title: title ?? "", kind, seq, read: read ?? 0, unread: unread ?? 0, mentions: mentions ?? 0,
  role, archived: Boolean(archived), ...(other && { with: other }), counted: seq,
});

const unloaded = {
  timeline: null, resuming: null, aside: [], asking: null, journal: [],
  members: null, membersAsking: false, memberNews: [], marker: null,
};

/** A room as hello or the answer of `room` tells it, nothing loaded. */
export const newRoom = (entry) => ({ ...unloaded, ...told(entry) });

/** The room after another hello of the same epoch: what it holds stays, and is resumed. */
export function metAgain(room, entry) {
  const { recount: _, ...known } = room;
  const next = { ...known, ...told(entry), asking: null, journal: [], aside: [], resuming: null, membersAsking: false, memberNews: [] };
  if (room.seq === entry.seq) return next;
  if (!room.timeline) return { ...next, members: null };
  return { ...next, seq: room.seq, resuming: "wanted" };
}

/** Forgets what is loaded; the room stands at `seq`. */
export const forgotten = (room, seq = room.seq) => ({
  ...room, seq, timeline: null, resuming: null, aside: [], asking: null, journal: [], members: null, membersAsking: false, memberNews: [],
});

/** What was asked for will not be answered; the next hello starts anew. */
export const disconnected = (room) => room.asking || room.membersAsking || room.resuming
  ? { ...room, asking: null, journal: [], aside: [], resuming: room.resuming && "wanted", membersAsking: false, memberNews: [] }
  : room;

/** Takes in one event of this room. `view` = {me, bottom}. */
export function receive(room, event, view) {
  if (event.seq <= room.seq) return room;
  if (event.seq === room.seq + 1) return drained(applied(room, event, view), view);
  if (room.resuming) return { ...room, aside: [...room.aside, event] };
  return applied(forgotten(room), event, view);
}

const inOrder = (events) => events.slice().sort((a, b) => a.seq - b.seq);

function drained(room, view) {
  if (!room.aside.length) return room;
  let next = { ...room, aside: [] };
  for (const event of inOrder(room.aside)) {
    if (event.seq === next.seq + 1) next = applied(next, event, view);
    else if (event.seq > next.seq) next = { ...next, aside: [...next.aside, event] };
  }
  return next;
}

export function caughtUp(room, seq, view) {
  if (!room.resuming) return room;
  const whole = room.seq >= seq && !room.aside.length;
  return whole ? { ...room, resuming: null } : reset(room, seq, view);
}

/** The server cannot fill the gap: stand at `seq` and fold only what came live after it. */
export function reset(room, seq, view) {
  const after = inOrder(room.aside.filter((event) => event.seq > seq));
  return after.reduce((next, event) => applied(next, event, view), forgotten(room, seq));
}

function applied(room, event, view) {
  const next = {
    ...room, seq: event.seq,
    timeline: follow(room.timeline, event, view.bottom),
    journal: room.asking ? [...room.journal, event] : room.journal,
    memberNews: room.membersAsking && membership.has(event.type) ? [...room.memberNews, event] : room.memberNews,
  };
  return facts[event.type]?.(next, event, view) ?? next;
}

const membership = new Set(["member_added", "member_removed", "role_changed"]);

const facts = {
  message_sent: counted,
  message_deleted: uncounted,
  room_renamed: (room, { title }) => ({ ...room, title }),
  room_archived: (room) => ({ ...room, archived: true }),
  room_unarchived: (room) => ({ ...room, archived: false }),
  member_added: (room, { account, role }) => ({ ...room, members: joined(room.members, account, role) }),
  member_removed: (room, { account }) => ({ ...room, members: left(room.members, account) }),
  role_changed: (room, { account, role }, { me }) => ({
    ...room, role: account === me ? role : room.role, members: joined(room.members, account, role),
  }),
};

function counted(room, event, { me }) {
  if (event.seq <= room.counted || event.seq <= room.read || (event.author ?? event.by) === me) return room;
  const mentioned = event.mentions?.includes(me) ? 1 : 0;
  return { ...room, unread: room.unread + 1, mentions: room.mentions + mentioned };
}

/** Whether an unread message was among what is gone is the server's to say. */
function uncounted(room, event) {
  const unread = room.unread && event.seq > room.counted && event.message > room.read;
  return unread ? { ...room, recount: true } : room;
}

const left = (members, account) => members && {
  ...members, list: members.list.filter((member) => member.account !== account),
};

const joined = (members, account, role) => members && {
  ...members, list: [...left(members, account).list, { account, role }],
};

export const asked = (room, ask) => ({ ...room, asking: ask, journal: [] });

/** Merges the page asked for as `ask`, and what happened since it was asked for. */
export function pageRead(room, ask, page, { bottom }) {
  if (room.asking?.id !== ask) return room;
  const merged = merge(room.timeline, room.asking, page);
  const timeline = room.journal.reduce((next, event) => follow(next, event, bottom), merged);
  return { ...room, timeline, asking: null, journal: [] };
}

export const pageFailed = (room, ask) =>
  room.asking?.id === ask ? { ...room, asking: null, journal: [] } : room;

/** A page of members is asked for: what changes from now on is folded over it again. */
export const membersAsked = (room) => ({ ...room, membersAsking: true, memberNews: [] });

/** A page of members; `after` is the last account of the page before, if any. */
export function membersRead(room, { members, more, after }) {
  if (!room.membersAsking) return room;
  const known = after && room.members ? room.members.list : [];
  const list = known.filter((old) => !members.some((each) => each.account === old.account));
  const next = { ...room, membersAsking: false, memberNews: [], members: { list: [...list, ...members], more, last: members.at(-1)?.account } };
  return room.memberNews.reduce((folded, event) => facts[event.type](folded, event, { me: null }), next);
}

/** Everything up to `message` is read, here or on another device. */
export function readUpTo(room, message, { me }) {
  if (message <= room.read) return room;
  const next = { ...room, read: message };
  const after = room.timeline?.atEnd
    ? room.timeline.messages.filter((each) => each.seq > message && each.author !== me && !each.deleted)
    : null;
  const covered = after && (room.timeline.complete || room.timeline.messages[0]?.seq <= message);
  if (!covered) return message >= room.seq ? { ...next, unread: 0, mentions: 0 } : { ...next, recount: true };
  return { ...next, unread: after.length, mentions: after.filter((each) => each.mentions?.includes(me)).length };
}

/** The server's own count, asked for because ours could not be known. */
export const recounted = (room, { read, unread, mentions, seq }) => {
  const { recount: _, ...next } = room;
  return { ...next, read: Math.max(room.read, read), unread, mentions, counted: Math.max(room.counted, seq) };
};
