/** Send a file straight to the store, in parts; gateway-upload.d.ts says how. Token and signed URLs stay in memory. */

const MEMORY = "gateway-upload:";
const ENDS = 64 * 1024; // bytes at either end that tell files of one name and size apart
const STALL_MS = 60_000; // no sign of life for this long, and a request is given up
const EXPIRY_MARGIN_MS = 60_000;
const LONGEST_DELAY_MS = 20_000;
const RATE_WINDOW_MS = 8_000;
const ASK_MS = 20_000; // the question before an upload is worth no more
const ASK_HEAD = 34 * 1024; // with these the check asks for nothing more of nearly every file
const ASK_TAIL = 66 * 1024;
const ASK_RANGES = 24;
const ASK_BYTES = 256 * 1024;

export class UploadError extends Error {
  name = "UploadError";
  constructor(code, message, { status = 0, transient = false, retryAfter = 0, problem = {}, upload = null } = {}) {
    super(message);
    Object.assign(this, { code, status, transient, retryAfter, problem, upload });
  }
}

/* One part is hashed at a time, so memory holds one. */

let worker;
let turn = Promise.resolve();

/** Runs in the worker too. Every part goes into the same room: new ones outrun the collector. */
let room;
const sha256 = async (blob) => {
  const { size } = blob;
  let reader;
  try {
    reader = blob.stream().getReader({ mode: "byob" });
  } catch {
    return crypto.subtle.digest("SHA-256", await blob.arrayBuffer()); // Safari
  }
  if (!(room?.byteLength >= size)) room = new ArrayBuffer(size);
  for (let at = 0; at < size; ) {
    const { value, done } = await reader.read(new Uint8Array(room, at, size - at));
    if (done) throw size;
    room = value.buffer;
    at += value.length;
  }
  return crypto.subtle.digest("SHA-256", new Uint8Array(room, 0, size));
};
const WORKER = `let room;
onmessage = ({ data }) => (${sha256})(data).then(postMessage, (error) => postMessage(String(error)));`;

const inWorker = (blob) =>
  new Promise((resolve, reject) => {
    const here = () => {
      worker = null; // the page's policy lacks `worker-src blob:`
      resolve(sha256(blob));
    };
    try {
      worker ??= new Worker(URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" })));
      worker.onerror = here;
      worker.onmessage = ({ data }) => (data instanceof ArrayBuffer ? resolve(data) : reject(data));
      worker.postMessage(blob);
    } catch {
      here();
    }
  });

const digest = (blob) => {
  const mine = turn.then(() => (worker === null ? sha256(blob) : inWorker(blob)));
  turn = mine.catch(() => {});
  return mine.then(
    (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))),
    () => {
      throw new UploadError("file_unreadable", "The file can no longer be read: it was changed, moved or removed.");
    },
  );
};

const base64 = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1]);
    reader.onerror = reject;
    reader.readAsDataURL(blob);
  });

/** Null where there is no storage, it is full, or holds what is not ours: uploads work without. */
const inStorage = (work) => {
  try {
    return work(localStorage);
  } catch {
    return null;
  }
};

const recall = (key) =>
  inStorage((storage) => {
    const entry = JSON.parse(storage.getItem(key));
    if (Date.parse(entry?.expiresAt) > Date.now()) return entry;
    storage.removeItem(key);
  });

const remember = (key, entry) => inStorage((storage) => storage.setItem(key, JSON.stringify(entry)));

export const unfinished = () =>
  inStorage((storage) => Object.keys(storage).filter((key) => key.startsWith(MEMORY)).map(recall).filter(Boolean)) ||
  [];

const fingerprint = async (file, endpoint) => {
  const facts = [endpoint, file.name, file.size, file.lastModified].join("\n");
  if (!globalThis.crypto?.subtle) return MEMORY + facts;
  const ends = [file.slice(0, ENDS), file.slice(-ENDS)];
  return MEMORY + (await digest(new Blob([facts, ...ends])));
};

const waitFor = (ms, signal) =>
  new Promise((resolve) => {
    const done = () => {
      if (navigator.onLine === false && !signal.aborted) return; // there is nothing to try
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });

const put = ({ method, url, headers }, body, signal, sent) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much it has sent
    let timer;
    const stop = () => request.abort();
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(stop, STALL_MS);
    };
    request.open(method, url);
    for (const name in headers) request.setRequestHeader(name, headers[name]);
    request.upload.onprogress = ({ loaded }) => (alive(), sent(loaded));
    request.onloadend = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      const { status } = request;
      if (status >= 200 && status < 300) return resolve();
      // The next attempt asks the gateway for a new URL: it knows what is really wrong.
      const why = status ? `The store answered ${status} to a part.` : "The connection to the store broke.";
      reject(new UploadError("part_failed", why, { status, transient: true }));
    };
    signal.addEventListener("abort", stop);
    alive();
    request.send(body);
  });

export class Upload extends EventTarget {
  state = "new";
  upload = null;
  parts = [];
  #file;
  #options;
  #bearer;
  #key;
  #checksums;
  #signed = new Map();
  #run;
  #settle;
  #outcome = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
  #moved = 0;
  #samples = [];
  #told = 0;
  #once = crypto.getRandomValues(new Uint32Array(4)).join("-"); // asked for twice, created once

  constructor(file, options = {}) {
    super();
    this.#file = file;
    this.#options = {
      endpoint: new URL(".", import.meta.url).href,
      filename: file.name,
      parallel: 4,
      attempts: 8,
      checksums: true,
      inspect: true,
      remember: true,
      ...options,
    };
    this.#options.endpoint = this.#options.endpoint.replace(/\/*$/, "/");
  }

  start() {
    if (this.state !== "new") return this.#outcome;
    const { signal } = this.#options;
    const stop = () => this.abort().catch(() => {});
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    else this.#go();
    return this.#outcome;
  }

  pause() {
    if (!/preparing|uploading/.test(this.state)) return false;
    this.#to("paused");
    this.#run.abort();
    return true;
  }

  resume() {
    if (this.state !== "paused") return false;
    this.#go();
    return true;
  }

  async abort() {
    if (/ready|rejected|aborted|failed/.test(this.state)) return;
    const { upload } = this;
    this.#to("aborted");
    this.#run?.abort();
    this.#forget();
    this.#outcome.catch(() => {});
    this.#settle.reject(new UploadError("aborted", "The upload was aborted.", { upload }));
    if (!upload) return;
    this.#run = new AbortController();
    await this.#ask("DELETE", this.#at).catch((error) => {
      if (error.status !== 409) throw error; // complete already: it is checked, whoever waits for it
    });
  }

  async download() {
    return (await this.#ask("GET", `${this.#at}/download`, { headers: { accept: "application/json" } })).url;
  }

  get #at() {
    return `uploads/${this.upload.upload_id}`;
  }

  /** Go from where the upload is to its end, or to a pause. */
  async #go() {
    const run = (this.#run = new AbortController());
    this.#samples = [];
    try {
      if (!this.upload) await this.#open(run.signal);
      await this.#finish(run.signal);
      this.#forget();
      this.#to("ready");
      this.#settle.resolve(this.upload);
    } catch (error) {
      if (run.signal.aborted) return;
      run.abort(); // the other lanes
      const { upload } = this;
      error.upload ??= upload;
      if (upload?.rejection) this.#forget();
      const rejected = upload?.state === "rejected" || error.problem?.rejection;
      this.#to(rejected ? "rejected" : "failed");
      this.#settle.reject(error);
    }
  }

  /** Find what this file began before a reload, or create an upload. */
  async #open(signal) {
    this.#to("preparing");
    const { endpoint, filename, contentType, metadata, partSize } = this.#options;
    this.#key ??= this.#options.remember && (await fingerprint(this.#file, endpoint));
    signal.throwIfAborted();
    const known = this.#key && recall(this.#key);
    this.#checksums = known ? known.checksums : this.#options.checksums && Boolean(globalThis.crypto?.subtle);
    if (known && (await this.#takeUp(known.upload_id))) return;
    if (this.#options.inspect) await this.#persist(() => this.#inspect(signal));
    const body = { filename, size_bytes: this.#file.size, content_type: contentType, metadata, part_size_bytes: partSize };
    // Not file.type: a guess, which the gateway makes better.
    if (this.#checksums) body.part_checksums = "sha256";
    const created = await this.#ask("POST", "uploads", { body, headers: { "idempotency-key": this.#once } });
    for (const part of created.parts) this.#signed.set(part.part_number, part);
    this.#plan(created);
    const { upload_id, expires_at: expiresAt } = created;
    const entry = { upload_id, expiresAt, filename, sizeBytes: this.#file.size, checksums: this.#checksums };
    if (this.#key) remember(this.#key, entry);
  }

  /** Ask whether the file would be accepted. Where no answer comes, the upload goes on: the check at its end decides. */
  async #inspect(signal) {
    const { size } = this.#file;
    const ranges = [];
    const tail = Math.max(ASK_HEAD, size - ASK_TAIL);
    let wanted = [{ start: 0, length: ASK_HEAD }];
    if (tail < size) wanted.push({ start: tail, length: ASK_TAIL });
    let answer;
    try {
      while (wanted.length && ranges.length < ASK_RANGES) {
        for (const { start, length } of wanted) {
          ranges.push({ start, data: await base64(this.#file.slice(start, start + Math.min(length, ASK_BYTES))) });
        }
        const body = { filename: this.#options.filename, size_bytes: size, ranges };
        answer = await this.#call("POST", "inspect", { body, within: ASK_MS });
        ({ wanted } = answer);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error.code === "token") throw error; // without a token nothing else works, either
      return;
    }
    const { rejection } = answer;
    if (rejection) throw new UploadError(rejection.code, rejection.detail, { problem: answer });
  }

  async #takeUp(id) {
    try {
      const upload = await this.#ask("GET", `uploads/${id}`);
      if (!/uploading|completing|validating|ready/.test(upload.state)) return false;
      this.#plan(upload);
      if (upload.state === "uploading") await this.#list();
      return true;
    } catch (error) {
      if (![401, 403, 404].includes(error.status)) throw error;
      this.upload = null; // another person's token, or long gone
      return false;
    }
  }

  #plan(upload) {
    this.upload = upload;
    const { part_size_bytes: size, part_count: count } = upload;
    this.parts = Array.from({ length: count ?? 0 }, (_, index) => {
      const sizeBytes = Math.min(size, this.#file.size - index * size);
      return { partNumber: index + 1, start: index * size, sizeBytes, sentBytes: 0, state: "waiting", held: null };
    });
  }

  async #list() {
    const { parts } = await this.#ask("GET", `${this.#at}/parts`);
    const held = new Map(parts.map((part) => [part.part_number, part]));
    for (const part of this.parts) {
      const stored = held.get(part.partNumber);
      const whole = stored?.size_bytes === part.sizeBytes;
      part.held = whole && this.#checksums ? stored.checksum_sha256 : null;
      this.#mark(part, whole && !part.held ? "stored" : "waiting");
    }
  }

  async #finish(signal) {
    for (let round = 1; ; round++) {
      if (this.upload.state === "uploading") {
        try {
          this.#to("uploading");
          await this.#send(signal);
          this.#to("checking");
          await this.#complete(round);
        } catch (error) {
          if (error.code !== "wrong_state" || round > 3) throw error;
          this.upload = await this.#ask("GET", this.#at); // another tab sent the last part
        }
      }
      while (/completing|validating/.test(this.upload.state)) {
        this.#to("checking");
        this.upload = await this.#ask("GET", this.#at, { headers: { prefer: "wait=20" } });
        if (this.upload.state === "uploading") await this.#list(); // the store lost a part
      }
      if (this.upload.state === "uploading") continue;
      for (const part of this.parts) if (part.state !== "stored") this.#mark(part, "stored");
      const { state, rejection } = this.upload;
      if (state === "ready") return;
      const { code = state, detail = `The upload is ${state}.` } = rejection ?? {};
      throw new UploadError(code, detail);
    }
  }

  async #complete(round) {
    try {
      // Without ETags: CORS often hides them from a page, and the gateway lists what the store holds.
      this.upload = await this.#ask("POST", `${this.#at}/complete`, { body: {} });
    } catch (error) {
      if (error.code !== "parts_mismatch" || round > 3) throw error;
      const { missing = [], wrong_size = [] } = error.problem;
      const named = [...missing, ...wrong_size];
      for (const number of named) {
        const part = this.parts[number - 1];
        part.held = null;
        this.#mark(part, "waiting");
      }
      if (!named.length) await this.#list();
    }
  }

  async #send(signal) {
    const left = this.parts.filter((part) => part.state !== "stored");
    const next = left.values(); // shared: whichever lane is free takes the next part
    const lane = async () => {
      for (const part of next) await this.#sendPart(part, signal);
    };
    await Promise.all(Array.from({ length: Math.min(this.#options.parallel, left.length) }, lane));
  }

  async #sendPart(part, signal) {
    const body = this.#file.slice(part.start, part.start + part.sizeBytes);
    const attempt = async () => {
      let checksum;
      if (this.#checksums) {
        this.#mark(part, "hashing");
        checksum = await digest(body);
        if (part.held === checksum) return;
      }
      const signed = await this.#sign(part.partNumber, checksum);
      signal.throwIfAborted();
      this.#mark(part, "sending");
      await put(signed, body, signal, (bytes) => this.#sent(part, bytes));
      this.#sent(part, part.sizeBytes);
    };
    try {
      await this.#persist(attempt, part);
      this.#mark(part, "stored");
    } catch (error) {
      if (signal === this.#run.signal) this.#mark(part, "waiting"); // else another run has the part now
      throw error;
    }
  }

  /** Return a request for one part; its URL is used once. */
  async #sign(number, checksum) {
    const known = this.#signed.get(number);
    this.#signed.delete(number);
    if (known && Date.parse(known.expires_at) - Date.now() > EXPIRY_MARGIN_MS) return known;
    const body = checksum ? { parts: [{ part_number: number, checksum_sha256: checksum }] } : { part_numbers: [number] };
    return (await this.#call("POST", `${this.#at}/parts/sign`, { body })).parts[0];
  }

  /** Try until it works or is hopeless. */
  async #persist(work, part) {
    const { signal } = this.#run;
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        const answer = await work();
        signal.throwIfAborted();
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        const offline = navigator.onLine === false;
        if (!error.transient || (attempt >= this.#options.attempts && !offline)) throw error;
        if (offline) attempt = 0;
        const ceiling = Math.min(LONGEST_DELAY_MS, 500 * 2 ** attempt);
        // An expired URL is the ordinary case of 403: a new one at once.
        const delayMs = error.status === 403 && attempt === 1 ? 0 : Math.random() * ceiling + error.retryAfter * 1000;
        if (part) this.#mark(part, "waiting");
        this.#tell("retry", { error, attempt, delayMs, offline, partNumber: part?.partNumber ?? null });
        await waitFor(delayMs, signal);
      }
    }
  }

  #ask(...request) {
    return this.#persist(() => this.#call(...request));
  }

  /** Call the gateway once, or twice where the token may just have expired. */
  async #call(method, path, { body, headers, within = STALL_MS } = {}, again = true) {
    const { endpoint, token } = this.#options;
    const renewable = typeof token === "function";
    const bearer = await (this.#bearer ??= (async () => (renewable ? token() : token))()).catch((cause) => {
      this.#bearer = undefined;
      throw new UploadError("token", `No upload token: ${cause?.message ?? cause}`, { transient: true });
    });
    const init = {
      method,
      headers: { ...headers, authorization: `Bearer ${bearer}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.any([this.#run.signal, AbortSignal.timeout(within)]),
      credentials: "omit",
    };
    let answer, problem;
    try {
      answer = await fetch(`${endpoint}v1/${path}`, init);
      if (answer.ok) return answer.status === 204 ? null : await answer.json();
      problem = await answer.json().catch(() => ({})); // a proxy's page
    } catch {
      throw new UploadError("network", "The gateway cannot be reached.", { transient: true });
    }
    const { status } = answer;
    if (status === 401 && renewable && again) {
      if ((await this.#bearer) === bearer) this.#bearer = undefined;
      return this.#call(method, path, { body, headers, within }, false);
    }
    const transient = status === 408 || status === 429 || status >= 500 || /lease_lost|in_progress/.test(problem.code);
    const retryAfter = Math.min(60, answer.headers.get("retry-after") || 0);
    const message = problem.detail ?? `The gateway answered ${status}.`;
    throw new UploadError(problem.code ?? "http", message, { status, transient, retryAfter, problem });
  }

  #forget() {
    if (this.#key) inStorage((storage) => storage.removeItem(this.#key));
  }

  #to(state) {
    if (this.state === state) return;
    this.state = state;
    this.#tell("state", { state, upload: this.upload });
    this.#progress(true);
  }

  #mark(part, state) {
    if (state !== "sending") part.sentBytes = state === "stored" ? part.sizeBytes : 0;
    part.state = state;
    this.#tell("part", part);
    this.#progress(this.state === "paused");
  }

  #sent(part, bytes) {
    this.#moved += Math.max(0, bytes - part.sentBytes);
    part.sentBytes = bytes;
    this.#tell("part", part);
    this.#progress();
  }

  #progress(now) {
    const time = performance.now();
    if (!now && time - this.#told < 100) return; // a screen shows no more
    this.#told = time;
    this.#samples = this.#samples.filter(([at]) => time - at < RATE_WINDOW_MS);
    this.#samples.push([time, this.#moved]);
    const [since, before] = this.#samples[0];
    const sizeBytes = this.#file.size;
    const sentBytes = this.parts.reduce((sum, part) => sum + part.sentBytes, 0);
    const bytesPerSecond = time > since ? ((this.#moved - before) * 1000) / (time - since) : 0;
    const secondsLeft = bytesPerSecond ? (sizeBytes - sentBytes) / bytesPerSecond : null;
    this.#tell("progress", { sentBytes, sizeBytes, bytesPerSecond, secondsLeft });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

export const upload = (file, options) => new Upload(file, options).start();
