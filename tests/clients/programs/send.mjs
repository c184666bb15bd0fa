// Send a form with Node's fetch (undici): `node send.mjs URL KEY FILE [blob]`. With `blob` the file is a Blob without a name.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

const [url, key, file, kind] = process.argv.slice(2);
if (url === "--version") {
  console.log(`${process.version}, undici ${process.versions.undici}`);
} else {
  const form = new FormData();
  form.append("model", "whisper-1");
  const blob = new Blob([await readFile(file)], { type: "audio/mpeg" });
  if (kind === "blob") form.append("file", blob);
  else form.append("file", blob, basename(file));
  const answer = await fetch(url, { method: "POST", body: form, headers: { Authorization: `Bearer ${key}` } });
  console.log(await answer.text());
}
