// Where messages are written. Enter sends, Shift+Enter makes a new line; what is being
// written stays with its room. Nothing that was typed is ever thrown away by an error.

import { h, iconButton } from "../dom.js";
import { titleOf, nameOf } from "./names.js";

export function createComposer(app, { editLast }) {
  const area = h("textarea", { rows: 1, placeholder: "", aria: { label: "Message" }, attrs: { enterkeyhint: "send" } });
  const send = iconButton("send", "Send", null, { type: "submit" });
  send.classList.add("send");
  const note = h("p.composer-note", { hidden: true, role: "status" });
  const answering = h("div.answering", { hidden: true });
  const form = h("form.composer", { onsubmit: (event) => { event.preventDefault(); submit(); } },
    answering, h("div.composer-box", {}, area, send), note);
  const shut = h("p.shut", { hidden: true }, "This room is archived: it can be read, and nothing is written any more.");
  const typing = h("div.typing", { aria: { live: "off" } });
  const element = h("div.composer-place", {}, typing, form, shut);
  const drafts = new Map();     // room -> {text, reply}
  let room;                     // undefined while none is in view

  const draft = () => drafts.get(room) ?? { text: "", reply: null };
  const limit = () => app.state.limits.text ?? app.state.limits.text_length ?? 8000;
  const cleaned = () => area.value.replaceAll("\0", "").trim();

  function submit() {
    const text = cleaned();
    if (!room || !text || [...text].length > limit()) return check();
    if (!app.send(room, text, draft().reply?.seq)) return tell("Too many messages wait to be sent. Wait for the connection.");
    area.value = "";
    drafts.delete(room);
    showReply();
    grow();
    area.focus();
  }

  function check() {
    const length = area.value.length > limit() * 0.9 ? [...cleaned()].length : 0;
    tell(length > limit() ? `Too long by ${(length - limit()).toLocaleString()} characters. Send it in parts.` : "");
    send.disabled = !cleaned() || length > limit();
  }

  const tell = (text) => {
    note.textContent = text;
    note.hidden = !text;
  };

  /** The form keeps its height while the text is measured, or the messages above would move. */
  function grow() {
    form.style.minHeight = `${form.offsetHeight}px`;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
    form.style.minHeight = "";
    check();
  }

  function showReply() {
    const { reply } = draft();
    answering.hidden = !reply;
    if (!reply) return answering.replaceChildren();
    answering.replaceChildren(h("span.words", {}, "Replying to ", h("strong", {}, nameOf(app.state.names, reply.author)), ` ${reply.text.slice(0, 120)}`),
      iconButton("close", "Do not reply", () => replyTo(null)));
  }

  function replyTo(message) {
    drafts.set(room, { text: area.value, reply: message });
    showReply();
    area.focus();
  }

  area.addEventListener("input", () => {
    drafts.set(room, { ...draft(), text: area.value });
    grow();
    if (area.value.trim()) app.tellTyping(room);
  });
  area.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) submit();
    else if (event.key === "Escape" && draft().reply) replyTo(null);
    else if (event.key === "ArrowUp" && !area.value && editLast()) { /* the editor has the focus now */ } else return;
    event.preventDefault();
  });

  function update(state) {
    const here = state.rooms[state.open];
    const entered = here?.id !== room;
    const reopened = form.hidden && !here?.archived;
    room = here?.id;
    if (!here) return;
    const title = titleOf(state, here);
    area.placeholder = here.kind === "direct" ? `Write to ${title}` : `Write in ${title}`;
    form.hidden = here.archived;
    shut.hidden = !here.archived;
    if (entered) enter(state);
    else if (reopened) grow();
    typing.textContent = typists(state, Object.keys(state.typing[room] ?? {}));
  }

  /** The form is in view by now, or it could be neither measured nor focused. */
  function enter(state) {
    area.value = draft().text;
    showReply();
    grow();
    if (matchMedia("(hover: hover)").matches && !document.querySelector("dialog[open]") && !state.target) area.focus();
  }

  return { element, update, replyTo, focus: () => area.focus() };
}

function typists({ names }, who) {
  if (!who.length) return "";
  if (who.length > 2) return "Several people are typing…";
  return `${who.map((id) => nameOf(names, id)).join(" and ")} ${who.length > 1 ? "are" : "is"} typing…`;
}
