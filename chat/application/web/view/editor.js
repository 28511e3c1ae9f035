// A message while its author edits it, in its place.

import { h, avatar } from "../dom.js";

export function editor(message, app, close) {
  const { me, open } = app.state;
  const area = h("textarea.edit-text", { value: message.text, rows: Math.min(12, message.text.split("\n").length + 1), aria: { label: "Edit text" } });
  const save = async () => {
    const text = area.value.trim();
    if (!text) return area.focus();
    if (text !== message.text) await app.attempt("edit_message", { room: open, message: message.seq, text });
    leave();
  };
  const leave = () => {
    close();
    document.querySelector(".composer textarea")?.focus();
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) save();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  queueMicrotask(() => {
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
    area.scrollIntoView({ block: "nearest" });
  });
  return h("article.message.first.editing", { data: { seq: message.seq } },
    h("div.gutter", {}, avatar(me.id, me.name)),
    h("div.content", {}, area, h("div.edit-tools", {},
      h("button.primary.small", { type: "button", onclick: save }, "Save"),
      h("button.small", { type: "button", onclick: leave }, "Cancel"),
      h("small", {}, "Enter saves, Escape cancels"))));
}
