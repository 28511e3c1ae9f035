// The client between server and views: folds frames, carries out what the state wants, and
// offers the actions that views call. Views read `app.state` and call these, nothing else.

import { createConnection } from "./connection.js";
import { createStore } from "./store.js";
import { createIds } from "./ids.js";
import { keepUnsent, readUnsent } from "./storage.js";
import { KEPT_UNSENT, RETRIABLE } from "./state/outbox.js";
import * as api from "./api.js";

const PAGE = 50;
const TYPING_EVERY = 3000;
const READ_EVERY = 700;

/** @param {{account: object, onEnded: (why: string) => void, onTrouble: (text: string) => void}} options */
export function createApp({ account, onEnded, onTrouble }) {
  const newId = createIds(Date.now, Math.random);
  const store = createStore(carryOut, changed);
  const { dispatch } = store;
  const connection = createConnection({
    open: api.socket, random: Math.random, newId,
    clock: { set: (act, ms) => setTimeout(act, ms), clear: (timer) => clearTimeout(timer), now: Date.now },
    accept: (hello) => hello.account?.id === account.id,
    onFrame, onStatus, onEnded,
    onLost: () => dispatch({ type: "disconnected" }),
  });
  const { query, command } = connection;

  // ---- what comes in

  function onFrame(frame) {
    if (frame.type === "refused" && RETRIABLE.has(frame.code) && unsent(frame.id)) return refusedForNow(frame);
    dispatch(frame.type === "typing" ? { ...frame, now: Date.now() } : frame);
  }

  function onStatus(status) {
    dispatch({ type: "connection_changed", ...status });
    if (status.status === "online") askPresence();
  }

  const unsent = (id) => store.state.outbox.find((entry) => entry.id === id);

  /** The entry counts as on its way until it may be sent again. */
  const tries = new Map();
  function refusedForNow(frame) {
    const tried = tries.get(frame.id) ?? 0;
    tries.set(frame.id, tried + 1);
    const wait = frame.retry_after ? frame.retry_after * 1000 : Math.min(15_000, 500 * 2 ** tried);
    setTimeout(() => dispatch(frame), wait * (1 + Math.random() / 4));
  }

  function changed(before, after) {
    if (before.outbox !== after.outbox && after.me) keepUnsent(localStorage, after.me.id, before.outbox, after.outbox);
    if (before.open !== after.open && after.open) presenceOf(after.open);
    if (before.outbox !== after.outbox) returnHomeless(after);
    if (before.typing !== after.typing && Object.keys(after.typing).length) fadeTyping();
  }

  /** A message refused in a room that is gone has no place to be shown in. */
  function returnHomeless({ outbox, rooms, epoch }) {
    if (!epoch) return;
    for (const { id, room, status, text, detail } of outbox) {
      if (status !== "refused" || rooms[room]) continue;
      onTrouble(`Not sent: “${text.slice(0, 200)}”. ${detail ?? ""}`);
      queueMicrotask(() => dispatch({ type: "outbox_discarded", id }));
    }
  }

  let fading = null;
  function fadeTyping() {
    fading ??= setTimeout(() => {
      fading = null;
      dispatch({ type: "ticked", now: Date.now() });
    }, 1000);
  }

  // ---- what the state wants

  function carryOut(want) {
    carriers[want.want](want);
  }

  const carriers = {
    resume({ epoch, rooms }) {
      connection.send({ type: "resume", epoch, rooms });
      dispatch({ type: "resume_sent", rooms: Object.keys(rooms) });
    },
    page({ room, kind, at }) {
      const ask = { id: newId(), kind, at };
      dispatch({ type: "page_asked", room, ask });
      const where = kind === "latest" ? {} : { [kind]: at };
      query("list_messages", { room, limit: PAGE, ...where }).then(
        (answer) => dispatch({ type: "page_read", room, ask: ask.id, ...answer }),
        afterAWhile({ type: "page_failed", room, ask: ask.id }),
      );
    },
    room({ room }) {
      dispatch({ type: "room_asked", room });
      query("room", { room }).then(
        (entry) => dispatch(entry.role ? { type: "room_learned", entry } : { type: "room_unknown", room }),
        ({ code }) => { if (code !== "lost") dispatch({ type: "room_unknown", room }); },
      );
    },
    names({ accounts }) {
      dispatch({ type: "names_asked", accounts });
      query("list_accounts", { accounts }).then(
        (answer) => dispatch({ type: "names_learned", accounts: answer.accounts, asked: accounts }),
        afterAWhile({ type: "names_failed", accounts }),
      );
    },
    send({ entry: { id, room, text, reply_to } }) {
      connection.send({ type: "send_message", id, room, text, ...(reply_to && { reply_to }) });
      dispatch({ type: "outbox_sent", id });
    },
    read({ room, message }) {
      dispatch({ type: "read_marked", room, message });
      markRead(room, message);
    },
  };

  const afterAWhile = (event) => ({ code }) => {
    if (code !== "lost") setTimeout(() => dispatch(event), 3000);
  };

  /** The first mark is told at once; of those in a short time after it only the last. */
  const marks = new Map();
  let marking = null;
  function markRead(room, message) {
    marks.set(room, message);
    if (!marking) tellMarks();
  }

  function tellMarks() {
    for (const [room, message] of marks) command("mark_read", { room, message }).catch(ignore);
    marking = marks.size ? setTimeout(tellMarks, READ_EVERY) : null;
    marks.clear();
  }

  async function presenceOf(room) {
    const { online } = await query("who_is_online", { room }).catch(() => ({}));
    if (online) dispatch({ type: "presence", room, online });
  }

  function askPresence() {
    const { rooms, open } = store.state;
    const direct = Object.values(rooms).filter((room) => room.kind === "direct").slice(0, 30);
    for (const room of new Set([...direct.map((each) => each.id), open])) if (room && rooms[room]) presenceOf(room);
  }

  // ---- what people do

  const told = new Map();
  function tellTyping(room) {
    const now = Date.now();
    if (now - (told.get(room) ?? 0) < TYPING_EVERY) return;
    told.set(room, now);
    connection.send({ type: "typing", room });
  }

  function send(room, text, reply_to) {
    if (store.state.outbox.length >= KEPT_UNSENT) return false;
    dispatch({ type: "message_written", id: newId(), room, text, reply_to, at: new Date().toISOString() });
    if (!store.state.rooms[room]?.timeline?.atEnd) dispatch({ type: "page_forgotten", room });
    told.delete(room);
    return true;
  }

  function readMore(room, kind) {
    const { timeline, asking, resuming } = store.state.rooms[room] ?? {};
    if (!timeline || asking || resuming || store.state.connection.status !== "online") return;
    if (kind === "before" ? timeline.complete : timeline.atEnd) return;
    const edge = kind === "before" ? timeline.messages[0] : timeline.messages.at(-1);
    carriers.page({ room, kind: edge ? kind : "latest", at: edge?.seq });
  }

  async function readMembers(room, after) {
    dispatch({ type: "members_asked", room });
    const answer = await query("list_members", { room, limit: 100, ...(after && { after }) });
    dispatch({ type: "members_read", room, after, ...answer });
  }

  async function accounts(text) {
    const answer = await query("list_accounts", text ? { text } : {});
    dispatch({ type: "names_learned", accounts: answer.accounts });
    return answer.accounts;
  }

  /** For buttons without a place of their own for an error. */
  const attempt = (type, fields) => command(type, fields).catch((refusal) => {
    if (refusal.code !== "lost") onTrouble(refusal.detail ?? refusal.code);
  });

  function wake() {
    const visible = document.visibilityState === "visible";
    dispatch({ type: "visibility_changed", visible });
    if (visible) connection.check();
  }
  const changedNetwork = () => connection.check();

  return {
    get state() { return store.state; },
    show: store.show, dispatch, query, command, attempt,
    send, tellTyping, readMore, readMembers, accounts,
    openRoom: (room, target) => dispatch({ type: "room_opened", room, target }),
    closeRoom: () => dispatch({ type: "room_closed" }),
    toLatest: (room) => dispatch({ type: "page_forgotten", room }),
    reconnect: () => connection.check(),
    /** Nothing of this account stays on this device. */
    forgetUnsent: () => keepUnsent(localStorage, account.id, store.state.outbox, []),
    start() {
      document.addEventListener("visibilitychange", wake);
      addEventListener("online", changedNetwork);
      addEventListener("offline", changedNetwork);
      dispatch({ type: "visibility_changed", visible: document.visibilityState === "visible" });
      dispatch({ type: "outbox_loaded", entries: readUnsent(localStorage, account.id) });
      connection.start();
    },
    stop() {
      document.removeEventListener("visibilitychange", wake);
      removeEventListener("online", changedNetwork);
      removeEventListener("offline", changedNetwork);
      connection.stop();
    },
  };
}

const ignore = () => {};
