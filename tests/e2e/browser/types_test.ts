// Compiled, never run: what an application in TypeScript writes must type-check, and mistakes must not.
import { Upload, UploadError, unfinished, upload } from "../../../gateway/web/gateway-upload.js";

export async function send(file: File, bar: HTMLProgressElement): Promise<string> {
  const sending = new Upload(file, { token: async () => "token", parallel: 2, metadata: { case: "12" } });
  sending.addEventListener("progress", ({ detail }) => {
    bar.value = detail.sentBytes / detail.sizeBytes;
  });
  sending.addEventListener("state", ({ detail }) => {
    if (detail.state === "paused") sending.resume();
    // @ts-expect-error there is no such state
    if (detail.state === "finished") sending.pause();
  });
  sending.addEventListener("part", ({ detail }) => {
    // @ts-expect-error parts are for reading
    detail.sentBytes = 0;
  });
  try {
    const record = await sending.start();
    return record.detection?.container ?? record.upload_id;
  } catch (error) {
    if (error instanceof UploadError) return error.upload?.rejection?.detail ?? error.code;
    throw error;
  }
}

export const names: string[] = unfinished().map((entry) => entry.filename);

// @ts-expect-error a token is needed
new Upload(new File([], "talk.mp3"), {});

// @ts-expect-error a Blob has no name of its own
new Upload(new Blob([]), { token: "token" });

new Upload(new Blob([]), { token: "token", filename: "talk.mp3" });

void upload(new File([], "talk.mp3"), { token: "token", signal: AbortSignal.timeout(1000) });
