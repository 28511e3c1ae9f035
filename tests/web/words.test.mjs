import test from "node:test";
import assert from "node:assert/strict";
import { foldedName, tokens } from "../../chat/application/web/words.js";
import { createIds } from "../../chat/application/web/ids.js";
import { dayOf } from "../../chat/application/web/times.js";

const mentioned = new Map([["ada", "1"], ["ada.l", "2"], ["jo-ann", "3"], [foldedName("ÉVA"), "4"]]);
const links = (text) => tokens(text).filter(({ href }) => href).map(({ href }) => href);
const mentions = (text) => tokens(text, mentioned).filter(({ account }) => account).map(({ text: shown, account }) => `${shown}=${account}`);
const whole = (text) => tokens(text, mentioned).map((each) => each.text).join("");

test("plain text is one token, nothing is none", () => {
  assert.deepEqual(tokens("hello\nthere <b>"), [{ text: "hello\nthere <b>" }]);
  assert.deepEqual(tokens(""), []);
});

test("nothing of a text is lost or added", () => {
  for (const text of ["a https://x.y/z, b @ada. c", "(https://x.y/a_(b))", "@@ada @nobody http:// https://", "x@ada.com"]) assert.equal(whole(text), text);
});

test("only http and https become links", () => {
  assert.deepEqual(links("http://a.b https://c.d/e?f=g#h javascript:alert(1) ftp://x file:///etc data:text/html,x"), ["http://a.b", "https://c.d/e?f=g#h"]);
});

test("a sentence's punctuation is not the address's", () => {
  assert.deepEqual(links("See https://a.b/c. Or (https://a.b/d), https://a.b/e_(f)! <https://a.b/g>"),
    ["https://a.b/c", "https://a.b/d", "https://a.b/e_(f)", "https://a.b/g"]);
});

test("those who were mentioned are marked, others are text", () => {
  assert.deepEqual(mentions("@ada @Ada.L, @jo-ann. @nobody x@ada @éva"), ["@ada=1", "@Ada.L=2", "@jo-ann=3", "@éva=4"]);
  assert.deepEqual(mentions("@ada... ok (@ada)"), ["@ada=1", "@ada=1"]);
});

test("a long text is cut in a moment", () => {
  const start = performance.now();
  tokens("https://a.b/" + "(".repeat(8000));
  tokens("@".repeat(8000));
  tokens("https://a.b/" + ").".repeat(4000));
  assert.ok(performance.now() - start < 1000);
});

test("ids sort by when they were made, whatever the clock does", () => {
  const times = [1e12, 1e12, 1e12, 1e12 + 1, 1e12 - 5000, 1e12 + 2];
  const newId = createIds(() => times.shift(), () => 0.5);
  const ids = Array.from({ length: 6 }, newId);
  assert.deepEqual(ids.slice().sort(), ids);
  assert.equal(new Set(ids).size, 6);
  assert.ok(ids.every((id) => /^[0-9a-z]{1,64}$/.test(id) && id.length === 20));
});

test("two tabs in one millisecond make different ids", () => {
  assert.notEqual(createIds(() => 1, () => 0.1)(), createIds(() => 1, () => 0.2)());
});

test("days are named as people name them", () => {
  const now = new Date(2024, 4, 10, 12);
  assert.equal(dayOf(new Date(2024, 4, 10, 1), now), "Today");
  assert.equal(dayOf(new Date(2024, 4, 9, 23), now), "Yesterday");
  assert.match(dayOf(new Date(2023, 4, 9), now), /2023/);
});

test("an address of nothing but brackets is trimmed in a moment", () => {
  const hostile = `http://a${")".repeat(200_000)}`;
  assert.deepEqual(tokens(hostile), [{ text: "http://a", href: "http://a" }, { text: ")".repeat(200_000) }]);
});

test("brackets that an address opened stay with it", () => {
  assert.equal(tokens("(see http://a/b_(c)).")[1].text, "http://a/b_(c)");
  assert.equal(tokens("http://a/[x]{y}]}")[0].text, "http://a/[x]{y}");
});
