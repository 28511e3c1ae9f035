// The first module: finds out who is here, and shows the entry or the chat. An invitation
// is in the address's fragment, /#invite/<token>, which no server ever sees.

import * as api from "./api.js";
import { createApp } from "./app.js";
import { createShell } from "./view/shell.js";
import { entry } from "./view/entry.js";
import { confirm } from "./view/dialogs.js";
import { toast } from "./view/toast.js";

const root = document.getElementById("root");
let running = null;
let turns = 0;

const invitation = () => /^#invite\/(.+)$/.exec(location.hash)?.[1] ?? null;

async function begin(notice = null) {
  const turn = ++turns;
  running?.stop();
  running = null;
  let here;
  try {
    here = await api.welcome();
  } catch {
    if (turn !== turns) return;
    root.replaceChildren(entry.unreachable());
    setTimeout(begin, 3000);
    return;
  }
  if (turn !== turns) return;
  if (here.account) chat(here.account);
  else root.replaceChildren(entry.screen({ ...here, invitation: invitation(), notice, onDone: begin }));
}

function chat(account) {
  if (invitation()) {
    history.replaceState(null, "", "/");
    toast(`You are logged in as ${account.name}. Log out first to use this invitation.`);
  }
  const app = createApp({
    account, onTrouble: toast,
    onEnded: (why) => begin(why === "ended" ? "You were logged out. Log in to go on." : null),
  });
  running = app;
  const shell = createShell(app, { onLogOut: logOut });
  root.replaceChildren(shell.element);
  app.start();
}

function logOut() {
  const unsent = running.state.outbox.length;
  if (!unsent) return leave();
  confirm("Log out now?", unsent === 1 ? "One message is not sent yet and will be lost." : `${unsent} messages are not sent yet and will be lost.`, "Log out and lose them", leave);
}

async function leave() {
  const app = running;
  app.stop();       // or the end of the session would be taken for somebody else's doing
  try {
    await api.logOut();
  } catch (refusal) {
    if (refusal.code !== "unauthenticated") {
      toast(refusal.message);
      return app.start();
    }
  }
  app.forgetUnsent();
  history.replaceState(null, "", "/");
  await begin();
}

addEventListener("hashchange", () => { if (!running && invitation()) begin(); });
begin();
