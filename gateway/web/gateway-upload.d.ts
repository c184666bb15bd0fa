/**
 * Send files through the upload gateway straight to an S3-compatible store.
 *
 * Needs a browser of 2024 or newer. On `https:` pages and on localhost every part is sent with its SHA-256, which the
 * store checks; elsewhere browsers have no Web Crypto, and parts go without.
 *
 * @example
 * const upload = new Upload(file, { token: () => fetch("/upload-token").then((answer) => answer.text()) });
 * upload.addEventListener("progress", ({ detail }) => (bar.value = detail.sentBytes / detail.sizeBytes));
 * try {
 *   const { upload_id } = await upload.start();
 * } catch (error) {
 *   if (error instanceof UploadError) show(error.message); // for a person; `error.code` is for the program
 * }
 */

/** Where an upload stands in this page. `checking` is the gateway assembling the parts and looking at the file. */
export type UploadState =
  | "new"
  | "preparing"
  | "uploading"
  | "paused"
  | "checking"
  | "ready"
  | "rejected"
  | "aborted"
  | "failed";

export interface UploadOptions {
  /**
   * An upload token, or a function that gets one; it is called again when the gateway answers 401. It is kept in memory
   * only. Never give a page an API key: it opens everything of yours.
   */
  token: string | (() => string | Promise<string>);
  /** Address of the gateway. Default: where this module came from. */
  endpoint?: string;
  /** Name of the file; needed for a Blob that is no File. */
  filename?: string;
  /**
   * Media type, if you know it for certain: the file is rejected when its bytes are something else. Default: what the
   * extension says.
   */
  contentType?: string;
  /** Up to 32 short texts, given back with the upload. What the token carries cannot be changed by them. */
  metadata?: Record<string, string>;
  /** Wish for a part size in bytes, 5 MiB to 5 GiB. Default: the gateway's plan, 16 MiB for files up to 1.6 GiB. */
  partSize?: number;
  /** Parts sent at the same time. Default: 4. */
  parallel?: number;
  /** Tries of one part or call before the upload fails, each after a longer random wait. Default: 8, about a minute. */
  attempts?: number;
  /** Send every part with its SHA-256. Default: true. One part at a time is read into memory for it, in a worker. */
  checksums?: boolean;
  /**
   * Ask the gateway before the upload whether it would accept the file, from its name, its size and some 100 KiB of it. A
   * refused file ends as `rejected`, and nothing is created or sent. Where the question fails, the upload goes on without
   * an answer. Default: true.
   */
  inspect?: boolean;
  /** Remember the upload in localStorage, so that the same file goes on after a reload. Default: true. */
  remember?: boolean;
  /** Aborts the upload, like `abort()`. */
  signal?: AbortSignal;
}

/** An upload as the gateway describes it; the fields of `GET /v1/uploads/{upload_id}`. */
export interface UploadRecord {
  upload_id: string;
  state: "uploading" | "completing" | "validating" | "ready" | "rejected" | "aborted" | "expired";
  filename: string;
  size_bytes: number | null;
  content_type: string | null;
  part_size_bytes: number | null;
  part_count: number | null;
  object_key: string;
  /** The bucket of `object_key`; null for a file that the gateway keeps on its own disk. */
  bucket: string | null;
  etag: string | null;
  /** The version that was checked, where the bucket keeps versions. */
  version_id: string | null;
  metadata: Record<string, unknown>;
  rejection: { code: string; detail: string } | null;
  detection: Detection | null;
  /** false: the recording plays but was cut off. null: its format does not tell. */
  complete: boolean | null;
  /** true: the extension of the name does not fit the bytes, which are accepted nevertheless. */
  extension_mismatch: boolean | null;
  /** The name with the extension that fits the bytes; null where the name fits. */
  suggested_filename: string | null;
  /** Whether `download()` gives a link: the file is ready and the token allows downloads. */
  can_download: boolean;
  created_at: string;
  updated_at: string;
  expires_at: string;
}

/** What the gateway saw in the bytes. */
export interface Detection {
  accepted: boolean;
  container: string | null;
  family: string | null;
  media_type: string | null;
  kind: "audio" | "video" | "image" | "document" | "archive" | null;
  tracks: { kind: "audio" | "video" | "other"; codec: string | null }[];
  duration_seconds: number | null;
  /** How far a recording plays that was cut off. */
  available_seconds?: number | null;
  reason: string | null;
  [more: string]: unknown;
}

/** One part. The object lives on and changes; do not write to it. */
export interface UploadPart {
  readonly partNumber: number;
  readonly start: number;
  readonly sizeBytes: number;
  readonly sentBytes: number;
  readonly state: "waiting" | "hashing" | "sending" | "stored";
}

export interface UploadProgress {
  sentBytes: number;
  sizeBytes: number;
  /** Mean of the last eight seconds. */
  bytesPerSecond: number;
  /** null while nothing moves. */
  secondsLeft: number | null;
}

export interface UploadRetry {
  error: UploadError;
  attempt: number;
  delayMs: number;
  /** The browser is off line: the upload goes on as soon as it is back, and this was no attempt. */
  offline: boolean;
  /** null when it was a call to the gateway. */
  partNumber: number | null;
}

export interface UploadEvents {
  state: CustomEvent<{ state: UploadState; upload: UploadRecord | null }>;
  /** At most ten a second. */
  progress: CustomEvent<UploadProgress>;
  part: CustomEvent<UploadPart>;
  retry: CustomEvent<UploadRetry>;
}

export declare class Upload extends EventTarget {
  constructor(file: File, options: UploadOptions);
  constructor(blob: Blob, options: UploadOptions & { filename: string });

  readonly state: UploadState;
  /** What the gateway last said; null before the upload is created. */
  readonly upload: UploadRecord | null;
  readonly parts: readonly UploadPart[];

  /**
   * Begin, or go on with what this file began before a reload. Resolves when the upload is ready.
   *
   * Rejects with an UploadError: `aborted`, `file_unreadable`, `network`, `part_failed`, a rejection's code (then
   * `error.upload` is the record, or null where the file was refused before the upload) or the code of the gateway's
   * problem. After a failure a new Upload of the same file
   * goes on where this one stopped.
   */
  start(): Promise<UploadRecord>;
  /** Stop sending; parts in flight are sent again later. Returns false when there is nothing to pause. */
  pause(): boolean;
  resume(): boolean;
  /**
   * Stop, and remove what was sent. Resolves when the gateway has done so. An upload whose bytes are all there is checked
   * nevertheless; only the waiting ends.
   */
  abort(): Promise<void>;
  /** Get a short-lived link to the file; the upload must be ready. */
  download(): Promise<string>;

  addEventListener<Name extends keyof UploadEvents>(
    name: Name,
    listener: (event: UploadEvents[Name]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export declare class UploadError extends Error {
  readonly name: "UploadError";
  readonly code: string;
  /** HTTP status, 0 without an answer. */
  readonly status: number;
  /** Trying again may help. */
  readonly transient: boolean;
  /** Seconds. */
  readonly retryAfter: number;
  /** The gateway's whole answer (RFC 9457, or the answer of `POST /v1/inspect`), or {}. */
  readonly problem: Record<string, unknown>;
  readonly upload: UploadRecord | null;
}

/** An upload that this browser began and did not end. Choose the same file again to go on. */
export interface UnfinishedUpload {
  upload_id: string;
  filename: string;
  sizeBytes: number;
  expiresAt: string;
  checksums: boolean;
}

/** List what was begun on this origin and can be resumed. */
export declare function unfinished(): UnfinishedUpload[];

/** Upload a file and wait until it is ready: `new Upload(file, options).start()`. */
export declare function upload(file: File, options: UploadOptions): Promise<UploadRecord>;
