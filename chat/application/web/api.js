// The few things that are asked over HTTP: who am I here, and what makes or ends a session.
// The session itself is a cookie that scripts cannot read.

/** A refusal of the server, or `unreachable`. */
export class Refused extends Error {
  constructor({ code = "unreachable", detail = "The server cannot be reached.", field, retry_after } = {}) {
    super(detail);
    Object.assign(this, { code, detail, field, retryAfter: retry_after });
  }
}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refused();
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused({ code: "internal", detail: `The server answered ${response.status}.`, ...body });
  return body;
}

const post = (command, fields) => answer(fetch(`/api/${command}`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(fields),
}));

/** @returns {Promise<{setup, link, registration, account?}>} */
export const welcome = () => answer(fetch("/api/welcome", { cache: "no-store" }));
export const register = (fields) => post("register", fields);
export const logIn = (fields) => post("log_in", fields);
export const logOut = () => post("log_out", {});

/** The WebSocket of the page's own server. */
export const socket = () => new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
