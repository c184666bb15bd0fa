/** The upload page: one card for each file, two files at a time, and a token that never leaves this tab. */

import { Upload, unfinished } from "./client.js";

const FILES_AT_ONCE = 2;
const MOST_BLOCKS = 120; // more parts than this share a block
const MEMORY = "gateway-upload:"; // where the module keeps a record of each unfinished upload
const STATES = {
  new: "Waiting for its turn",
  preparing: "Preparing",
  paused: "Paused",
  checking: "Checking the file",
  ready: "Ready",
  rejected: "Not accepted",
  aborted: "Cancelled",
  failed: "Failed",
};
const BUTTONS = {
  new: ["cancel"],
  preparing: ["pause", "cancel"],
  uploading: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  checking: [],
  ready: ["download", "copy", "remove"],
  rejected: ["remove"],
  aborted: ["again", "remove"],
  failed: ["again", "remove"],
};

const find = (selector, within = document) => within.querySelector(selector);
const config = JSON.parse(find("meta[name=gateway-page]").content);
const endpoint = new URL(".", document.baseURI).href;
const cards = [];

/* Words and figures */

const size = (bytes) => {
  const unit = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** unit;
  const figures = unit && value < 10 ? value.toFixed(1).replace(".0", "") : value.toFixed(0);
  return `${figures}\u00a0${["bytes", "KiB", "MiB", "GiB", "TiB"][unit]}`;
};

const time = (seconds) => {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};

const clock = (seconds) => {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (number) => String(number).padStart(2, "0");
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
};

/** Name a codec as people do; what is not in the list keeps the format's own name. */
const CODECS = [
  [/avc|h\.?264/i, "H.264"],
  [/hvc1|hev1|hevc|h\.?265/i, "H.265"],
  [/av0?1/i, "AV1"],
  [/vp0?8/i, "VP8"],
  [/vp0?9/i, "VP9"],
  [/mp4a|aac/i, "AAC"],
  [/opus/i, "Opus"],
  [/vorbis/i, "Vorbis"],
  [/pcm|sowt|twos/i, "PCM"],
  [/flac/i, "FLAC"],
  [/alac/i, "ALAC"],
];
const codecName = (codec) => CODECS.find(([pattern]) => pattern.test(codec))?.[1] ?? codec;

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

/** Say something to those who do not see the cards; what was said a moment ago is not cut off. */
const say = (text) => {
  const line = document.createElement("p");
  line.textContent = text;
  find("#news").append(line);
  setTimeout(() => line.remove(), 10_000);
};

/* The token: from the link's fragment, which no server sees, from this visitor, or from the gateway in development. */

let asking;
let answer = () => {};

const tab = {
  get token() {
    return sessionStorage.getItem("token");
  },
  set token(token) {
    if (token) sessionStorage.setItem("token", token);
    else sessionStorage.removeItem("token");
    showUnfinished();
  },
};

/** Name a token by its id, which opens nothing; null for what is no upload token. */
const idOf = (token) => {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).jti ?? null;
  } catch {
    return null;
  }
};

const takeFromLink = () => {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  tab.token = given;
  answer(given); // a link that was opened in this tab, where the token is asked for
  history.replaceState(null, "", location.pathname + location.search); // not for the history, nor for who copies the link
};

const askVisitor = (why) =>
  (asking ??= new Promise((resolve) => {
    const form = find("#ask");
    if (why) find("#ask-why").textContent = why;
    form.classList.toggle("wrong", Boolean(why));
    form.hidden = false;
    if (why) find("#token").focus();
    answer = (token) => {
      form.hidden = true;
      find("#token").value = "";
      asking = undefined;
      resolve((tab.token = token));
      find("#choose").focus();
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      answer(find("#token").value.trim());
    };
  }));

const askGateway = () =>
  (asking ??= fetch("page/token", { method: "POST" })
    .then(async (answer) => {
      if (!answer.ok) throw new Error((await answer.json()).detail);
      return (tab.token = (await answer.json()).token);
    })
    .finally(() => (asking = undefined)));

/** Make a token function for one upload: to be asked again means that the last answer was refused. */
const tokens = () => {
  let last;
  return async () => {
    if (last && tab.token === last) tab.token = null;
    const refused = last ? "That token is not valid, or its time is over. Ask for a new one." : "";
    last = tab.token || (await (config.visit === "open" ? askGateway() : askVisitor(refused)));
    return last;
  };
};

/* One file */

class Card {
  #blocks = [];
  #progress = null;

  constructor(file) {
    this.file = file;
    this.element = find("#card").content.firstElementChild.cloneNode(true);
    const video = file.type.startsWith("video/") || /\.(mp4|mov|mkv|webm|avi|m4v)$/i.test(file.name);
    find(".kind use", this.element).setAttribute("href", video ? "#i-video" : "#i-audio");
    find(".name", this.element).textContent = file.name;
    find(".parts", this.element).setAttribute("aria-label", `Progress of ${file.name}`);
    for (const button of this.element.querySelectorAll("button")) {
      const words = button.textContent.trim();
      button.setAttribute("aria-label", `${words}: ${file.name}`);
      button.onclick = () => this[button.dataset.do]();
    }
    this.prepare();
  }

  /** Make the upload anew; one that failed goes on where it stopped. */
  prepare() {
    this.upload = new Upload(this.file, { endpoint, token: tokens() });
    this.#blocks = [];
    this.#progress = null;
    this.failure = null;
    this.upload.addEventListener("state", () => {
      if (this.upload.upload) claim(this.upload.upload.upload_id);
      this.show();
    });
    this.upload.addEventListener("progress", ({ detail }) => this.showProgress(detail));
    this.upload.addEventListener("part", ({ detail }) => {
      if (detail.state === "stored" && this.troubled) this.showVerdict(this.state); // it goes on: the trouble is over
      this.showPart(detail);
    });
    this.upload.addEventListener("retry", ({ detail }) => {
      this.note(detail.offline ? "" : sentence(detail.error.message));
      this.troubled = true;
    });
    this.show();
  }

  get state() {
    return this.failure && this.upload.state === "new" ? "failed" : this.upload.state;
  }

  get active() {
    return /preparing|uploading|checking/.test(this.state);
  }

  async start() {
    try {
      if (!this.file.size) throw Object.assign(new Error("The file is empty."), { code: "invalid_request" });
      await this.upload.start();
    } catch (error) {
      this.failure = error;
    }
    this.show();
    goOn();
  }

  pause() {
    this.upload.pause();
    goOn();
  }

  resume() {
    this.upload.resume();
  }

  async cancel() {
    const gone = this.upload.abort().then(
      () => "What was sent has been removed.",
      () => "What was sent could not be removed now; it expires by itself.",
    );
    goOn();
    const text = await gone;
    if (this.state === "aborted" && this.upload.upload) this.note(text);
  }

  again() {
    this.prepare();
    goOn();
  }

  async download() {
    try {
      const link = document.createElement("a");
      link.href = await this.upload.download();
      link.rel = "noreferrer";
      link.click();
    } catch (error) {
      const text = sentence(error.message);
      this.note(text, true);
      say(text);
    }
  }

  async copy() {
    await navigator.clipboard.writeText(this.upload.upload.upload_id);
    find("[data-do=copy]", this.element).textContent = "Copied";
    say("Upload ID copied.");
  }

  is(file) {
    return ["name", "size", "lastModified"].every((fact) => this.file[fact] === file[fact]);
  }

  remove() {
    cards.splice(cards.indexOf(this), 1);
    this.element.remove();
    find("#choose").focus();
    showAll();
  }

  note(text, bad = false) {
    const verdict = find(".verdict", this.element);
    verdict.hidden = !text;
    verdict.classList.toggle("bad", bad);
    find("span", verdict).textContent = text;
    const good = this.state === "ready" && !bad;
    find("use", verdict).setAttribute("href", good ? "#i-check" : "#i-cross");
    find("svg", verdict).toggleAttribute("hidden", !good && !bad && !/rejected|failed/.test(this.state));
  }

  show() {
    const { state } = this;
    const shown = state === "uploading" && !navigator.onLine ? "offline" : state;
    const before = this.element.dataset.state;
    this.element.dataset.state = shown;
    this.showButtons(BUTTONS[state].filter((name) => this.can(name)));
    find(".parts", this.element).hidden = !this.upload.parts.length;
    if (this.upload.parts.length !== this.#blocks.parts) this.layBlocks();
    this.showProgress(this.#progress);
    this.showVerdict(state);
    if (before !== shown) this.announce(shown);
    showAll();
  }

  can(name) {
    if (name === "download") return this.upload.upload.can_download !== false;
    if (name === "again") return !/invalid_request|extension_not_allowed|file_too_large/.test(this.failure?.code);
    return name !== "copy" || Boolean(navigator.clipboard); // which a page without https has not
  }

  /** Show these, and keep the keyboard on this card when the button under it goes away. */
  showButtons(names) {
    const held = document.activeElement;
    const buttons = [...this.element.querySelectorAll("button")];
    for (const button of buttons) button.hidden = !names.includes(button.dataset.do);
    if (this.element.contains(held) && held.hidden) (buttons.find((button) => !button.hidden) ?? this.element).focus();
  }

  announce(state) {
    if (!/ready|rejected|failed|paused|aborted|checking/.test(state)) return;
    const why = this.failure && state !== "aborted" ? `: ${this.failure.message}` : "";
    say(sentence(`${this.file.name}: ${STATES[state]}${why}`));
  }

  showVerdict(state) {
    this.troubled = false;
    const facts = find(".facts", this.element);
    facts.hidden = state !== "ready";
    if (state === "ready") {
      this.note("Checked: these exact bytes are stored and can no longer be changed.");
      this.showFacts(facts, this.upload.upload);
    } else if (/rejected|failed/.test(state)) this.note(sentence(this.failure?.message ?? ""));
    else if (state === "checking") this.note("All of it is there. What is in it is being looked at.");
    else if (state === "aborted") this.note(this.upload.upload ? "What was sent is being removed." : "Nothing was sent.");
    else this.note("");
  }

  showFacts(list, { content_type, size_bytes, detection }) {
    const tracks = detection?.tracks ?? [];
    const codecs = (kind) => {
      const names = tracks.filter((track) => track.kind === kind && track.codec).map((track) => codecName(track.codec));
      return [...new Set(names)].join(", ");
    };
    const facts = [
      ["Type", content_type],
      ["Container", detection?.container?.toUpperCase()],
      ["Video", codecs("video")],
      ["Audio", codecs("audio")],
      ["Duration", detection?.duration_seconds && clock(detection.duration_seconds)],
      ["Size", size(size_bytes)],
    ];
    list.replaceChildren();
    for (const [name, value] of facts.filter(([, value]) => value)) {
      const [pair, term, text] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = name;
      text.textContent = value;
      pair.append(term, text);
      list.append(pair);
    }
  }

  /** Lay one block for each part, or for as many as fit. */
  layBlocks() {
    const { parts } = this.upload;
    const share = Math.max(1, Math.ceil(parts.length / MOST_BLOCKS));
    const count = Math.ceil(parts.length / share);
    this.#blocks = Array.from({ length: count }, (_, index) => ({
      element: document.createElement("i"),
      parts: parts.slice(index * share, (index + 1) * share),
    }));
    this.#blocks.share = share;
    this.#blocks.parts = parts.length;
    find(".parts", this.element).replaceChildren(...this.#blocks.map(({ element }) => element));
    for (const block of this.#blocks) this.showPart(block.parts[0]);
  }

  showPart({ partNumber }) {
    const block = this.#blocks[Math.floor((partNumber - 1) / this.#blocks.share)];
    if (!block) return;
    const sum = (name) => block.parts.reduce((total, part) => total + part[name], 0);
    block.element.style.setProperty("--sent", `${(100 * sum("sentBytes")) / sum("sizeBytes")}%`);
    block.element.className = block.parts.some((part) => part.state === "hashing") ? "hashing" : "";
  }

  showProgress(progress) {
    this.#progress = progress;
    const { state, file } = this;
    const sent = progress?.sentBytes ?? 0;
    const percent = file.size ? Math.floor((100 * sent) / file.size) : 0;
    const words = [/uploading|paused/.test(state) ? `${size(sent)} of ${size(file.size)}` : size(file.size)];
    if (state === "uploading" && navigator.onLine && progress?.secondsLeft) {
      words.push(`${size(progress.bytesPerSecond)}/s`, `${time(progress.secondsLeft)} left`);
    }
    const figures = find(".figures", this.element);
    figures.textContent = words.join(" · ");
    figures.hidden = state === "ready";
    const label = state === "uploading" ? `${percent} %` : STATES[state];
    find(".state", this.element).textContent = state === "uploading" && !navigator.onLine ? "Offline" : label;
    const bar = find(".parts", this.element);
    bar.setAttribute("aria-valuenow", percent);
    bar.setAttribute("aria-valuetext", words.join(", "));
    showTitle();
  }
}

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

let lines = [];

const layLine = ({ upload_id: id, filename, sizeBytes }) => {
  const element = find("#line").content.firstElementChild.cloneNode(true);
  const button = find("button", element);
  find(".file", element).textContent = filename;
  find(".size", element).textContent = size(sizeBytes);
  button.setAttribute("aria-label", `${button.textContent}: ${filename}`);
  button.onclick = () => {
    inMemory(id, (key) => localStorage.removeItem(key));
    say(`${filename} is off the list. What was sent of it expires by itself.`);
    showUnfinished();
  };
  return { id, element };
};

/** Show what can go on here; the keyboard stays on its line, or goes to the next when that line is gone. */
const showUnfinished = () => {
  const known = new Set(cards.map((card) => `${card.file.name}\n${card.file.size}`));
  const mine = idOf(tab.token);
  const before = lines;
  lines = unfinished()
    .filter((entry) => mine && entry.owner === mine && !known.has(`${entry.filename}\n${entry.sizeBytes}`))
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
  const next = waiting.slice(0, Math.max(0, free));
  for (const card of next) card.start();
};

let added = 0;

const add = (files) => {
  const fresh = [];
  for (const file of files) {
    const same = cards.find((card) => card.is(file) && /new|preparing|uploading|paused|checking/.test(card.state));
    if (same) {
      say(`${file.name} is in the list already.`); // twice at once, one would cancel the other
      same.element.focus();
      continue;
    }
    const card = new Card(file);
    card.number = added++;
    fresh.push(card);
  }
  cards.unshift(...fresh);
  find("#cards").prepend(...fresh.map((card) => card.element));
  showAll();
  goOn();
};

const showTitle = () => {
  const moving = cards.filter((card) => card.state === "uploading");
  const [sent, all] = ["sentBytes", "sizeBytes"].map((name) =>
    moving.flatMap((card) => card.upload.parts).reduce((sum, part) => sum + part[name], 0),
  );
  document.title = all ? `${Math.floor((100 * sent) / all)} % · Upload` : "Upload";
};

const showAll = () => {
  find("#uploads").hidden = !cards.length;
  find("#drop").classList.toggle("small", cards.length > 0);
  find("#offline").hidden = navigator.onLine;
  showUnfinished();
  showTitle();
};

const listen = () => {
  const picker = find("#files");
  picker.accept = config.extensions.map((extension) => `.${extension}`).join();
  find("#choose").onclick = () => picker.click();
  picker.onchange = () => {
    add(picker.files);
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
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    add(items.filter((item) => !item.webkitGetAsEntry?.()?.isDirectory).map((item) => item.getAsFile()));
  });
  for (const name of ["online", "offline"]) {
    addEventListener(name, () => {
      for (const card of cards) card.show();
      showAll();
      say(navigator.onLine ? "You are back online." : find("#offline").textContent.trim());
    });
  }
  addEventListener("hashchange", takeFromLink);
  addEventListener("storage", showUnfinished); // another tab's doing
};

const few = config.extensions.length < 7 && config.extensions.map((extension) => extension.toUpperCase()).join(", ");
find("#limits").textContent =
  `${few || "Audio and video"} up to ${size(config.maxFileSize)}, checked before it counts as ready.`;
takeFromLink();
listen();
showAll();
if (config.visit === "token" && !tab.token) askVisitor("");
