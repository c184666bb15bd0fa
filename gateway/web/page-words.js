/** The page's words in the reader's language, and figures as that language writes them. */

export const find = (selector, within = document) => within.querySelector(selector);
export const config = JSON.parse(find("meta[name=gateway-page]").content);

const baseOf = (tag) => tag.toLowerCase().split("-")[0];
const wished = navigator.languages?.length ? navigator.languages : [navigator.language];
/** The reader's first language that has a dictionary, with its region: de-CH writes figures in another way than de-DE. */
let locale = wished.find((tag) => config.languages.includes(baseOf(tag))) ?? "en";

const load = (language) => import(`./words.${language}.js`);
const { default: words } = await load(baseOf(locale)).catch(() => load((locale = "en")));
export const language = baseOf(locale);

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufefc]/;
/** Keep a name from turning the sentence around that it stands in. */
const isolated = (text) =>
  words.direction === "rtl" || RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : String(text);

/** Give a sentence with its gaps filled; `gap` in the dictionary is `{gap}`. */
export const t = (key, gaps = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => isolated(gaps[name]));
export const has = (key) => Object.hasOwn(words, key);

export const translate = (root) => {
  for (const element of root.querySelectorAll("[data-words]")) element.lastChild.data = t(element.dataset.words);
  for (const element of root.querySelectorAll("[data-label]")) element.ariaLabel = t(element.dataset.label);
};

const { documentElement: html } = document;
html.lang = language;
html.dir = words.direction;
translate(document);
for (const { content } of document.querySelectorAll("template")) translate(content);
html.dataset.language = language; // the style sheet shows the page from here on

/* Figures */

const number = (options) => new Intl.NumberFormat(locale, options);
const units = (suffix) =>
  ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"].map((unit) => [
    number({ style: "unit", unit: unit + suffix, unitDisplay: unit === "byte" ? "long" : "short", maximumFractionDigits: 0 }),
    number({ style: "unit", unit: unit + suffix, unitDisplay: unit === "byte" ? "long" : "short", maximumFractionDigits: 1 }),
  ]);
const [SIZES, SPEEDS] = [units(""), units("-per-second")];

const inUnit = (formats, bytes) => {
  const unit = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** unit;
  return formats[unit][unit && value < 10 ? 1 : 0].format(value).replace(/ /g, "\u00a0");
};
export const size = (bytes) => inUnit(SIZES, bytes);
export const speed = (bytes) => inUnit(SPEEDS, bytes);

const period = (unit, digits) => number({ style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits });
const [SECONDS, MINUTES, HOURS] = [period("second", 0), period("minute", 0), period("hour", 1)];
export const time = (seconds) => {
  if (seconds < 60) return SECONDS.format(Math.max(1, seconds));
  return seconds < 5400 ? MINUTES.format(seconds / 60) : HOURS.format(seconds / 3600);
};

const [ONE_DIGIT, TWO_DIGITS] = [1, 2].map((digits) => number({ minimumIntegerDigits: digits, useGrouping: false }));
export const clock = (seconds) => {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const rest = [h ? TWO_DIGITS.format(m) : ONE_DIGIT.format(m), TWO_DIGITS.format(s)];
  return (h ? [ONE_DIGIT.format(h), ...rest] : rest).join(":");
};

const [PERCENT, COUNT] = [number({ style: "percent" }), number({})];
export const percent = (share) => PERCENT.format(share);
export const count = (value) => COUNT.format(value);

/** Say something to those who do not see the cards; what was said a moment ago is not cut off. */
export const say = (text) => {
  const line = document.createElement("p");
  line.textContent = text;
  find("#news").append(line);
  setTimeout(() => line.remove(), 10_000);
};

/* Reasons */

/** What the page says of a code, where that is not the code's own name. */
const SAME = {
  wrong_size: "damaged",
  object_changed: "damaged",
  object_missing: "damaged",
  parts_lost: "damaged",
  token_exhausted: "exhausted",
  creates_exhausted: "exhausted",
  too_many_uploads: "exhausted",
  too_many_requests: "busy",
  unavailable: "busy",
  busy: "busy",
  upload_expired: "expired",
};
/** Codes of which the gateway's own sentence says more than the dictionary: it saw the file. */
const DETAILED = /type_not_recognised|extension_mismatch|too_short|too_long|malware_found|other/;

/** Give a failure in the reader's words, and the gateway's English sentence where that says more. */
export const reason = (error, kind, name) => {
  const code = SAME[error.code] ?? error.code;
  const extension = /.\.(\w+)$/.exec(name)?.[1] ?? "";
  let known = has(`${kind}_${code}`) ? code : error.status >= 500 ? "busy" : "other";
  if (kind === "rejected" && code === "extension_not_allowed" && !extension) known = "no_extension";
  if (kind === "rejected" && known === "busy") known = "other";
  const detail = DETAILED.test(known) && error.message ? error.message.replace(/[^.!?]$/, "$&.") : "";
  if (detail && language === "en") return { text: detail, detail: "" };
  const gaps = { size: size(error.problem?.max_size_bytes ?? config.maxFileSize), extension: `.${extension}` };
  return { text: t(`${kind}_${known}`, gaps), detail };
};
