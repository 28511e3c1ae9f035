// One message as an <article>, made anew when anything that it shows has changed.

import { h, avatar } from "../dom.js";
import { tokens, foldedName } from "../words.js";
import { timeOf, fullTimeOf } from "../times.js";
import { nameOf } from "./names.js";

/**
 * @param message as in the state
 * @param {{state, first: boolean, quoted?: object, act: object}} around
 *   first: the first of its author's group; act: what can be done, by name
 */
export function messageView(message, { state, first, quoted, act }) {
  const mine = message.author === state.me.id;
  const toMe = message.mentions?.includes(state.me.id);
  const name = nameOf(state.names, message.author);
  const classes = [first && "first", mine && "mine", toMe && "to-me", message.deleted && "deleted"].filter(Boolean);
  return h(["article.message", ...classes].join("."), {
    tabIndex: -1, data: { seq: message.seq }, aria: { label: `${name}, ${timeOf(message.at)}` },
  },
  h("div.gutter", {}, first ? avatar(message.author, name) : time(message.at)),
  h("div.content", {},
    first && h("header.byline", {}, h("span.author", {}, name), time(message.at)),
    message.reply_to && quote(message.reply_to, quoted, state, act),
    bodyOf(message, state),
    reactionsOf(message, state, act)));
}

const time = (at) => h("time", { dateTime: at, title: fullTimeOf(at) }, timeOf(at));

function bodyOf(message, state) {
  if (message.deleted) return h("div.text.gone", {}, "This message was deleted.");
  const text = h("div.text", { dir: "auto" }, ...spans(message.text, message.mentions, state));
  if (onlyEmoji(message.text)) text.classList.add("large");
  if (message.edited_at) text.append(h("span.edited", { title: fullTimeOf(message.edited_at) }, " (edited)"));
  return text;
}

const onlyEmoji = (text) => text.length <= 16 && /^(\p{Extended_Pictographic}[\u{1F3FB}-\u{1F3FF}\uFE0F\u200D]*\s?){1,3}$/u.test(text);

function spans(text, mentions, { names, me }) {
  const mentioned = new Map((mentions ?? []).filter((id) => names[id]).map((id) => [foldedName(names[id]), id]));
  return tokens(text, mentioned).map((token) => {
    if (token.href) return h("a", { href: token.href, target: "_blank", rel: "noopener noreferrer" }, token.text);
    if (token.account) return h(`span.mention${token.account === me.id ? ".me" : ""}`, {}, token.text);
    return token.text;
  });
}

/** What is answered, in a line; a click brings it into view. */
function quote(seq, quoted, state, act) {
  const words = !quoted ? "an earlier message" : quoted.deleted ? "a deleted message" : quoted.text.slice(0, 160);
  return h("button.quote", { type: "button", onclick: () => act.jump(seq), title: "Show it" },
    quoted && h("span.author", {}, nameOf(state.names, quoted.author)), h("span.words", {}, words));
}

function reactionsOf(message, state, act) {
  const all = Object.entries(message.reactions ?? {});
  if (!all.length) return null;
  return h("div.reactions", {}, all.map(([emoji, who]) => {
    const mine = who.includes(state.me.id);
    return h("button.reaction", {
      type: "button", title: who.map((id) => nameOf(state.names, id)).join(", "),
      onclick: () => act.react(message, emoji), data: { emoji }, aria: { pressed: String(mine) },
    }, h("span.emoji", {}, emoji), h("span.count", {}, String(who.length)));
  }));
}

/** A message that is not certain yet, or was refused: then its writer decides. */
export function pendingView(entry, { state, first, quoted, act }) {
  const refused = entry.status === "refused";
  return h(["article.message.pending", first && "first", refused && "refused"].filter(Boolean).join("."), {
    tabIndex: -1, data: { pending: entry.id },
  },
  h("div.gutter", {}, first && avatar(state.me.id, state.me.name)),
  h("div.content", {},
    first && h("header.byline", {}, h("span.author", {}, state.me.name)),
    entry.reply_to && quote(entry.reply_to, quoted, state, act),
    h("div.text", { dir: "auto" }, ...spans(entry.text, [], state)),
    refused ? refusal(entry, act)
      : state.connection.status === "online" ? h("div.status.late", {}, "sending…")
        : h("div.status", {}, "Will be sent once there is a connection")));
}

const refusal = (entry, act) => h("div.status", { role: "alert" }, `Not sent: ${entry.detail ?? entry.code}`, " ",
  h("button.link", { type: "button", onclick: () => act.retry(entry.id) }, "Retry"), " ",
  h("button.link", { type: "button", onclick: () => act.discard(entry.id) }, "Discard"));
