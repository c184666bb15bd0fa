/** Files from a drop, folders included. */

const MOST_FILES = 1000;
const DEEPEST = 32; // a folder may hold a link to itself

const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

/** Browsers give the entries of a folder by the hundred. */
const entriesOf = async (folder) => {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length || found.length > MOST_FILES) return found;
    found.push(...some);
  }
};

/**
 * Give the files of a drop with their path in a dropped folder ("" outside of one). Files of other extensions in a folder are
 * left out and counted: folders hold more than recordings. What cannot be read is left out, too.
 */
export const filesOf = async (transfer, extensions) => {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  // All of them before anything is waited for: the list is empty afterwards.
  const given = items.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const files = [];
  let leftOut = 0;
  let more = false;
  const walk = async (folder, depth) => {
    for (const entry of await entriesOf(folder).catch(() => [])) {
      if (files.length >= MOST_FILES) return void (more = true);
      if (entry.isDirectory) {
        if (depth < DEEPEST) await walk(entry, depth + 1);
      } else if (!extensions.includes(entry.name.split(".").at(-1).toLowerCase())) leftOut++;
      else {
        const file = await fileOf(entry).catch(() => null);
        if (file) files.push({ file, path: entry.fullPath.replace(/^\/+/, "") });
        else leftOut++;
      }
    }
  };
  for (const [entry, file] of given) {
    if (entry?.isDirectory) await walk(entry, 0);
    else if (file) files.push({ file, path: "" });
  }
  return { files, leftOut, more, most: MOST_FILES };
};
