// What accounts and rooms are called on the screen.

/** @returns a name, "…" while it is being looked up, or "someone" if it cannot be known */
export const nameOf = (names, account) =>
  Object.hasOwn(names, account) ? names[account] ?? "someone" : "…";

export const titleOf = (state, room) =>
  room.kind === "direct" ? (room.with ? nameOf(state.names, room.with) : room.title || "Direct") : room.title;

export const isAdmin = (role) => role === "owner" || role === "admin";
