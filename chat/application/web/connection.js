// The WebSocket's life: connect, hello, alive or not, reconnect. It knows no rooms.
//
// - A connection counts once hello came, was accepted and was told: nothing is sent or heard
//   on it before. A hello that is not accepted ends everything; nothing was sent on it.
// - What was asked before a connection ended is settled: queries fail with code "lost";
//   commands are sent again, with the same id, on the next one.
// - Having sent something and heard nothing for 15 s we ping; 5 s later the socket is dead,
//   whatever it says. So also after sleep and when the page is shown again (`check`).
// - We come back after 0.5 s, 1 s, 2 s … 15 s, each shortened by up to half at random; the
//   server's close code may say otherwise (see `pause`).
//
// The socket, the clock, chance and ids are handed in.

import { RETRIABLE } from "./state/outbox.js";

const HELLO = 15_000;
const SILENCE = 15_000;
const PONG = 5_000;
const IDLE = 45_000;
const FIRST = 500;
const LONGEST = 15_000;
const TRIES = 6;

/**
 * @param {object} world
 * @param {() => WebSocket} world.open
 * @param {{set: Function, clear: Function, now: () => number}} world.clock timers in milliseconds
 * @param {() => number} world.random
 * @param {() => string} world.newId
 * @param {(hello: object) => boolean} world.accept whether this is who we speak for
 * @param {(frame: object) => void} world.onFrame every frame of the server, in order, hello first
 * @param {(status: {status: string, retryAt?: number}) => void} world.onStatus
 * @param {() => void} world.onLost the connection ended, and the status says so: answers to what was sent are unknown
 * @param {(why: "ended"|"changed") => void} world.onEnded the session ended, or is another's
 */
export function createConnection({ open, clock, random, newId, accept, onFrame, onStatus, onLost, onEnded }) {
  let socket = null;
  let online = false;
  let stopped = true;
  let attempts = 0;
  let timers = {};
  const waiting = new Map();    // id -> {frame, resolve, reject, again, tries}

  const start = (name, milliseconds, act) => {
    clear(name);
    timers[name] = clock.set(() => { delete timers[name]; act(); }, milliseconds);
  };
  const clear = (name) => {
    if (name in timers) clock.clear(timers[name]);
    delete timers[name];
  };
  const clearAll = () => Object.keys(timers).forEach(clear);

  function connect() {
    clearAll();
    onStatus({ status: "connecting" });
    let mine;
    try {
      mine = open();
    } catch {
      return later(pause(0, "", attempts++, random));
    }
    socket = mine;
    mine.onmessage = (message) => { if (socket === mine) heard(message.data); };
    mine.onclose = ({ code, reason }) => { if (socket === mine) gone(code, reason); };
    start("hello", HELLO, () => drop());
  }

  function heard(data) {
    clear("silence");
    clear("pong");
    start("idle", IDLE, ping);
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (frame?.type === "hello") greeted(frame);
    else if (online) {
      if (frame?.type !== "pong") onFrame(frame);
      settle(frame);
    }
  }

  /** Whose connection it is comes first, then what hello tells; only then is anything sent. */
  function greeted(frame) {
    if (!accept(frame)) {
      stop();
      return onEnded("changed");
    }
    onFrame(frame);
    if (stopped) return;
    clear("hello");
    start("steady", 5_000, () => { attempts = 0; });
    const again = [...waiting.values()];    // not what is asked because we are online
    online = true;
    onStatus({ status: "online" });
    for (const each of again) put(each.frame);
  }

  function settle(frame) {
    const asked = waiting.get(frame?.id);
    if (!asked) return;
    if (frame.type === "refused" && RETRIABLE.has(frame.code) && asked.tries < TRIES) return askAgain(asked, frame);
    waiting.delete(frame.id);
    if (frame.type === "refused") asked.reject(frame);
    else asked.resolve(frame.type === "answer" ? frame.answer : frame);
  }

  function askAgain(asked, { id, retry_after }) {
    const wait = retry_after ? retry_after * 1000 : backOff(asked.tries, random);
    asked.tries += 1;
    clock.set(() => { if (waiting.get(id) === asked) put(asked.frame); }, wait);
  }

  /** Gives up on the socket without waiting for its close, which may never come. */
  function drop() {
    const dead = socket;
    gone(1006, "");
    dead?.close();
  }

  function gone(code, reason) {
    socket = null;
    clearAll();
    const was = online;
    online = false;
    for (const [id, asked] of waiting) {
      if (asked.again) continue;
      waiting.delete(id);
      asked.reject({ code: "lost", detail: "The connection was lost." });
    }
    const ended = code === 4401;
    if (ended) onStatus({ status: "offline", retryAt: clock.now() });
    else later(pause(code, reason, attempts++, random));
    if (was) onLost();      // after the status, or what is wanted then would be asked of a dead connection
    if (stopped || !ended) return;
    stop();
    onEnded("ended");
  }

  function later(wait) {
    onStatus({ status: "offline", retryAt: clock.now() + wait });
    start("retry", wait, connect);
  }

  function put(frame) {
    if (!socket || !online) return false;
    socket.send(JSON.stringify(frame));
    if (!("silence" in timers) && !("pong" in timers)) start("silence", SILENCE, ping);
    return true;
  }

  function ping() {
    if (!put({ type: "ping" })) return;
    clear("silence");
    start("pong", PONG, drop);
  }

  function ask(frame, again) {
    return new Promise((resolve, reject) => {
      if (!online && !again) return reject({ code: "lost", detail: "There is no connection." });
      waiting.set(frame.id, { frame, resolve, reject, again, tries: 0 });
      put(frame);
    });
  }

  function stop() {
    stopped = true;
    clearAll();
    const last = socket;
    socket = null;
    online = false;
    last?.close();
    for (const asked of waiting.values()) asked.reject({ code: "lost", detail: "Logged out." });
    waiting.clear();
  }

  return {
    start() { stopped = false; attempts = 0; connect(); },
    stop,
    /** Sends a frame that nobody waits for. @returns whether there is a connection */
    send: put,
    /** @returns {Promise<object>} the answer; rejects with a refusal {code, detail} */
    query: (type, fields = {}) => ask({ type, id: newId(), ...fields }, false),
    /** @returns {Promise<object>} the acknowledgement, asked for with one id until it comes */
    command: (type, fields = {}) => ask({ type, id: newId(), ...fields }, true),
    /** Back from sleep, in view again or on a new network: is the connection alive? */
    check() {
      if (stopped) return;
      if (online) ping();
      else if (!socket) connect();
    },
  };
}

const backOff = (attempt, random) => Math.min(LONGEST, FIRST * 2 ** attempt) * (1 - random() / 2);

/** How long to wait after a close, in milliseconds. */
export function pause(code, reason, attempt, random) {
  if (code === 4008 && attempt < 3) return 0;
  const hinted = Math.min(Number.parseInt(reason, 10), 60_000);
  if (code === 1012 && hinted >= 0) return hinted;
  if (code === 4429) return hinted >= 0 ? Math.max(hinted, backOff(attempt, random)) : 30_000 + random() * 30_000;
  return backOff(attempt, random);
}
