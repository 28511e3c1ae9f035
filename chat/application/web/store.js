// Holds the state, and is the only place where it is replaced. After each event, what the
// new state wants is carried out until nothing more is wanted; views are told once a frame.

import { fold, initial } from "./state.js";
import { wants } from "./wants.js";

/**
 * @param {(want: object) => void} carryOut must dispatch, at once, an event that ends the want
 * @param {(before: object, after: object) => void} onChange after each event
 */
export function createStore(carryOut, onChange) {
  let state = initial;
  let settling = false;
  let scheduled = false;
  let drawn = null;
  const views = new Set();

  function dispatch(event) {
    const before = state;
    state = fold(state, event);
    if (state !== before) {
      onChange(before, state);
      schedule();
    }
    settle();
  }

  function settle() {
    if (settling) return;
    settling = true;
    try {
      for (let round = 0; round < 50; round++) {
        const list = wants(state);
        if (!list.length) return;
        list.forEach(carryOut);
      }
    } finally {
      settling = false;
    }
  }

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    if (document.hidden) setTimeout(draw, 200);
    else requestAnimationFrame(draw);
  }

  function draw() {
    scheduled = false;
    if (state === drawn) return;
    const before = drawn ?? initial;
    drawn = state;
    for (const view of views) view(drawn, before);
  }

  return {
    dispatch,
    get state() { return state; },
    /** @param {(state, before) => void} view called once a frame while the state changes */
    show(view) { views.add(view); schedule(); },
  };
}
