// The open room: its head, its messages, the composer; or what to do when none is open.

import { h, icon, iconButton, avatar } from "../dom.js";
import { createTimeline } from "./timeline.js";
import { createComposer } from "./composer.js";
import { withMenu } from "./menu.js";
import { isAdmin, titleOf } from "./names.js";
import * as dialogs from "./dialogs.js";

export function createRoom(app, shell) {
  const timeline = createTimeline(app, { reply: (message) => composer.replyTo(message), back: () => composer.focus() });
  const composer = createComposer(app, { editLast: timeline.editLast });
  const title = h("h1");
  const about = h("p.about");
  const face = h("span.head-face");
  const members = iconButton("people", "Members", () => shell.togglePanel("members"));
  const more = withMenu(iconButton("more", "Room menu", null), items);
  const head = h("header.room-head", {},
    iconButton("back", "Back", () => shell.go(null), { className: "icon-button back" }),
    face, h("div.room-name", {}, title, about), members, more);
  const room = h("div.room", { hidden: true }, head, timeline.element, composer.element);
  const nothing = h("div.nothing", {});
  const element = h("main.main", {}, room, nothing);

  function items() {
    const here = app.state.rooms[app.state.open];
    const manages = isAdmin(here.role) || isAdmin(app.state.me.role);
    const shared = here.kind !== "direct";
    return [
      { label: "Show members", act: () => shell.openPanel("members") },
      ...(shared && manages && !here.archived ? [{ label: "Rename room", act: () => dialogs.renameRoom(app, here) }] : []),
      ...(shared && manages ? [here.archived
        ? { label: "Reopen room", act: () => app.attempt("unarchive_room", { room: here.id }) }
        : { label: "Archive room", act: () => dialogs.archiveRoom(app, here) }] : []),
      ...(shared ? [{ label: "Leave room", danger: true, act: () => dialogs.leaveRoom(app, here) }] : []),
    ];
  }

  function update(state, before) {
    const here = state.rooms[state.open];
    room.hidden = !here;
    nothing.hidden = Boolean(here);
    if (!here) {
      if (state.me !== before.me || state.rooms !== before.rooms || state.open !== before.open) welcome(state);
    } else if (here !== before.rooms[before.open] || state.names !== before.names || state.online !== before.online || state.connection !== before.connection) {
      name(state, here);
    }
    composer.update(state);
    timeline.update(state, before);
  }

  function name(state, here) {
    const text = titleOf(state, here);
    if (title.textContent !== text) title.textContent = text;
    const online = Boolean(state.online[here.with]);
    about.textContent = { direct: state.connection.status !== "online" ? "Direct" : online ? "Online" : "Offline", private: "Private room", public: "Public room" }[here.kind] + (here.archived ? " · archived" : "");
    face.replaceChildren(here.kind === "direct"
      ? h("span.face", {}, avatar(here.with ?? here.id, text), h(`span.dot${online ? ".online" : ""}`))
      : h("span.sigil", {}, here.kind === "private" ? icon("lock") : "#"));
  }

  function welcome(state) {
    if (!state.me || state.open) return nothing.replaceChildren(h("p.loading", {}, "Loading…"));
    const rooms = Object.keys(state.rooms).length;
    nothing.replaceChildren(h("div.welcome", {},
      h("img", { src: "/web/icon.svg", alt: "", width: 56, height: 56 }),
      h("h1", {}, `Hello, ${state.me.name}`),
      h("p", {}, rooms ? "Choose a room to read and write." : "It is quiet here. Make a room and ask others in."),
      h("div.row", {},
        !rooms && h("button.primary", { type: "button", onclick: () => dialogs.newRoom(app, shell) }, "Create a room"),
        !rooms && h("button", { type: "button", onclick: () => dialogs.browse(app, shell) }, "Look around"),
        isAdmin(state.me.role) && h("button", { type: "button", onclick: () => dialogs.invite(app) }, "Invite others"))));
  }

  return { element, update };
}
