// The members of the open room: who is there, who is what, adding and removing.

import { h, iconButton, avatar } from "../dom.js";
import { isAdmin, nameOf } from "./names.js";
import * as dialogs from "./dialogs.js";

export function createMembers(app, shell) {
  const list = h("ul.people");
  const more = h("button.wide", { type: "button", hidden: true, onclick: () => load(app.state.rooms[room]?.members?.last) }, "Show more");
  const add = h("button.wide", { type: "button", onclick: () => dialogs.addMember(app, room) }, "Add people");
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const room = app.state.open;
  const element = h("div.panel-body", {}, add, trouble, list, more);

  function load(after) {
    trouble.hidden = true;
    app.readMembers(room, after).catch((refusal) => {
      trouble.textContent = refusal.code === "lost" ? "Waiting for the connection." : refusal.detail;
      trouble.hidden = false;
    });
  }

  function update(state, before) {
    const here = state.rooms[room];
    if (!here || state.open !== room) return;
    const back = state.connection.status === "online" && before.connection.status !== "online";
    if (!here.members && !here.membersAsking && (state === before || back || before.rooms[room]?.members)) load();
    if (state !== before && here.members === before.rooms[room]?.members && state.names === before.names && state.online === before.online && here.role === before.rooms[room]?.role) return;
    add.hidden = here.kind === "direct" || here.archived || !(isAdmin(here.role) || isAdmin(state.me.role));
    more.hidden = !here.members?.more;
    const rank = ({ account, role }) => `${state.online[account] ? 0 : 1}${role === "owner" ? 0 : role === "admin" ? 1 : 2}${nameOf(state.names, account).toLowerCase()}`;
    const sorted = (here.members?.list ?? []).slice().sort((a, b) => rank(a).localeCompare(rank(b)));
    list.replaceChildren(...sorted.map((member) => row(state, here, member)));
    if (!here.members) list.replaceChildren(h("li.hint", {}, "Loading…"));
  }

  function row(state, here, { account, role }) {
    const name = nameOf(state.names, account);
    const me = account === state.me.id;
    const removable = !me && here.kind !== "direct" && role !== "owner" && (isAdmin(here.role) || isAdmin(state.me.role));
    return h("li.person", {},
      h("span.face", {}, avatar(account, name), h(`span.dot${state.online[account] ? ".online" : ""}`)),
      h("span.person-name", {}, name, me && h("span.quiet", {}, " (you)")),
      isAdmin(role) && h("span.tag", {}, role),
      !me && here.kind !== "direct" && h("button.small", { type: "button", onclick: () => dialogs.writeTo(app, shell, account) }, "Write"),
      removable && iconButton("close", `Remove ${name}`, () => dialogs.removeMember(app, here, account, name)));
  }

  return { title: "Members", element, update };
}
