// Before the chat: setting up the first account, an invitation, logging in. One form each.

import * as api from "../api.js";
import { h } from "../dom.js";

const logo = () => h("img.logo", { src: "/web/icon.svg", alt: "", width: 44, height: 44 });

const card = (...children) => h("main.entry", {}, h("div.entry-card", {}, logo(), ...children));

const screens = {
  setup: {
    title: "Set up chat",
    lead: "Nobody is here yet. The first account owns this server and can invite the others.",
    button: "Create account", fresh: true,
  },
  invited: {
    title: "You are invited",
    lead: "Choose a name and a password to join.",
    button: "Create account", fresh: true,
  },
  open: {
    title: "Create an account",
    lead: "Choose a name and a password to join.",
    button: "Create account", fresh: true,
  },
  login: { title: "Log in", lead: null, button: "Log in", fresh: false },
};

const CLOSED = "Registration is closed.";

function screen(here) {
  const { setup, link, invitation, registration } = here;
  if (setup && link && !invitation) return needsLink();
  if (!setup && invitation && registration === "closed") return form({ ...here, notice: here.notice ?? CLOSED }, "login");
  return form(here, setup ? "setup" : invitation ? "invited" : "login");
}

const needsLink = () => card(
  h("h1", {}, "Set up chat"),
  h("p.lead", {}, "This server has no owner yet. It wrote a one-time set-up link to its log when it started: open that link to create the first account."),
);

const unreachable = () => card(
  h("h1", {}, "The server does not answer"),
  h("p.lead", { role: "status" }, "Trying again every few seconds."),
);

function form(here, kind) {
  const { title, lead, button, fresh } = screens[kind];
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const name = field("Name", { name: "name", autocomplete: "username", maxLength: 32, required: true, spellcheck: false, attrs: { autocapitalize: "none" } },
    fresh && "Letters, digits, _ . and -");
  const password = field("Password", { name: "password", type: "password", required: true, autocomplete: fresh ? "new-password" : "current-password" },
    fresh && "At least 8 characters.");
  const submit = h("button.primary.wide", { type: "submit" }, button);
  const element = h("form.stack", { noValidate: true, onsubmit }, name.element, password.element, trouble, submit);

  async function onsubmit(event) {
    event.preventDefault();
    const empty = [name, password].find(({ input }) => !input.value);
    if (empty) return complain(`Enter a ${empty.input.name}.`, empty.input);
    if (fresh && !/^[\p{L}\p{N}_.-]+$/u.test(name.input.value.trim())) return complain("A name has only letters, digits, and _ . - in it.", name.input);
    if (fresh && password.input.value.length < 8) return complain("The password needs at least 8 characters.", password.input);
    submit.disabled = true;
    try {
      await enter({ name: name.input.value.trim(), password: password.input.value });
    } catch (refusal) {
      const input = { name, password }[refusal.field]?.input ?? (refusal.code === "wrong_credentials" ? password.input : null);
      complain(words(refusal, kind), input);
      submit.disabled = false;
      return;
    }
    if (location.hash) history.replaceState(null, "", "/");
    here.onDone();
  }

  async function enter(who) {
    if (fresh) await api.register({ ...who, ...(here.invitation && { invite: here.invitation }) });
    else await api.logIn(who);
  }

  function complain(text, input) {
    trouble.textContent = text;
    trouble.hidden = false;
    (input ?? name.input).focus();
  }

  const page = card(
    h("h1", {}, title),
    here.notice && h("p.notice", { role: "status" }, here.notice),
    lead && h("p.lead", {}, lead),
    element, elsewhere(here, kind),
  );
  queueMicrotask(() => name.input.focus());
  return page;
}

function field(label, properties, hint) {
  const input = h("input", { type: "text", ...properties });
  const help = hint && h("small", { id: `${properties.name}-hint` }, hint);
  if (help) input.setAttribute("aria-describedby", help.id);
  return { input, element: h("div.field", {}, h("label", {}, h("span", {}, label), input), help) };
}

/** The way to the other form, where there is one. */
function elsewhere(here, kind) {
  const to = (next, text) => h("button.link", {
    type: "button", onclick: (event) => event.target.closest("main").replaceWith(form({ ...here, notice: null }, next)),
  }, text);
  if (kind === "login" && here.registration === "open") return h("p.aside", {}, "New here? ", to("open", "Register"));
  if (kind === "login" && here.registration === "closed") return here.notice !== CLOSED && h("p.aside", {}, CLOSED);
  if (kind === "login") return h("p.aside", {}, "New here? Ask someone who is in for an invitation link.");
  if (kind === "setup") return null;
  return h("p.aside", {}, "Here before? ", to("login", "Use your account"));
}

const words = (refusal, kind) => ({
  wrong_credentials: "That name and password do not belong together.",
  name_taken: "That name is taken. Choose another.",
  used_up: "This invitation has been used up. Ask for a new one.",
  not_found: kind === "login" ? null : "This invitation is not valid any more. Ask for a new one.",
  closed: "Nobody can register here at the moment.",
  too_fast: "Too many tries. Wait a moment, then try again.",
}[refusal.code] ?? refusal.message);

export const entry = { screen, unreachable };
