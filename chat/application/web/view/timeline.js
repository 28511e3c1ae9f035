// The messages of the open room. The end stays in view only if it was in view; whatever is
// added or taken above keeps the message one reads where it is. Near either edge of what is
// loaded, more is read.

import { h, icon, arrange } from "../dom.js";
import { dayKey, dayOf } from "../times.js";
import { messageOf } from "../state/timeline.js";
import { shown } from "../state/outbox.js";
import { messageView, pendingView } from "./message.js";
import { createActions } from "./actions.js";
import { editor } from "./editor.js";
import { confirm } from "./dialogs.js";
import { beginning } from "./beginning.js";
import { titleOf } from "./names.js";

const NEAR = 600;            // pixels from the edge at which more is read
const GROUP = 5 * 60_000;    // one author's messages within this belong together

export function createTimeline(app, { reply, back }) {
  const list = h("div.messages", { role: "log", aria: { label: "Conversation", live: "off" } });
  const jump = h("button.jump", { type: "button", hidden: true, onclick: toEnd });
  const scroller = h("div.scroller", {}, list);
  const element = h("div.timeline", {}, scroller, jump);
  let articles = new Map();    // key -> {node, deps}
  let room = null;             // the room as drawn
  let editing = null;          // seq
  let seen = 0;                // the last message that was in view at the end
  let focusable = null;

  const act = {
    jump: (seq) => app.openRoom(app.state.open, seq),
    reply,
    react: (message, emoji) => {
      const mine = message.reactions?.[emoji]?.includes(app.state.me.id);
      app.attempt(mine ? "remove_reaction" : "add_reaction", { room: app.state.open, message: message.seq, emoji });
    },
    edit: (message) => { editing = message.seq; redraw(); },
    remove: (message) => confirm("Delete this message?", "It will be gone for everyone.", "Delete message",
      () => app.attempt("delete_message", { room: app.state.open, message: message.seq })),
    retry: (id) => app.dispatch({ type: "outbox_retried", id }),
    discard: (id) => app.dispatch({ type: "outbox_discarded", id }),
  };
  const actions = createActions(app, act);

  // ---- drawing

  function update(state, before) {
    const next = state.rooms[state.open] ?? null;
    const same = ["names", "outbox", "open", "me", "connection", "target"].every((part) => state[part] === before[part]);
    if (!same || next !== room) draw(state, next);
  }

  const redraw = () => draw(app.state, app.state.rooms[app.state.open] ?? null);

  function draw(state, next) {
    const entered = next?.id !== room?.id || !room?.timeline;
    const stick = entered || (state.bottom && room.timeline.atEnd);
    if (next?.id !== room?.id) {
      articles = new Map();
      editing = null;
      seen = 0;
    }
    room = next;
    if (!room) return list.replaceChildren();
    const kept = stick ? null : anchor();
    const focus = list.contains(document.activeElement) ? remember(document.activeElement) : null;
    list.setAttribute("aria-live", !entered && news() ? "polite" : "off");
    arrange(list, room.timeline ? nodes(state) : [h("p.loading", {}, state.connection.status === "online" ? "Loading…" : "Waiting for the connection…")]);
    restore(focus);
    if (stick) scroller.scrollTop = scroller.scrollHeight;
    else keep(kept);
    if (state.target) reach(state.target);
    mark(state);
    readMore();
  }

  /** Whether someone said something since the last drawing: only that is read aloud. */
  function news() {
    const last = room.timeline?.atEnd && room.timeline.messages.at(-1);
    return last && last.author !== app.state.me.id && !articles.has(last.seq);
  }

  function nodes(state) {
    const { timeline, marker } = room;
    const drawn = new Map();
    const empty = !timeline.messages.length && !room.archived;
    const top = timeline.complete ? `beginning ${titleOf(state, room)} ${empty}` : "earlier";
    const result = [once(drawn, top, () => (timeline.complete ? beginning(state, room, empty) : h("p.loading", {}, "Earlier messages…")))];
    let last = null;
    let isNew = false;
    const place = (key, deps, message, make) => {
      const known = articles.get(key);
      const node = known && deps.every((value, i) => value === known.deps[i]) ? known.node : make();
      drawn.set(key, { node, deps });
      if (!last || dayKey(last.at) !== dayKey(message.at)) result.push(once(drawn, `day ${dayKey(message.at)}`, () => h("h3.day", {}, h("span", {}, dayOf(message.at)))));
      if (!isNew && marker !== null && message.seq > marker && message.author !== state.me.id) {
        isNew = true;
        result.push(once(drawn, "new", () => h("div.new-line", {}, h("span", {}, "New"))));
      }
      result.push(node);
      last = message;
    };
    for (const message of timeline.messages) {
      const quoted = message.reply_to ? messageOf(timeline, message.reply_to) : undefined;
      const first = !follows(last, message) || (last.seq <= marker && message.seq > marker);
      if (editing === message.seq && !message.deleted) {
        place(`edit ${message.seq}`, [], message, () => editor(message, app, () => { editing = null; redraw(); }));
      } else {
        place(message.seq, [message, first, quoted, state.names, state.me], message, () => messageView(message, { state, first, quoted, act }));
      }
    }
    if (timeline.atEnd) for (const entry of shown(state.outbox, room.id)) {
      const message = { ...entry, author: state.me.id };
      const quoted = entry.reply_to ? messageOf(timeline, entry.reply_to) : undefined;
      const first = !follows(last, message);
      place(entry.id, [entry.status, first, quoted, state.names, state.connection.status], message, () => pendingView(entry, { state, first, quoted, act }));
    }
    articles = drawn;
    return result;
  }

  const once = (drawn, key, make) => {
    const kept = articles.get(key) ?? { node: make(), deps: [] };
    drawn.set(key, kept);
    return kept.node;
  };

  const follows = (last, message) => last && last.author === message.author && !message.reply_to
    && dayKey(last.at) === dayKey(message.at) && new Date(message.at) - new Date(last.at) < GROUP;

  // ---- focus and the bar of actions

  const remember = (node) => {
    const article = node.closest("article");
    return { key: article?.dataset.seq, label: node.getAttribute("aria-label"), emoji: node.dataset?.emoji, itself: node === article, node };
  };

  function restore(focus) {
    const article = focus?.key && list.querySelector(`[data-seq="${focus.key}"]`);
    if (hot?.isConnected === false) touch(list.querySelector(`[data-seq="${hot.dataset.seq}"]`));
    if (!article || document.activeElement === focus.node) return;
    if (focus.emoji) (article.querySelector(`[data-emoji="${focus.emoji}"]`) ?? article).focus();
    else if (focus.itself) article.focus();
    else if (focus.node.isConnected) focus.node.focus();
  }

  let hot = null;
  function touch(article) {
    hot = article;
    const message = article?.dataset.seq && messageOf(room?.timeline, Number(article.dataset.seq));
    actions.show(article, message);
  }
  const articleAt = (node) => (list.contains(node) ? node.closest?.("article[data-seq]:not(.editing)") : null);
  list.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse" && !actions.open) touch(articleAt(event.target)); });
  list.addEventListener("pointerleave", () => { if (!actions.open && !articleAt(document.activeElement)) touch(null); });
  list.addEventListener("focusin", (event) => {
    const article = articleAt(event.target);
    if (article) {
      if (focusable && focusable !== article) focusable.tabIndex = -1;
      focusable = article;
      article.tabIndex = 0;
    }
    touch(article);
  });
  list.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && !editing) back();
    const step = { ArrowUp: "previous", ArrowDown: "next" }[event.key];
    if (!step || !event.target.matches?.("article")) return;
    let next = event.target;
    do next = next[`${step}ElementSibling`]; while (next && !next.matches("article"));
    next?.focus();
    event.preventDefault();
  });

  // ---- scrolling

  const atBottom = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 48;

  function anchor() {
    const top = scroller.getBoundingClientRect().top;
    const node = [...list.querySelectorAll("article[data-seq]")].find((each) => each.getBoundingClientRect().bottom > top);
    return node && { seq: node.dataset.seq, top: node.getBoundingClientRect().top };
  }

  function keep(kept) {
    const node = kept && list.querySelector(`[data-seq="${kept.seq}"]`);
    if (node) scroller.scrollTop += node.getBoundingClientRect().top - kept.top;
  }

  function reach(target) {
    const node = list.querySelector(`[data-seq="${target}"]`);
    if (!node) return;
    node.scrollIntoView({ block: "center" });
    node.classList.remove("flash");
    node.getBoundingClientRect();
    node.classList.add("flash");
    node.focus({ preventScroll: true });
    app.dispatch({ type: "scrolled", bottom: atBottom() });
    app.dispatch({ type: "target_reached" });
  }

  function toEnd() {
    if (!room?.timeline?.atEnd) return app.toLatest(room.id);
    scroller.scrollTo({ top: scroller.scrollHeight, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  function mark(state) {
    const { timeline } = room;
    const last = timeline?.messages.at(-1)?.seq ?? 0;
    const away = timeline && !(state.bottom && timeline.atEnd);
    if (!away) seen = last;
    const count = !away ? 0 : timeline.atEnd ? timeline.messages.filter((each) => each.seq > seen && each.author !== state.me.id).length : room.unread;
    jump.hidden = !away;
    jump.replaceChildren(count ? `${count} new` : "Latest", icon("down"));
    if (!focusable?.isConnected || !list.contains(document.activeElement)) {
      if (focusable) focusable.tabIndex = -1;
      focusable = list.querySelector("article:last-of-type");
      if (focusable) focusable.tabIndex = 0;
    }
  }

  function readMore() {
    if (!room?.timeline || editing) return;
    if (scroller.scrollTop < NEAR) app.readMore(room.id, "before");
    else if (scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR) app.readMore(room.id, "after");
  }

  scroller.addEventListener("scroll", () => {
    const bottom = atBottom();
    if (bottom !== app.state.bottom) {
      app.dispatch({ type: "scrolled", bottom });
      if (room) mark(app.state);
    }
    readMore();
  }, { passive: true });

  new ResizeObserver(() => {
    if (room?.timeline?.atEnd && app.state.bottom) scroller.scrollTop = scroller.scrollHeight;
  }).observe(scroller);

  function editLast() {
    const mine = room?.timeline?.messages.findLast((each) => each.author === app.state.me.id && !each.deleted);
    if (mine) act.edit(mine);
    return Boolean(mine);
  }

  return { element, update, editLast };
}
