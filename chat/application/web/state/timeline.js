// The messages of one room that are loaded: an unbroken range of them, oldest first.
//
//   {messages, complete, atEnd}     complete: nothing older exists
//                                   atEnd: nothing newer exists, so live messages belong here
//
// A page gives the state of its messages at a moment that is not known exactly, so every
// change here may be folded twice and a page may be merged after later events: adding what
// is there, or removing what is gone, changes nothing, and deleted stays deleted.
// A change of a message that is not loaded is no change: its page will tell.

/** With more than this at the bottom, the oldest are forgotten; they can be read again. */
export const KEPT = 500;
/** With more than this while reading upwards, the newest are. */
export const KEPT_READING = 1000;

const find = (messages, seq) => {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (messages[middle].seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** @returns the loaded message with that seq, or undefined */
export function messageOf(timeline, seq) {
  const found = timeline?.messages[find(timeline.messages, seq)];
  return found?.seq === seq ? found : undefined;
}

const fromEvent = (event) => ({
  seq: event.seq, author: event.author ?? event.by, at: event.at, text: event.text ?? "",
  mentions: event.mentions ?? [], reactions: {},
  ...(event.reply_to && { reply_to: event.reply_to }),
  ...(event.deleted && { deleted: true }),
});

function added(timeline, message, bottom) {
  const { messages, atEnd } = timeline;
  if (!atEnd || messageOf(timeline, message.seq)) return timeline;
  if (!bottom && messages.length >= KEPT_READING) return { ...timeline, atEnd: false };
  const place = find(messages, message.seq);
  const next = [...messages.slice(0, place), message, ...messages.slice(place)];
  if (!bottom || next.length <= KEPT) return { ...timeline, messages: next };
  return { ...timeline, messages: next.slice(-KEPT), complete: false };
}

function changed(timeline, seq, change) {
  const place = find(timeline.messages, seq);
  const message = timeline.messages[place];
  if (message?.seq !== seq) return timeline;
  const next = change(message);
  return next === message ? timeline : { ...timeline, messages: replaced(timeline.messages, place, next) };
}

const replaced = (list, place, value) => {
  const next = list.slice();
  next[place] = value;
  return next;
};

const edit = (event) => (message) => message.deleted ? message
  : { ...message, text: event.text, edited_at: event.at, mentions: event.mentions ?? message.mentions };

const erase = (message) => ({
  seq: message.seq, author: message.author, at: message.at, text: "", deleted: true,
  mentions: [], reactions: {}, ...(message.reply_to && { reply_to: message.reply_to }),
});

const react = ({ emoji, by }) => (message) => {
  const who = message.reactions?.[emoji] ?? [];
  if (message.deleted || who.includes(by)) return message;
  return { ...message, reactions: { ...message.reactions, [emoji]: [...who, by] } };
};

const unreact = ({ emoji, by }) => (message) => {
  const who = message.reactions?.[emoji] ?? [];
  if (!who.includes(by)) return message;
  const { [emoji]: _, ...others } = message.reactions;
  const left = who.filter((account) => account !== by);
  return { ...message, reactions: left.length ? { ...others, [emoji]: left } : others };
};

const pin = (message) => message.deleted ? message : { ...message, pinned: true };
const unpin = ({ pinned: _, ...message }) => message;

const changes = {
  message_edited: edit,
  message_deleted: () => erase,
  reaction_added: react,
  reaction_removed: unreact,
  message_pinned: () => pin,
  message_unpinned: () => unpin,
};

/** Folds one event of the room. `bottom`: the end of the room is in view, or nobody looks. */
export function follow(timeline, event, bottom) {
  if (!timeline) return timeline;
  if (event.type === "message_sent") return added(timeline, fromEvent(event), bottom);
  const change = changes[event.type];
  return change ? changed(timeline, event.message, change(event)) : timeline;
}

/**
 * Merges a page that was asked for as `ask` = {kind: latest|before|after|around, at}.
 * A page that no longer adjoins the range is ignored. `more` is on the side that was asked
 * for; a page around a message says with `newer` what is on the other.
 */
export function merge(timeline, ask, page) {
  const { messages, more, newer: later = true } = page;
  if (ask.kind === "latest") return { messages, complete: !more, atEnd: true };
  if (ask.kind === "around") return { messages, complete: !more, atEnd: !later };
  if (!timeline) return timeline;
  const edge = ask.kind === "before" ? timeline.messages[0] : timeline.messages.at(-1);
  if (edge?.seq !== ask.at) return timeline;
  return ask.kind === "before" ? older(timeline, messages, more) : newer(timeline, messages, more);
}

function older(timeline, page, more) {
  const messages = [...page, ...timeline.messages];
  const over = messages.length > KEPT_READING;
  return {
    messages: over ? messages.slice(0, KEPT_READING) : messages,
    complete: !more, atEnd: timeline.atEnd && !over,
  };
}

function newer(timeline, page, more) {
  const messages = [...timeline.messages, ...page];
  const over = messages.length > KEPT_READING;
  return {
    messages: over ? messages.slice(-KEPT_READING) : messages,
    complete: timeline.complete && !over, atEnd: !more,
  };
}
