/** One file: what is shown of it, and what can be done with it. */

import { Upload } from "./client.js";
import { api, endpoint, tokens } from "./page-token.js";
import { clock, find, has, language, percent, reason, say, size, speed, t, time } from "./page-words.js";

const MOST_BLOCKS = 120; // more parts than this share a block
const LONGEST_PATH = 512; // characters of one text of the metadata
const WATCH_FAILURES = 10;
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
/** Codes that no second try makes better: the file is not accepted, whoever said so and when. */
const REFUSED = /^(empty|extension_not_allowed|file_too_large|invalid_request)$/;

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

const END = 12; // characters of a long name that stay at its end: the extension and what tells two takes apart
const graphemes = new Intl.Segmenter(language, { granularity: "grapheme" });

/** Show a name so that it is cut in its middle where there is no room. */
export const showName = (element, name) => {
  const letters = [...graphemes.segment(name)].map(({ segment }) => segment);
  const [start, end] = ["start", "end"].map((part) => Object.assign(document.createElement("span"), { className: part }));
  const cut = letters.length > 2 * END ? letters.length - END : letters.length;
  start.textContent = letters.slice(0, cut).join("");
  end.textContent = letters.slice(cut).join("");
  const both = document.createElement("bdi");
  both.append(start, end);
  element.replaceChildren(both);
  if (element.matches("h3")) element.ariaLabel = name; // in two pieces it would be read as two names
  element.title = name;
};

/** What the gateway holds of an upload that another visit of this page made. It has an Upload's face, and no file. */
class Kept extends EventTarget {
  parts = [];

  constructor(record) {
    super();
    this.upload = record;
  }

  get state() {
    const { state } = this.upload;
    if (/completing|validating/.test(state)) return "checking";
    return /ready|rejected/.test(state) ? state : "failed";
  }

  get failure() {
    const { state, rejection } = this.upload;
    if (rejection) return { code: rejection.code, message: rejection.detail };
    return this.state === "failed" ? { code: state === "expired" ? "upload_expired" : state } : null;
  }

  /** Wait for the end of the check. */
  async watch() {
    for (let failures = 0; this.state === "checking" && failures < WATCH_FAILURES; ) {
      try {
        this.upload = await api(`uploads/${this.upload.upload_id}`, { headers: { prefer: "wait=20" }, within: 60_000 });
      } catch {
        failures++;
        await new Promise((resolve) => setTimeout(resolve, 5_000));
      }
    }
    this.dispatchEvent(new Event("state"));
  }

  async download() {
    return (await api(`uploads/${this.upload.upload_id}/download`)).url;
  }
}

export class Card {
  #blocks = [];
  #progress = null;
  #page;

  /** `page` has `changed`, `moved`, `created`, `goOn`, `removed` and `leaving`; `record` is an upload that is there already. */
  constructor(file, page, { path = "", record = null } = {}) {
    Object.assign(this, { file, path, record, kept: Boolean(record) });
    this.#page = page;
    this.element = find("#card").content.firstElementChild.cloneNode(true);
    const video = file.type?.startsWith("video/") || /\.(mp4|mov|mkv|webm|avi|m4v)$/i.test(file.name);
    find(".kind use", this.element).setAttribute("href", video ? "#i-video" : "#i-audio");
    showName(find(".name", this.element), file.name);
    find(".parts", this.element).setAttribute("aria-label", t("progress_of", { name: file.name }));
    for (const button of this.element.querySelectorAll("button, summary")) {
      button.setAttribute("aria-label", t("button_of", { button: button.textContent.trim(), name: file.name }));
      if (button.dataset.do) button.onclick = () => this[button.dataset.do]();
    }
    this.prepare();
  }

  /** Make the upload anew; one that failed goes on where it stopped. */
  prepare() {
    const { path, record } = this;
    const metadata = path && path.length <= LONGEST_PATH ? { path } : undefined;
    this.upload = record ? new Kept(record) : new Upload(this.file, { endpoint, token: tokens(), metadata });
    this.#blocks = [];
    this.#progress = null;
    this.failure = this.upload.failure ?? null;
    this.upload.addEventListener("state", () => {
      if (this.kept) this.failure = this.upload.failure;
      else if (this.id) this.#page.created(this.id);
      this.show();
    });
    this.upload.addEventListener("progress", ({ detail }) => this.showProgress(detail));
    this.upload.addEventListener("part", ({ detail }) => {
      if (detail.state === "stored" && this.troubled) this.showVerdict(this.state); // it goes on: the trouble is over
      this.showPart(detail);
    });
    this.upload.addEventListener("retry", ({ detail }) => {
      this.note(detail.offline ? {} : reason(detail.error, "failed", this.file.name));
      this.troubled = true;
    });
    this.show();
    if (this.kept && this.state === "checking") this.upload.watch();
  }

  get id() {
    return this.upload.upload?.upload_id;
  }

  get state() {
    const { state } = this.upload;
    const ended = this.failure && state === "new" ? "failed" : state;
    return ended === "failed" && REFUSED.test(this.failure?.code) ? "rejected" : ended;
  }

  get active() {
    return !this.kept && /preparing|uploading|checking/.test(this.state);
  }

  /** Bytes that are sent, and the rate. A file that is complete counts as sent. */
  get sent() {
    return /ready|checking/.test(this.state) ? this.file.size : (this.#progress?.sentBytes ?? 0);
  }

  get rate() {
    return this.state === "uploading" ? (this.#progress?.bytesPerSecond ?? 0) : 0;
  }

  async start() {
    try {
      if (!this.file.size) throw { code: "empty" };
      await this.upload.start();
    } catch (error) {
      this.failure = error;
    }
    this.show();
    this.#page.goOn();
  }

  pause() {
    this.upload.pause();
    this.#page.goOn();
  }

  resume() {
    this.upload.resume();
  }

  async cancel() {
    const gone = this.upload.abort().then(
      () => "aborted",
      () => "abort_failed",
    );
    this.#page.goOn();
    const text = t(await gone);
    if (this.state === "aborted" && this.upload.upload) this.note({ text });
  }

  again() {
    this.prepare();
    this.#page.goOn();
  }

  async download() {
    try {
      const link = document.createElement("a");
      link.href = await this.upload.download();
      link.rel = "noreferrer";
      this.#page.leaving(); // a link to a file leaves no page, but browsers ask before they know
      link.click();
    } catch (error) {
      const why = reason(error, "failed", this.file.name);
      this.note(why, true);
      say(why.text);
    }
  }

  async copy() {
    await navigator.clipboard.writeText(this.id);
    find("[data-do=copy]", this.element).textContent = t("copied");
    say(t("copied_said"));
  }

  is(file, path) {
    return this.path === path && ["name", "size", "lastModified"].every((fact) => this.file[fact] === file[fact]);
  }

  remove() {
    this.element.remove();
    this.#page.removed([this]);
  }

  /** Show less of a file that is one of many. What a person then opens stays open. */
  shorten(many) {
    if (this.short === many) return;
    this.short = many;
    find(".more", this.element).open = !many;
  }

  note({ text = "", detail = "" }, bad = false) {
    const verdict = find(".verdict", this.element);
    verdict.hidden = !text;
    verdict.classList.toggle("bad", bad);
    find("span", verdict).textContent = text;
    find("small", verdict).textContent = detail;
    find("small", verdict).hidden = !detail;
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
    if (before !== shown && !(this.kept && !before)) this.announce(shown);
    this.#page.changed();
  }

  can(name) {
    if (name === "download") return this.upload.upload.can_download !== false;
    if (name === "again") return !this.kept && !/forbidden|exhausted/.test(this.failure?.code);
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
    const why = /rejected|failed/.test(state) ? this.why.text : "";
    say(`${t("button_of", { button: this.file.name, name: t(`state_${state}`) })}. ${why}`.trim());
  }

  get why() {
    return reason(this.failure ?? {}, this.state === "rejected" ? "rejected" : "failed", this.file.name);
  }

  showVerdict(state) {
    this.troubled = false;
    const { upload } = this.upload;
    find(".more", this.element).hidden = state !== "ready";
    this.remark(state === "ready" ? upload : null);
    if (state === "ready") {
      this.note({ text: t("ready") });
      this.showFacts(find(".facts", this.element), upload);
    } else if (/rejected|failed/.test(state)) this.note(this.failure ? this.why : {});
    else if (state === "checking") this.note({ text: t("checking") });
    else if (state === "aborted") this.note({ text: t(upload ? "aborting" : "nothing_sent") });
    else this.note({});
  }

  /** Say what is odd about an accepted file: a name that does not fit, an end that is missing. */
  remark(upload) {
    const { detection } = upload ?? {};
    const words = [];
    if (upload?.extension_mismatch) {
      const name = upload.suggested_filename;
      const type = detection?.container?.toUpperCase() ?? upload.content_type;
      words.push(t(name ? "mismatch" : "mismatch_only", { type, name }));
    }
    if (upload?.complete === false) {
      const [reach, all] = [detection?.available_seconds, detection?.duration_seconds];
      const known = reach && all && Math.round(reach) < Math.round(all);
      words.push(known ? t("cut_at", { time: clock(reach), all: clock(all) }) : t("cut"));
    }
    const remark = find(".remark", this.element);
    remark.textContent = words.join(" ");
    remark.hidden = !words.length;
  }

  showFacts(list, { content_type, detection }) {
    const tracks = detection?.tracks ?? [];
    const codecs = (kind) => {
      const names = tracks.filter((track) => track.kind === kind && track.codec).map((track) => codecName(track.codec));
      return [...new Set(names)].join(", ");
    };
    const facts = {
      type: content_type,
      container: detection?.container?.toUpperCase(),
      video: codecs("video"),
      audio: codecs("audio"),
    };
    list.replaceChildren();
    for (const [name, value] of Object.entries(facts).filter(([, value]) => value)) {
      const [pair, term, text] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = t(`fact_${name}`);
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
    const share = file.size ? Math.floor((100 * sent) / file.size) / 100 : 0;
    const sizes = { sent: size(sent), size: size(file.size) };
    const words = [/uploading|paused/.test(state) ? t("sent_of", sizes) : sizes.size];
    if (state === "uploading" && navigator.onLine && progress?.secondsLeft) {
      words.push(speed(progress.bytesPerSecond), t("left", { time: time(progress.secondsLeft) }));
    }
    const seconds = state === "ready" && this.upload.upload.detection?.duration_seconds;
    if (seconds >= 0.5) words.unshift(clock(seconds));
    find(".figures", this.element).textContent = words.join(" · ");
    const offline = state === "uploading" && !navigator.onLine;
    const label = has(`state_${state}`) ? t(`state_${state}`) : percent(share);
    find(".state", this.element).textContent = offline ? t("state_offline") : label;
    const bar = find(".parts", this.element);
    bar.setAttribute("aria-valuenow", Math.round(100 * share));
    bar.setAttribute("aria-valuetext", words.join(", "));
    this.#page.moved();
  }
}
