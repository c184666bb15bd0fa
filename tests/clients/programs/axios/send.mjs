// Send a form with axios and form-data: `node send.mjs URL KEY FILE`.
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import axios from "axios";
import FormData from "form-data";

const [url, key, file] = process.argv.slice(2);
if (url === "--version") {
  const manifest = await readFile(new URL("package.json", import.meta.url));
  const { axios: client, "form-data": form } = JSON.parse(manifest).dependencies;
  console.log(`axios ${client}, form-data ${form}`);
} else {
  const form = new FormData();
  form.append("model", "whisper-1");
  form.append("file", createReadStream(file), { filename: basename(file) });
  const answer = await axios.post(url, form, {
    headers: { Authorization: `Bearer ${key}` },
    maxBodyLength: Infinity,
    validateStatus: () => true,
  });
  console.log(JSON.stringify(answer.data));
}
