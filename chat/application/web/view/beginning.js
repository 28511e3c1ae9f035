// What stands above the first message of a room: where one is, and what to do next.

import { h, icon, avatar } from "../dom.js";
import { titleOf } from "./names.js";

export function beginning(state, room, empty) {
  const title = titleOf(state, room);
  const face = room.kind === "direct" ? avatar(room.with ?? room.id, title, ".large")
    : h("span.avatar.large.sigil", { aria: { hidden: "true" } }, room.kind === "private" ? icon("lock") : "#");
  const [heading, words] = {
    direct: [title, `Only you and ${title} can read this.`],
    private: [title, "A private room. Only those who were added can find and read it: add people from the list of members."],
    public: [title, "The beginning of this room. Everyone here can find it and join."],
  }[room.kind] ?? [title, ""];
  return h("div.beginning", {}, face, h("h2", {}, heading), h("p", {}, words), empty && h("p.nudge", {}, "Nothing was said yet. Write the first message below."));
}
