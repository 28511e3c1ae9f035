// Unsent messages, kept over a reload: one localStorage key for each, so that two tabs
// never write over each other. A full or forbidden storage costs only the keeping.

const prefix = (account) => `chat.unsent.${account}.`;

const kept = ({ id, room, text, reply_to, at, status, code, detail }) =>
  JSON.stringify({ id, room, text, reply_to, at, ...(status === "refused" && { code, detail }) });

/** @returns {Array} the entries kept for this account, oldest first */
export function readUnsent(storage, account) {
  try {
    return keys(storage, prefix(account)).sort().flatMap((key) => parsed(storage.getItem(key)));
  } catch {
    return [];
  }
}

const keys = (storage, start) =>
  Array.from({ length: storage.length }, (_, i) => storage.key(i)).filter((key) => key?.startsWith(start));

function parsed(text) {
  try {
    const entry = JSON.parse(text);
    const whole = ["id", "room", "text", "at"].every((field) => typeof entry[field] === "string");
    return whole ? [{ ...entry, status: entry.code ? "refused" : "waiting" }] : [];
  } catch {
    return [];
  }
}

/** Writes what changed between two outboxes; acknowledged entries are not kept. */
export function keepUnsent(storage, account, before, after) {
  const uncertain = (outbox) => new Map(outbox.filter((entry) => entry.status !== "acked").map((entry) => [entry.id, kept(entry)]));
  const old = uncertain(before);
  const now = uncertain(after);
  try {
    for (const id of old.keys()) if (!now.has(id)) storage.removeItem(prefix(account) + id);
    for (const [id, text] of now) if (old.get(id) !== text) storage.setItem(prefix(account) + id, text);
  } catch {
    // Nothing is lost while the page is open.
  }
}
