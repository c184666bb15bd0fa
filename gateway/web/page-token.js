/** The token: from the link's fragment, which no server sees, from this visitor, or from the gateway in development. */

import { config, find, t } from "./page-words.js";

const ANSWER_MS = 20_000;
export const endpoint = new URL(".", document.baseURI).href;

let changed = () => {};
export const tab = {
  get token() {
    return sessionStorage.getItem("token");
  },
  set token(token) {
    if (token) sessionStorage.setItem("token", token);
    else sessionStorage.removeItem("token");
    changed();
  },
};
export const onTokenChange = (listener) => (changed = listener);

/** Name a token by its id, which opens nothing; null for what is no upload token. */
export const idOf = (token) => {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).jti ?? null;
  } catch {
    return null;
  }
};

/** Ask the gateway something; throws where no answer comes, or another one than 2xx (with its status). */
export const api = async (path, { token = tab.token, within = ANSWER_MS, headers } = {}) => {
  const answer = await fetch(`${endpoint}v1/${path}`, {
    headers: { accept: "application/json", ...headers, authorization: `Bearer ${token}` },
    credentials: "omit",
    signal: AbortSignal.timeout(within),
  });
  if (answer.ok) return answer.json();
  const { code, detail } = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(detail ?? `HTTP ${answer.status}`), { code, status: answer.status });
};

/** Say why a token is of no use here; "" where the gateway takes it. */
const refusal = async (token) => {
  try {
    await api("uploads?limit=1", { token });
    return "";
  } catch ({ status, name }) {
    if (status === 401 || (name === "TypeError" && /[^\x21-\x7e]/.test(token))) return "token_wrong"; // no header holds it
    return status === 403 ? "token_not_here" : "token_unchecked";
  }
};

let asking;
let answer = () => {};

export const askVisitor = (why) => {
  const form = find("#ask");
  const show = (key) => {
    find("#ask-why").textContent = t(key || "token_why");
    form.classList.toggle("wrong", Boolean(key));
    find("#token").toggleAttribute("aria-invalid", Boolean(key));
    if (key) find("#token").focus();
  };
  form.hidden = false;
  if (why) show(why);
  return (asking ??= new Promise((resolve) => {
    answer = (token) => {
      form.hidden = true;
      show("");
      find("#token").value = "";
      asking = undefined;
      answer = () => {};
      resolve((tab.token = token));
      find("#choose").focus();
    };
    form.onsubmit = async (event) => {
      event.preventDefault();
      const given = find("#token").value.trim();
      if (!given || form.ariaBusy) return;
      form.ariaBusy = "true";
      const wrong = await refusal(given);
      form.ariaBusy = null;
      if (find("#token").value.trim() !== given) return; // a link brought another one meanwhile
      if (wrong) show(wrong);
      else answer(given);
    };
  }));
};

export const takeFromLink = () => {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  // Not for the history, nor for a person who copies the link.
  history.replaceState(null, "", location.pathname + location.search);
  tab.token = given;
  answer(given); // a link that was opened in this tab, where the token is asked for
};

const askGateway = () =>
  (asking ??= fetch("page/token", { method: "POST" })
    .then(async (answer) => {
      if (!answer.ok) throw new Error((await answer.json()).detail);
      return (tab.token = (await answer.json()).token);
    })
    .finally(() => (asking = undefined)));

/** Forget a token that the gateway refused, and ask for another where a person has to give it. */
export const dropToken = (token) => {
  if (tab.token === token) tab.token = null;
  if (config.visit === "token" && !tab.token) askVisitor("token_wrong");
};

/** Make a token function for one upload: to be asked again means that the last answer was refused. */
export const tokens = () => {
  let last;
  return async () => {
    if (last && tab.token === last) tab.token = null;
    const refused = last ? "token_wrong" : "";
    last = tab.token || (await (config.visit === "open" ? askGateway() : askVisitor(refused)));
    return last;
  };
};
