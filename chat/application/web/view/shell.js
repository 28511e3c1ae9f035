// The frame of the chat: rooms at the left, the room in the middle, a panel at the right.
// The address says which room is open (#room/<id>), so the browser's Back works; on a narrow
// screen one of the three is shown at a time.

import { h, iconButton } from "../dom.js";
import { createSidebar } from "./sidebar.js";
import { createRoom } from "./room.js";
import { createMembers } from "./members.js";
import { createSearch } from "./search.js";
import { titleOf } from "./names.js";

export function createShell(app, { onLogOut }) {
  const connection = h("div", { id: "connection", role: "status", data: { state: "connecting" } });
  const panel = h("aside.panel", { hidden: true });
  let shown = null;
  let counting = null;
  const shell = { go, openPanel, closePanel, togglePanel, onLogOut, panelKind: () => shown?.kind };

  const sidebar = createSidebar(app, shell);
  const room = createRoom(app, shell);
  const panels = { members: createMembers, search: createSearch };
  const element = h("div.shell", { data: { pane: "rooms" } },
    connection, sidebar.element, room.element, panel);

  // ---- where one is

  function go(id, target = null) {
    if (target) app.openRoom(id, target);
    if (roomOf(location.hash) !== id) location.hash = id ? `room/${id}` : "";
    else follow();
  }

  const roomOf = (hash) => {
    const found = /^#room\/(.+)$/.exec(hash);
    return found ? found[1] : null;
  };

  function follow() {
    const id = roomOf(location.hash);
    element.dataset.pane = id ? "room" : "rooms";
    if (id === app.state.open) return;
    if (shown?.kind === "members") closePanel();
    if (id) app.openRoom(id);
    else app.closeRoom();
  }

  // ---- the panel

  function openPanel(kind, options) {
    closePanel();
    const view = panels[kind](app, shell, options);
    shown = { kind, view, from: document.activeElement };
    panel.setAttribute("aria-label", view.title);
    panel.replaceChildren(
      h("header.panel-head", {}, h("h2", {}, view.title), iconButton("close", "Close", () => closePanel(true))),
      view.element);
    panel.hidden = false;
    element.dataset.panel = kind;
    view.update(app.state, app.state);
    return view;
  }

  function closePanel(back = false) {
    if (!shown) return;
    const { from, kind } = shown;
    shown = null;
    if (back && kind === "search") sidebar.clearSearch();
    panel.hidden = true;
    panel.replaceChildren();
    delete element.dataset.panel;
    if (back) from?.focus?.();
  }

  function togglePanel(kind) {
    if (shown?.kind === kind) closePanel(true);
    else openPanel(kind);
  }

  // ---- each frame

  function update(state, before) {
    if (before.open && !state.open && roomOf(location.hash) === before.open) go(null);
    sidebar.update(state, before);
    room.update(state, before);
    shown?.view.update(state, before);
    if (state.connection !== before.connection) showConnection(state.connection);
    if (state.rooms !== before.rooms || state.open !== before.open || state.names !== before.names) document.title = pageTitle(state);
  }

  function showConnection({ status, retryAt }) {
    clearInterval(counting);
    connection.dataset.state = status;
    element.dataset.connection = status;
    if (status !== "offline") return connection.replaceChildren(status === "online" ? "Connected" : "Connecting…");
    const text = h("span");
    const tell = () => {
      const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
      text.textContent = seconds > 1 ? `Offline. Reconnecting in ${seconds} s` : "Offline. Reconnecting…";
    };
    tell();
    counting = setInterval(tell, 500);
    connection.replaceChildren(text, h("button.link", { type: "button", onclick: app.reconnect }, "Try now"));
  }

  function pageTitle(state) {
    const unread = Object.values(state.rooms).reduce((sum, each) => sum + (each.kind === "direct" ? each.unread : each.mentions), 0);
    const here = state.rooms[state.open];
    return `${unread ? `(${unread}) ` : ""}${here ? `${titleOf(state, here)} · chat` : "chat"}`;
  }

  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && shown && !event.defaultPrevented) closePanel(true);
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      sidebar.focusSearch();
    }
  });
  const onhash = () => { if (element.isConnected) follow(); else removeEventListener("hashchange", onhash); };
  addEventListener("hashchange", onhash);
  app.show(update);
  follow();
  return { element };
}
