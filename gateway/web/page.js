/** The upload page: one card for each file, two files at a time, and a token that never leaves this tab. */

import { unfinished } from "./client.js";
import { Card, showName } from "./page-card.js";
import { filesOf } from "./page-files.js";
import { api, askVisitor, dropToken, idOf, onTokenChange, tab, takeFromLink } from "./page-token.js";
import { config, count, find, percent, say, size, speed, t, time } from "./page-words.js";

const FILES_AT_ONCE = 2;
const MANY = 3; // with more cards than these, each is shown shorter
const KEPT = 50; // finished files of earlier visits that are shown
const ASKED = 10; // unfinished uploads whose parts the gateway is asked for
const HIDDEN = "upload-page-hidden"; // ids of finished uploads that were taken off the list
const MOST_HIDDEN = 500;
const MEMORY = "gateway-upload:"; // where the module keeps a record of each unfinished upload
const LEAVE_MS = 1_000;
const cards = [];

/* Finished files of earlier visits, from the gateway */

/** What is remembered of the list; nothing where there is no storage, or where it holds something else. */
const hiddenIds = () => {
  try {
    const ids = JSON.parse(localStorage.getItem(HIDDEN));
    return Array.isArray(ids) ? ids : [];
  } catch {
    return [];
  }
};

const hide = (ids) => {
  try {
    localStorage.setItem(HIDDEN, JSON.stringify([...hiddenIds(), ...ids].slice(-MOST_HIDDEN)));
  } catch {
    // there is no storage, or it is full: the files are shown again after a reload
  }
};

/** Show the token's finished files. Where no answer comes, they are not shown; a refused token is asked for again. */
const showKept = async () => {
  const { token } = tab;
  for (const card of cards.filter(({ kept }) => kept)) take(card);
  changed();
  if (!token) return;
  let found;
  try {
    found = (await api(`uploads?limit=${KEPT}`, { token })).uploads;
  } catch ({ status }) {
    if (status === 401) dropToken(token);
    return;
  }
  if (tab.token !== token) return;
  const gone = new Set([...hiddenIds(), ...cards.map(({ id }) => id)]);
  for (const record of found) {
    if (gone.has(record.upload_id) || !/ready|rejected|completing|validating/.test(record.state)) continue;
    const file = { name: record.filename, size: record.size_bytes ?? 0, type: record.content_type };
    const card = new Card(file, page, { record });
    cards.push(card);
    find("#cards").append(card.element);
  }
  changed();
};

/* What is not finished: this browser's records, of which each token sees its own */

const inMemory = (id, work) => {
  try {
    const key = Object.keys(localStorage).find((key) => key.startsWith(MEMORY) && localStorage[key].includes(`"${id}"`));
    if (key) work(key);
  } catch {
    // there is no storage, or it is full: nothing is remembered
  }
};

/** Note once whose an upload is, so that the next person at this computer does not see its name. */
const claim = (id) =>
  inMemory(id, (key) => {
    const entry = JSON.parse(localStorage[key]);
    if (!entry.owner) localStorage[key] = JSON.stringify({ ...entry, owner: idOf(tab.token) });
  });

const forget = (id) => inMemory(id, (key) => localStorage.removeItem(key));

let lines = [];
let asked = 0;

/** Show how much of an upload is there; forget one that is gone. */
const showSent = async ({ upload_id: id, sizeBytes }, element) => {
  if (asked++ >= ASKED) return;
  try {
    const { parts } = await api(`uploads/${id}/parts`);
    const sent = parts.reduce((sum, part) => sum + part.size_bytes, 0);
    find(".size", element).textContent = t("unfinished_there", { sent: size(sent), size: size(sizeBytes) });
  } catch ({ status }) {
    if (status !== 404 && status !== 410) return;
    forget(id);
    changed();
  }
};

const layLine = (entry) => {
  const { upload_id: id, filename, sizeBytes } = entry;
  const element = find("#line").content.firstElementChild.cloneNode(true);
  const button = find("button", element);
  showName(find(".file", element), filename);
  find(".size", element).textContent = size(sizeBytes);
  button.setAttribute("aria-label", t("button_of", { button: button.textContent, name: filename }));
  button.onclick = () => {
    forget(id);
    say(t("forgotten", { name: filename }));
    changed();
  };
  showSent(entry, element);
  return { id, element };
};

/** Show what can go on here; the keyboard stays on its line, or goes to the next when that line is gone. */
const showUnfinished = () => {
  const known = new Set(cards.flatMap(({ file, id, kept }) => (kept ? [id] : [id, `${file.name}\n${file.size}`])));
  const mine = idOf(tab.token);
  const before = lines;
  lines = unfinished()
    .filter((entry) => mine && entry.owner === mine)
    .filter((entry) => !known.has(entry.upload_id) && !known.has(`${entry.filename}\n${entry.sizeBytes}`))
    .map((entry) => before.find(({ id }) => id === entry.upload_id) ?? layLine(entry));
  if (lines.length === before.length && lines.every((line, index) => line === before[index])) return;
  const held = before.findIndex(({ element }) => element.contains(document.activeElement));
  find("#unfinished").hidden = !lines.length;
  find("#unfinished ul").replaceChildren(...lines.map(({ element }) => element));
  if (held < 0) return;
  const next = lines.includes(before[held]) ? before[held] : lines[Math.min(held, lines.length - 1)];
  find(next ? "button" : "#choose", next?.element).focus();
};

/* The whole page */

const goOn = () => {
  const free = FILES_AT_ONCE - cards.filter((card) => card.active).length;
  const waiting = cards.filter((card) => card.state === "new").sort((one, other) => one.number - other.number);
  for (const card of waiting.slice(0, Math.max(0, free))) card.start();
};

let added = 0;

/** Add files, each with its path in a dropped folder. */
const add = (given) => {
  const fresh = [];
  for (const { file, path = "" } of given) {
    const same = cards.find((card) => card.is(file, path) && /new|preparing|uploading|paused|checking/.test(card.state));
    if (same) {
      say(t("in_list", { name: file.name })); // twice at once, one would cancel the other
      same.element.focus();
      continue;
    }
    const card = new Card(file, page, { path });
    card.number = added++;
    fresh.push(card);
  }
  cards.unshift(...fresh);
  find("#cards").prepend(...fresh.map((card) => card.element));
  changed();
  goOn();
};

const addDropped = async (transfer) => {
  const { files, leftOut, more, most } = await filesOf(transfer, config.extensions);
  const words = [leftOut && t("left_out", { count: count(leftOut) }), more && t("too_many", { count: count(most) })];
  find("#dropped").textContent = words.filter(Boolean).join(" ");
  find("#dropped").hidden = !leftOut && !more;
  add(files);
};

const isFinished = ({ state }) => /ready|rejected|aborted/.test(state);

const take = (card) => {
  cards.splice(cards.indexOf(card), 1);
  card.element.remove();
};

const removed = (gone) => {
  hide(gone.map(({ id }) => id).filter(Boolean));
  for (const card of gone) take(card);
  find("#choose").focus();
  changed();
};

const clear = () => {
  removed(cards.filter(isFinished));
  say(t("cleared"));
};

/** Show all files together, while there are several of which not all have ended. */
const showOverall = () => {
  const mine = cards.filter(({ kept, state }) => !kept && !/rejected|aborted|failed/.test(state));
  const open = mine.filter(({ state }) => state !== "ready");
  const [sent, all, rate] = [
    mine.reduce((sum, card) => sum + card.sent, 0),
    mine.reduce((sum, card) => sum + card.file.size, 0),
    mine.reduce((sum, card) => sum + card.rate, 0),
  ];
  const share = all ? Math.floor((100 * sent) / all) / 100 : 0;
  document.title = open.length ? `${percent(share)} · ${t("title")}` : t("title");
  const overall = find("#overall");
  overall.hidden = mine.length < 2 || !open.length;
  if (overall.hidden) return;
  const done = t("overall_done", { done: count(mine.length - open.length), all: count(mine.length) });
  const words = [done, t("sent_of", { sent: size(sent), size: size(all) })];
  if (rate && navigator.onLine) words.push(speed(rate), t("left", { time: time((all - sent) / rate) }));
  find(".figures", overall).textContent = words.join(" · ");
  const bar = find("[role=progressbar]", overall);
  bar.setAttribute("aria-valuenow", Math.round(100 * share));
  bar.setAttribute("aria-valuetext", words.join(", "));
  find("i", bar).style.setProperty("--sent", `${100 * share}%`);
};

const ask = (event) => event.preventDefault();

/** Ask before the page is left in the middle of an upload. Not always: browsers keep a page that asks out of their cache. */
const guard = () => {
  const busy = cards.some(({ kept, state }) => !kept && /new|preparing|uploading|paused/.test(state));
  if (busy) addEventListener("beforeunload", ask);
  else removeEventListener("beforeunload", ask);
};

const leaving = () => {
  removeEventListener("beforeunload", ask);
  setTimeout(guard, LEAVE_MS);
};

const showAll = () => {
  find("#uploads").hidden = !cards.length;
  find("#clear").hidden = cards.length < 2 || !cards.some(isFinished);
  const many = cards.length > MANY;
  find("#cards").classList.toggle("many", many);
  for (const card of cards) card.shorten(many);
  find("#drop").classList.toggle("small", cards.length > 0);
  find("#offline").hidden = navigator.onLine;
  showUnfinished();
  showOverall();
  guard();
};

let due = false;

/** Show what has changed, once for all that changes now: a folder brings a thousand cards. */
const changed = () => {
  if (due) return;
  due = true;
  queueMicrotask(() => {
    due = false;
    showAll();
  });
};

const page = { changed, moved: () => due || showOverall(), created: claim, goOn, removed, leaving };

const listen = () => {
  const picker = find("#files");
  picker.accept = config.extensions.map((extension) => `.${extension}`).join();
  find("#choose").onclick = () => picker.click();
  find("#clear").onclick = clear;
  picker.onchange = () => {
    add([...picker.files].map((file) => ({ file })));
    picker.value = ""; // the same file may be chosen again
  };
  let depth = 0; // enter and leave also come from every element on the way
  const drag = (by) => document.body.classList.toggle("dragging", (depth = Math.max(0, by ? depth + by : 0)) > 0);
  addEventListener("dragenter", () => drag(1));
  addEventListener("dragleave", () => drag(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    drag(0);
    addDropped(event.dataTransfer);
  });
  addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData?.files.length) addDropped(clipboardData);
  });
  for (const name of ["online", "offline"]) {
    addEventListener(name, () => {
      for (const card of cards) card.show();
      changed();
      say(t(navigator.onLine ? "online" : "offline"));
    });
  }
  addEventListener("hashchange", takeFromLink);
  addEventListener("storage", changed); // another tab's doing
};

const few = config.extensions.length < 7 && config.extensions.map((extension) => extension.toUpperCase()).join(", ");
find("#limits").textContent = t("limits", { kinds: few || t("limits_media"), size: size(config.maxFileSize) });
takeFromLink();
onTokenChange(showKept);
listen();
showKept();
if (config.visit === "token" && !tab.token) askVisitor("");
