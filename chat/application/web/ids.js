// Command ids. An id is made once for each wish and kept through every retry, so the
// server can tell a repeat from a new wish. Ids sort by the time they were made, also
// when the clock stands still or goes back: base36 milliseconds, a counter, randomness.

/**
 * @param {() => number} now milliseconds
 * @param {() => number} random in [0, 1)
 * @returns {() => string} 20 characters, each greater than the one before
 */
export function createIds(now, random) {
  let last = 0;
  let count = 0;
  return () => {
    const time = Math.max(Math.floor(now()), last);
    count = time === last ? count + 1 : 0;
    last = time;
    return base36(time, 9) + base36(count, 4) + base36(Math.floor(random() * 36 ** 7), 7);
  };
}

const base36 = (number, width) => number.toString(36).padStart(width, "0");
