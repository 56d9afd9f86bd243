// Keeps the page as it stands at the server: one stream, changes in place, ages, the banner, pause.
// Everything is written with textContent and setAttribute; a message is what view.changes made.
import { age } from "./age.js";
import { still, run } from "./motion.js";

const SILENT_MS = 3500; // the server speaks each second
const RETRY_MS = 2000;

const byKey = (name) => {
  const found = new Map();
  for (const element of document.querySelectorAll(`[data-${name}]`)) {
    const key = element.dataset[name];
    found.set(key, [...(found.get(key) ?? []), element]);
  }
  return (key) => found.get(key) ?? [];
};
const texts = byKey("t"), attributes = byKey("a"), moments = byKey("at"), tables = byKey("r");
const ages = [...document.querySelectorAll("[data-at]")];
const lost = document.getElementById("lost"), pause = document.getElementById("pause");

let source = null, heardAt = performance.now(), siteMs = 0, speed = 1, paused = false, retry = 0;

function apply(message) {
  for (const [key, text] of Object.entries(message.t ?? {}))
    for (const element of texts(key)) element.textContent = text;
  for (const [key, values] of Object.entries(message.a ?? {}))
    for (const element of attributes(key))
      for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
  for (const [key, seconds] of Object.entries(message.m ?? {}))
    for (const element of moments(key)) element.dataset.s = seconds;
  for (const [key, rows] of Object.entries(message.r ?? {}))
    for (const body of tables(key)) fill(body, ...rows);
  tick();
}

function fill(body, order, changed) {
  const columns = [...body.closest("table").querySelectorAll("th")].map((cell) => cell.textContent);
  const known = new Map([...body.rows].map((row) => [row.dataset.k, row]));
  const rows = order.map((key) => {
    const old = known.get(key);
    if (!(key in changed) && old) return old;
    const [state, cells] = changed[key];
    return line(key, state, cells.map((cell, place) => [columns[place], cell]));
  });
  if (!rows.length) {
    rows.push(line(undefined, "", [["", body.dataset.empty]]));
    rows[0].className = "empty";
    rows[0].firstChild.colSpan = columns.length;
  }
  body.replaceChildren(...rows);
}

function line(key, state, cells) {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  if (key !== undefined) row.dataset.k = key;
  row.dataset.state = state;
  for (const [column, text] of cells) {
    const cell = document.createElement("td");
    cell.setAttribute("role", "cell");
    cell.dataset.c = column;
    cell.textContent = text;
    row.append(cell);
  }
  return row;
}

// The site's time: as last told, and on from there at the rate at which it was told.
function now() {
  return (siteMs + (performance.now() - heardAt) * speed) / 1000;
}

function tick() {
  if (!siteMs) return;
  const at = now();
  for (const element of ages) {
    const seconds = Number(element.dataset.s);
    const words = seconds ? age(at - seconds) : "time unknown";
    if (element.textContent !== words) element.textContent = words;
  }
}

function heard(message) {
  const at = performance.now();
  if (siteMs && at - heardAt > 200) {
    const rate = (message.now - siteMs) / (at - heardAt);
    speed = rate > 1.5 ? rate : 1;
  }
  siteMs = message.now;
  heardAt = at;
  say("");
  apply(message);
}

function say(words) {
  if (lost.textContent === words) return;
  lost.textContent = words;
  document.body.classList.toggle("lost", words !== "");
  if (words) still();
  else if (source) run();
}

function open() {
  close();
  if (paused || document.hidden) return;
  source = new EventSource(`/live/${document.body.dataset.page}`);
  source.onmessage = (event) => heard(JSON.parse(event.data));
  source.onerror = () => {
    say("No connection to the server: what you see is old. Trying again.");
    if (source?.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY_MS);
  };
  run();
}

function close() {
  clearTimeout(retry);
  source?.close();
  source = null;
  still();
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  say("");
  if (paused) close();
  else open();
});
document.addEventListener("visibilitychange", () => {
  heardAt = document.hidden ? heardAt : performance.now();
  open();
});
setInterval(() => {
  if (document.hidden || paused) return;
  tick();
  if (source && performance.now() - heardAt > SILENT_MS) {
    say("No connection to the server: what you see is old. Trying again.");
    if (performance.now() - heardAt > 3 * SILENT_MS) open();
  }
}, 1000);
pause.hidden = false;
open();
