// What was found: newest first, a click shows it in its room.

import { h, avatar } from "../dom.js";
import { briefOf, fullTimeOf } from "../times.js";
import { nameOf, titleOf } from "./names.js";

export function createSearch(app, shell, { text }) {
  const list = h("ul.results");
  const status = h("p.hint", { role: "status" }, "Looking…");
  const more = h("button.wide", { type: "button", hidden: true, onclick: () => load() }, "Show more");
  const element = h("div.panel-body", {}, status, list, more);
  let found = [];

  async function load() {
    const before = found.at(-1)?.position;
    try {
      const answer = await app.query("search_messages", { text, limit: 30, ...(before && { before }) });
      found = [...found, ...answer.messages];
      more.hidden = !answer.more;
      app.dispatch({ type: "authors_seen", accounts: answer.messages.map((each) => each.author) });
      status.textContent = found.length ? `For “${text}”, newest first` : `Nothing found for “${text}”. Try fewer or other words.`;
      draw(app.state);
    } catch (refusal) {
      status.textContent = refusal.code === "lost" ? "There is no connection. Try again in a moment." : refusal.detail;
    }
  }

  function draw(state) {
    list.replaceChildren(...found.filter((each) => state.rooms[each.room]).map((each) => h("li", {},
      h("button.result", { type: "button", onclick: () => show(each) },
        h("span.result-head", {}, avatar(each.author, nameOf(state.names, each.author), ".small"),
          h("span.author", {}, nameOf(state.names, each.author)),
          h("span.quiet", {}, `in ${titleOf(state, state.rooms[each.room])}`),
          h("time", { dateTime: each.at, title: fullTimeOf(each.at) }, briefOf(each.at))),
        h("span.result-text", { dir: "auto" }, ...marked(each.text, text))))));
  }

  function show({ room, seq }) {
    if (matchMedia("(max-width: 760px)").matches) shell.closePanel();
    shell.go(room, seq);
  }

  load();
  return { title: "Results", element, update: (state, before) => { if (state.names !== before.names) draw(state); } };
}

/** The text around the first word that was looked for, with all of them marked. */
function marked(text, wanted) {
  const words = wanted.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(${words.join("|")})`, "giu");
  const start = Math.max(0, text.search(pattern) - 60);
  const part = (start ? "…" : "") + text.slice(start, start + 240);
  return part.split(pattern).map((piece, i) => (i % 2 ? h("mark", {}, piece) : piece));
}
