// What can be done with a message: one small bar that sits on the message under the pointer
// or the focus, rather than a bar for each.

import { h, iconButton } from "../dom.js";
import { isAdmin } from "./names.js";

export const EMOJI = ["👍", "❤️", "😂", "🎉", "😮", "👀", "✅"];

/** @param {{reply, react, edit, remove}} act called with the message */
export function createActions(app, act) {
  let message = null;
  const choices = h("div.emoji-choice", { role: "group", hidden: true, aria: { label: "Reactions" } },
    EMOJI.map((emoji) => h("button", { type: "button", aria: { label: `React ${emoji}` }, onclick: () => { hideChoices(); act.react(message, emoji); } }, emoji)));
  const react = iconButton("smile", "React", () => {
    choices.hidden = !choices.hidden;
    react.setAttribute("aria-expanded", String(!choices.hidden));
    if (!choices.hidden) choices.firstChild.focus();
  }, { aria: { expanded: "false" } });
  const reply = iconButton("reply", "Reply", () => act.reply(message));
  const edit = iconButton("edit", "Edit", () => act.edit(message));
  const remove = iconButton("trash", "Delete", () => act.remove(message));
  const bar = h("div.actions", {}, choices, react, reply, edit, remove);

  const hideChoices = () => {
    choices.hidden = true;
    react.setAttribute("aria-expanded", "false");
  };

  bar.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || choices.hidden) return;
    event.preventDefault();
    event.stopPropagation();
    hideChoices();
    react.focus();
  });

  return {
    /** Puts the bar on an article, or takes it away. */
    show(article, next) {
      if (!article || !next || next.deleted) return bar.remove();
      if (bar.parentElement === article && message === next) return;
      if (bar.parentElement !== article) hideChoices();
      message = next;
      const { state } = app;
      const room = state.rooms[state.open];
      const mine = next.author === state.me.id;
      const shut = !room || room.archived;
      react.hidden = reply.hidden = shut;
      edit.hidden = !mine || shut;
      remove.hidden = shut || !(mine || (room.kind !== "direct" && (isAdmin(room.role) || isAdmin(state.me.role))));
      if (bar.parentElement !== article) article.append(bar);
    },
    get open() { return !choices.hidden; },
  };
}
