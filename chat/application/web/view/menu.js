// A button that opens a short list of actions: arrows move, Escape and a click elsewhere close.

import { h } from "../dom.js";

/**
 * @param {HTMLButtonElement} button
 * @param {() => Array<{label: string, act: () => void, danger?: boolean}>} items asked when opened
 */
export function withMenu(button, items) {
  const list = h("div.menu", { role: "menu", hidden: true });
  const element = h("div.menu-place", {}, button, list);
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");

  const close = (back) => {
    if (list.hidden) return;
    list.hidden = true;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
    if (back) button.focus();
  };
  const outside = (event) => { if (!element.contains(event.target)) close(false); };

  function open() {
    list.replaceChildren(...items().map(({ label, act, danger }) => h(`button.menu-item${danger ? ".danger" : ""}`, {
      type: "button", role: "menuitem", onclick: () => { close(true); act(); },
    }, label)));
    list.hidden = false;
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside);
    list.firstChild?.focus();
  }

  button.addEventListener("click", () => (list.hidden ? open() : close(true)));
  element.addEventListener("focusout", (event) => { if (event.relatedTarget && !element.contains(event.relatedTarget)) close(false); });
  list.addEventListener("keydown", (event) => {
    const all = [...list.children];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
    else if (event.key === "Escape") close(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return element;
}
