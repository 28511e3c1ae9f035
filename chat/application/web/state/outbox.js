// Messages that are written and not yet certain, in the order they were written.
//
//   waiting  to be sent, or to be sent again       sent  on its way, unanswered
//   acked    kept by the server as (room, seq), shown here until its event arrives
//   refused  for good, with code and detail: the writer decides
//
// An entry keeps its id through every retry, so the server keeps one message of it.
// `echo` is the seq of a message that looks like this one and came before the answer:
// the entry is not shown beside it, but only the answer removes it.

/** Refusals after which the same command is asked again. */
export const RETRIABLE = new Set(["unavailable", "busy", "too_fast", "internal"]);
/** Entries kept at most; the composer refuses more. */
export const KEPT_UNSENT = 200;

export const written = (outbox, { id, room, text, reply_to, at }) =>
  outbox.length >= KEPT_UNSENT || outbox.some((entry) => entry.id === id) ? outbox
    : [...outbox, { id, room, text, ...(reply_to && { reply_to }), at, status: "waiting" }];

/** Entries kept from before, among those of now, all in the order of their ids. */
export function loaded(outbox, entries) {
  const known = new Set(outbox.map((entry) => entry.id));
  return [...outbox, ...entries.filter((entry) => !known.has(entry.id))]
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

const change = (outbox, id, next) => outbox.some((entry) => entry.id === id)
  ? outbox.flatMap((entry) => (entry.id === id ? next(entry) : [entry]))
  : outbox;

export const sent = (outbox, id) =>
  change(outbox, id, (entry) => [{ ...entry, status: "sent", tried: true }]);

export const acked = (outbox, id, seq) =>
  change(outbox, id, (entry) => (seq ? [{ ...entry, status: "acked", seq }] : []));

export const refused = (outbox, { id, code, detail }) => change(outbox, id, (entry) => {
  if (entry.status === "acked") return [entry];
  if (RETRIABLE.has(code)) return [{ ...entry, status: "waiting" }];
  const { echo: _, ...shown } = entry;
  return [{ ...shown, status: "refused", code, detail }];
});

export const retried = (outbox, id) => change(outbox, id, (entry) => {
  const { code: _code, detail: _detail, ...again } = entry;
  return entry.status === "refused" ? [{ ...again, status: "waiting" }] : [entry];
});

export const discarded = (outbox, id) =>
  change(outbox, id, (entry) => (entry.status === "refused" ? [] : [entry]));

/** Whatever was on its way may have arrived or not: it is sent again. */
export const disconnected = (outbox) => outbox.some((entry) => entry.status === "sent")
  ? outbox.map((entry) => (entry.status === "sent" ? { ...entry, status: "waiting" } : entry))
  : outbox;

/** A message of mine arrived: it hides the first entry that was tried and looks the same. */
export function echoed(outbox, event) {
  const place = outbox.findIndex((entry) => entry.tried && !entry.echo && entry.room === event.room
    && (entry.status === "sent" || entry.status === "waiting")
    && entry.text === event.text && (entry.reply_to ?? 0) === (event.reply_to ?? 0));
  return place < 0 ? outbox : outbox.map((entry, i) => (i === place ? { ...entry, echo: event.seq } : entry));
}

/** Entries whose message is now in the room, or will be read with its page, are done. */
export function settled(outbox, rooms) {
  const done = (entry) => {
    if (entry.status !== "acked") return false;
    const room = rooms[entry.room];
    return !room?.timeline?.atEnd || room.seq >= entry.seq;
  };
  return outbox.some(done) ? outbox.filter((entry) => !done(entry)) : outbox;
}

/** The next entry of each room to put on the wire: one at a time, so order is kept. */
export function due(outbox) {
  const seen = new Set();
  return outbox.filter((entry) => {
    if (seen.has(entry.room) || (entry.status !== "waiting" && entry.status !== "sent")) return false;
    seen.add(entry.room);
    return entry.status === "waiting";
  });
}

/** What a room shows after its messages. */
export const shown = (outbox, room) => outbox.filter((entry) => entry.room === room && !entry.echo);
