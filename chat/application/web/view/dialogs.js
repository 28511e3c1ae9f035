// Short conversations in a box: one field or one choice each. An error stays in the box.

import { h, icon, iconButton, avatar } from "../dom.js";

// ---- the box

function open(title, ...children) {
  const from = document.activeElement;
  const heading = h("h2", { id: "dialog-title" }, title);
  const box = h("dialog", { aria: { labelledby: heading.id }, onclose: () => { box.remove(); from?.isConnected && from.focus(); } },
    h("header.dialog-head", {}, heading, iconButton("close", "Close", () => box.close())), ...children);
  box.addEventListener("pointerdown", (event) => { if (event.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

/** A form whose answer closes the box, or is refused beneath the fields. */
function ask(title, fields, button, act) {
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const submit = h("button.primary", { type: "submit" }, button);
  const form = h("form.stack", {
    noValidate: true,
    async onsubmit(event) {
      event.preventDefault();
      submit.disabled = true;
      try {
        await act(Object.fromEntries(new FormData(form)));
        box.close();
      } catch (refusal) {
        trouble.textContent = refusal.detail ?? refusal.message;
        trouble.hidden = false;
      }
      submit.disabled = false;
    },
  }, ...fields, trouble, h("div.row.end", {}, h("button", { type: "button", onclick: () => box.close() }, "Cancel"), submit));
  const box = open(title, form);
  form.querySelector("input[type=text], input[type=password]")?.focus();
  return box;
}

const field = (label, properties, hint) => h("div.field", {},
  h("label", {}, h("span", {}, label), h("input", { type: "text", autocomplete: "off", ...properties })), hint && h("small", {}, hint));

const required = (value, words) => {
  if (!value?.trim()) throw new Error(words);
  return value.trim();
};

/** Asks before something that cannot be undone. */
export function confirm(title, words, button, act) {
  const box = open(title, h("p", {}, words), h("div.row.end", {},
    h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
    h("button.primary.danger", { type: "button", onclick: () => { box.close(); act(); } }, button)));
}

// ---- rooms

export function newRoom(app, shell) {
  const kind = (value, symbol, name, words, checked) => h("label.choice", {},
    h("input", { type: "radio", name: "kind", value, checked }),
    h("span.sigil", { aria: { hidden: "true" } }, symbol),
    h("span", {}, h("strong", {}, name), h("small", {}, words)));
  ask("New room", [
    field("Title", { name: "title", maxLength: 80 }),
    h("fieldset.choices", {}, h("legend.hidden-text", {}, "Who can find it"),
      kind("public", "#", "Public", "Everyone here can find it and join.", true),
      kind("private", icon("lock"), "Private", "Only those who are added can find it.", false)),
  ], "Create room", async ({ title, kind: chosen }) => {
    const { room } = await app.command("create_room", { title: required(title, "Give the room a title."), kind: chosen });
    shell.go(room);
  });
}

export const renameRoom = (app, room) => ask("Rename room",
  [field("Title", { name: "title", maxLength: 80, value: room.title })], "Rename",
  ({ title }) => app.command("rename_room", { room: room.id, title: required(title, "Give the room a title.") }));

export const archiveRoom = (app, room) => confirm(`Archive ${room.title}?`,
  "It can still be read, and nothing is written in it until it is reopened.", "Archive",
  () => app.attempt("archive_room", { room: room.id }));

export const leaveRoom = (app, room) => confirm(`Leave ${room.title}?`,
  room.kind === "private" ? "Someone must add you again before you can come back." : "You can join again at any time.", "Leave",
  () => app.attempt("leave_room", { room: room.id }));

export const removeMember = (app, room, account, name) => confirm(`Remove ${name}?`,
  `${name} can come back only when someone adds them again.`, "Remove",
  () => app.attempt("remove_member", { room: room.id, account }));

export function browse(app, shell) {
  picker("Browse rooms", "Filter rooms", "There are no public rooms yet. Start one with “New room”.",
    async (text) => (await app.query("browse_rooms", text ? { text } : {})).rooms,
    (room, box) => [
      h("span.sigil", { aria: { hidden: "true" } }, "#"),
      h("span.person-name", {}, room.title, h("small.quiet", {}, ` ${room.members === 1 ? "1 member" : `${room.members} members`}`)),
      room.joined
        ? h("button.small", { type: "button", onclick: () => { box.close(); shell.go(room.id); } }, "Open")
        : act("Join", async () => { await app.command("join_room", { room: room.id }); box.close(); shell.go(room.id); }),
    ]);
}

// ---- people

const personRow = (app, { id, name, bot }, button) => [
  h("span.face", {}, avatar(id, name), h(`span.dot${app.state.online[id] ? ".online" : ""}`)),
  h("span.person-name", {}, name, bot && h("span.tag", {}, "bot")),
  button,
];

const others = (app) => async (text) =>
  (await app.accounts(text)).filter(({ id, active }) => id !== app.state.me.id && active !== false);

export async function writeTo(app, shell, account) {
  const ack = await app.attempt("open_direct", { account });
  if (ack?.room) shell.go(ack.room);
}

export const people = (app, shell) => picker("People", "Filter people", "Nobody else is here yet. Invite someone first.", others(app),
  (person, box) => personRow(app, person, h("button.small.whole", { type: "button", aria: { label: `Write to ${person.name}` }, onclick: () => { box.close(); writeTo(app, shell, person.id); } }, "Write")));

export const addMember = (app, room) => picker("Add people", "Filter people", "Nobody else is here yet. Invite someone first.", others(app),
  (person) => personRow(app, person, app.state.rooms[room]?.members?.list.some((each) => each.account === person.id)
    ? h("span.quiet", {}, "Member")
    : act("Add", () => app.command("add_member", { room, account: person.id }), "Added", `Add ${person.name}`)));

/** A button that does something once, and says how it went: a refusal is told under its row. */
function act(label, work, done = label, name = null) {
  const trouble = h("p.trouble", { role: "alert" });
  const button = h("button.small", {
    type: "button", aria: { label: name },
    async onclick() {
      button.disabled = true;
      trouble.remove();
      try {
        await work();
        button.textContent = done;
      } catch (refusal) {
        button.disabled = false;
        trouble.textContent = refusal.detail ?? refusal.message ?? "";
        button.closest("li")?.append(trouble);
      }
    },
  }, label);
  return button;
}

/** A list that a field narrows. */
function picker(title, label, empty, read, row) {
  const list = h("ul.people.tall");
  const filter = h("input.wide", { type: "text", placeholder: label, autocomplete: "off", aria: { label } });
  const box = open(title, filter, list);
  let latest = 0;
  const load = async () => {
    const mine = ++latest;
    try {
      const found = await read(filter.value.trim());
      if (mine !== latest) return;
      list.replaceChildren(...found.map((each) => h("li.person", {}, ...row(each, box))));
      if (!found.length) list.replaceChildren(h("li.hint", {}, filter.value.trim() ? "Nothing matches." : empty));
    } catch (refusal) {
      list.replaceChildren(h("li.hint", {}, refusal.code === "lost" ? "There is no connection. Try again in a moment." : refusal.detail));
    }
  };
  let timer = null;
  filter.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(load, 200); });
  filter.focus();
  load();
}

// ---- the account

export function invite(app) {
  const link = h("input", { type: "text", readOnly: true, aria: { label: "Invitation link" }, onfocus: () => link.select() });
  const copy = h("button.primary", { type: "button", async onclick() {
    try {
      await navigator.clipboard.writeText(link.value);
      copy.textContent = "Copied";
    } catch {
      link.focus();
    }
  } }, "Copy");
  const made = h("div.stack", {},
    h("p", {}, "Send this link to those you invite. It is shown only once."), h("div.row", {}, link, copy));
  const select = (label, name, options) => h("label.field", {}, h("span", {}, label),
    h("select", { name }, options.map(([value, text]) => h("option", { value }, text))));
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const form = h("form.stack", {
    async onsubmit(event) {
      event.preventDefault();
      const { uses, hours } = Object.fromEntries(new FormData(form));
      try {
        const { token } = await app.command("create_invite", { uses: Number(uses), hours: Number(hours) });
        link.value = `${location.origin}/#invite/${token}`;
        form.replaceWith(made);
        copy.focus();
      } catch (refusal) {
        trouble.textContent = refusal.detail ?? refusal.code;
        trouble.hidden = false;
      }
    },
  },
  h("p", {}, "Whoever has the link can create an account here."),
  h("div.row.even", {},
    select("For", "uses", [[1, "one person"], [5, "5 people"], [25, "25 people"], [100, "100 people"]]),
    select("Valid for", "hours", [[24, "a day"], [168, "a week"], [720, "30 days"]])),
  trouble, h("div.row.end", {}, h("button.primary", { type: "submit" }, "Create link")));
  open("Invite people", form);
}

export const changePassword = (app) => ask("Change password", [
  field("Old password", { name: "old", type: "password", autocomplete: "current-password" }),
  field("New password", { name: "new", type: "password", autocomplete: "new-password" }),
], "Change password", ({ old, new: fresh }) => app.command("change_password", { old, new: required(fresh, "Enter a new password.") }));
