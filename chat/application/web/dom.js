// Elements, made by one small function. Text only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

/**
 * h("button.quiet", {type: "button", onclick: f, aria: {label: "Close"}}, "text", child, …)
 * Properties are set as such; `data`, `aria` and `attrs` as attributes; null children are skipped.
 */
export function h(selector, props = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  const { data = {}, aria = {}, attrs = {}, ...rest } = props ?? {};
  for (const [name, value] of Object.entries(data)) element.dataset[name] = value;
  for (const [name, value] of Object.entries(aria)) if (value != null) element.setAttribute(`aria-${name}`, value);
  for (const [name, value] of Object.entries(attrs)) if (value != null) element.setAttribute(name, value);
  Object.assign(element, rest);
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

const PATHS = {
  plus: "M12 5v14M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  close: "M6 6l12 12M18 6L6 18",
  back: "M15 5l-7 7 7 7",
  down: "M12 5v14M6 13l6 6 6-6",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.5-3.8 3-6 6.5-6s6 2.2 6.5 6M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.4c2 .8 3.2 2.7 3.5 5.6",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  reply: "M10 6L4 12l6 6M4.5 12H14c3.5 0 6 2 6 6",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.5 14c.8 1.5 2 2.2 3.5 2.2s2.7-.7 3.5-2.2M9 9.5h.01M15 9.5h.01",
  edit: "M4 20l1-4L16.5 4.5a2.1 2.1 0 0 1 3 3L8 19l-4 1z",
  trash: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13M10 11v5M14 11v5",
  send: "M12 19V5M6 11l6-6 6 6",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  compass: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM15.5 8.5l-2 5-5 2 2-5z",
};

/** An icon drawn with lines, silent to screen readers: its button has the name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that is only an icon. */
export const iconButton = (name, label, onclick, more = {}) =>
  h("button.icon-button", { type: "button", title: label, onclick, ...more, aria: { label, ...more.aria } }, icon(name));

/** One of twelve tints, always the same for the same id. */
function hueOf(id) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return String(sum % 12);
}

export const avatar = (id, name, kind = "") =>
  h(`span.avatar${kind}`, { data: { hue: hueOf(id) }, aria: { hidden: "true" } }, [...(name || "?")][0].toUpperCase());

/**
 * Makes `parent` hold just these nodes in this order, moving as little as possible and
 * leaving the focus where it is.
 */
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const node of [...parent.childNodes]) if (!wanted.has(node)) node.remove();
  let next = parent.firstChild;
  for (const node of nodes) {
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
}
