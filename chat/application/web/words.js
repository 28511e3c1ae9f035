// A message's text as tokens to show: plain text, links and mentions. Nothing in a text is
// ever markup; views make text nodes of it.

const PIECE = /https?:\/\/[^\s<>"']+|(?<![\p{L}\p{N}_.@-])@[\p{L}\p{N}_.-]{1,32}/giu;

/**
 * @param {string} text
 * @param {Map<string, string>} mentioned folded name -> account id
 * @returns {Array<{text: string, href?: string, account?: string}>}
 */
export function tokens(text, mentioned = new Map()) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(PIECE)) {
    const token = match[0][0] === "@" ? mention(match[0], mentioned) : link(match[0]);
    if (!token) continue;
    if (match.index > end) found.push({ text: text.slice(end, match.index) });
    found.push(token);
    end = match.index + token.text.length;
  }
  if (end < text.length) found.push({ text: text.slice(end) });
  return found;
}

export const foldedName = (name) => name.normalize("NFKC").toLowerCase();

/** A name may end in a dot, and so may a sentence: the longest that was mentioned counts. */
function mention(found, mentioned) {
  for (let name = found.slice(1); name; name = name.slice(0, -1)) {
    const account = mentioned.get(foldedName(name));
    if (account) return { text: `@${name}`, account };
    if (!/[._-]$/u.test(name)) return null;
  }
  return null;
}

/** Punctuation after an address is the sentence's, and so is a bracket it did not open. */
function link(found) {
  const more = new Map(Object.entries(OPENED_BY).map(([closing, opening]) =>
    [closing, count(found, closing) - count(found, opening)]));
  let end = found.length;
  for (; end > 0; end -= 1) {
    const last = found[end - 1];
    if (more.has(last) ? more.get(last) <= 0 : !".,;:!?*_~".includes(last)) break;
    if (more.has(last)) more.set(last, more.get(last) - 1);
  }
  const href = found.slice(0, end);
  return URL.canParse?.(href) ?? true ? { text: href, href } : null;
}

const OPENED_BY = { ")": "(", "]": "[", "}": "{" };

const count = (text, character) => text.split(character).length - 1;
