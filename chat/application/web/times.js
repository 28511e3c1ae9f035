// Times as people read them, in their own format and zone.

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export const timeOf = (at) => clock.format(new Date(at));
export const fullTimeOf = (at) => full.format(new Date(at));

/** @returns a key that is equal for equal local days */
export const dayKey = (at) => new Date(at).toDateString();

export function dayOf(at, now = new Date()) {
  const then = new Date(at);
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (then.toDateString() === now.toDateString()) return "Today";
  if (then.toDateString() === yesterday.toDateString()) return "Yesterday";
  return (then.getFullYear() === now.getFullYear() ? day : dayOfYear).format(then);
}

/** A time where space is short: the hour today, the day before. */
export const briefOf = (at, now = new Date()) =>
  new Date(at).toDateString() === now.toDateString() ? timeOf(at) : short.format(new Date(at));
