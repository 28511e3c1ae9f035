// A short notice at the foot of the page, read aloud, gone after some seconds.

import { h } from "../dom.js";

export function toast(text) {
  const place = document.getElementById("toasts");
  const note = h("p.toast", {}, text);
  place.append(note);
  setTimeout(() => note.remove(), 4000 + text.length * 60);
}
