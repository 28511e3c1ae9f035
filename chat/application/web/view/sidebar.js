// The rooms I am in, with what is unread, and the ways to more: search, new, browse, people.

import { h, icon, iconButton, avatar, arrange } from "../dom.js";
import { withMenu } from "./menu.js";
import { isAdmin, titleOf } from "./names.js";
import * as dialogs from "./dialogs.js";

export function createSidebar(app, shell) {
  const search = h("input", { type: "search", name: "search", maxLength: 80, placeholder: "Search", autocomplete: "off", aria: { label: "Search" } });
  const form = h("form.search", { role: "search", onsubmit: (event) => { event.preventDefault(); ask(); } }, icon("search"), search);
  const rooms = h("ul.room-list");
  const direct = h("ul.room-list");
  const noRooms = h("p.hint", {}, "No rooms yet. Start one with +, or look around with the compass.");
  const noDirect = h("p.hint", {}, "Write to one person: choose someone with +.");
  const me = h("div.me");
  const items = () => [
    ...(isAdmin(app.state.me?.role) ? [{ label: "Invite people", act: () => dialogs.invite(app) }] : []),
    { label: "Change password", act: () => dialogs.changePassword(app) },
    { label: "Log out", act: shell.onLogOut },
  ];
  const account = withMenu(iconButton("more", "Account", null), items);
  account.classList.add("account-menu");

  const element = h("div.sidebar", {},
    h("div.sidebar-head", {}, form),
    h("nav.rooms", { aria: { label: "Rooms" } },
      section("Rooms", iconButton("compass", "Browse rooms", () => dialogs.browse(app, shell)), iconButton("plus", "New room", () => dialogs.newRoom(app, shell))),
      noRooms, rooms,
      section("People", iconButton("plus", "Write to someone", () => dialogs.people(app, shell))),
      noDirect, direct),
    h("div.sidebar-foot", {}, me, account));

  let timer = null;
  const ask = () => {
    clearTimeout(timer);
    const text = search.value.trim();
    if (text) shell.openPanel("search", { text });
    else if (shell.panelKind() === "search") shell.closePanel();
  };
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 350); });

  const cache = new Map();
  function entryOf(state, room) {
    const kept = cache.get(room.id);
    const title = titleOf(state, room);
    const open = state.open === room.id;
    const online = Boolean(room.with && state.online[room.with]);
    const deps = [title, room.unread, room.mentions, open, online, room.archived];
    if (kept && deps.every((value, i) => value === kept.deps[i])) return kept.node;
    const node = kept?.node ?? h("li", {}, h("button.room-entry", { type: "button", onclick: () => shell.go(room.id), data: { room: room.id } }));
    const button = node.firstChild;
    button.replaceChildren(...faceOf(room, title, online), ...badge(room));
    button.toggleAttribute("aria-current", open);
    if (open) button.setAttribute("aria-current", "page");
    button.classList.toggle("has-unread", room.unread > 0);
    button.classList.toggle("archived", room.archived);
    cache.set(room.id, { node, deps });
    return node;
  }

  function update(state, before) {
    if (state.rooms !== before.rooms || state.open !== before.open || state.names !== before.names || state.online !== before.online) list(state);
    if (state.me !== before.me && state.me) {
      me.replaceChildren(h("span.face", {}, avatar(state.me.id, state.me.name), h("span.dot")), h("span.me-name", {}, state.me.name));
    }
  }

  function list(state) {
    const all = Object.values(state.rooms);
    const byTitle = (a, b) => a.archived - b.archived || titleOf(state, a).localeCompare(titleOf(state, b));
    const shared = all.filter((room) => room.kind !== "direct").sort(byTitle);
    const pairs = all.filter((room) => room.kind === "direct").sort(byTitle);
    arrange(rooms, shared.map((room) => entryOf(state, room)));
    arrange(direct, pairs.map((room) => entryOf(state, room)));
    noRooms.hidden = !state.me || shared.length > 0;
    noDirect.hidden = !state.me || pairs.length > 0;
    for (const id of cache.keys()) if (!state.rooms[id]) cache.delete(id);
  }

  return { element, update, clearSearch: () => { search.value = ""; }, focusSearch: () => { search.focus(); search.select(); } };
}

const section = (title, ...buttons) => h("div.section-head", {}, h("h2", {}, title), h("div.section-tools", {}, ...buttons));

function faceOf(room, title, online) {
  if (room.kind !== "direct") {
    return [h("span.sigil", { aria: { hidden: "true" } }, room.kind === "private" ? icon("lock") : "#"), h("span.title", {}, title)];
  }
  const dot = h(`span.dot${online ? ".online" : ""}`, online ? { title: "Online" } : {});
  return [h("span.face", {}, avatar(room.with ?? room.id, title), dot), h("span.title", {}, title)];
}

function badge({ unread, mentions, kind }) {
  if (!unread) return [];
  const loud = mentions > 0 || kind === "direct";
  return [h(`span.unread${loud ? ".loud" : ""}`, {}, unread > 99 ? "99+" : String(unread)), h("span.hidden-text", {}, " unread")];
}
