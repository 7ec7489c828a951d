/** The files that somebody gives: dropped, pasted or chosen, folders read through. */

const TEXT = /\.txt$/i;

/**
 * Everything in a drop or a paste, folders read through.
 * @returns {Promise<GivenFile[]>} `chosen`: given by itself, not found in a folder.
 * @param {DataTransfer} transfer
 */
export async function given(transfer) {
  const entries = [...(transfer.items || [])]
    .filter((item) => item.kind === 'file')
    .map((item) => (item.webkitGetAsEntry && item.webkitGetAsEntry()) || item.getAsFile());
  const found = entries.length ? entries : [...transfer.files];
  const all = await Promise.all(found.filter((one) => one !== null).map((one) => within(one, true)));
  return all.flat();
}

/**
 * @param {FileSystemEntry} entry
 * @returns {entry is FileSystemFileEntry}
 */
const isFileEntry = (entry) => entry.isFile;

/**
 * @param {FileSystemEntry | File} entry
 * @param {boolean} chosen
 * @returns {Promise<GivenFile[]>}
 */
async function within(entry, chosen) {
  if (entry instanceof File) return [{ file: entry, folder: '', chosen }];
  if (isFileEntry(entry)) {
    /** @type {File} */
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, folder: entry.fullPath.slice(0, -entry.name.length), chosen }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {GivenFile[]} */
  const found = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at most
    if (!some.length) break;
    for (const one of some) found.push(...(await within(one, false)));
  }
  return found;
}

/**
 * The files that were chosen with an input: by themselves, or with their folder.
 * @param {HTMLInputElement} input
 */
export function chosenFiles(input) {
  return [...(input.files || [])].map((file) => {
    const path = file.webkitRelativePath || '';
    return { file, folder: path.slice(0, path.length - file.name.length), chosen: !path };
  });
}

/**
 * The pictures and archives among them, each with the file of its caption: a .txt of a picture's name.
 * @param {GivenFile[]} items
 * @param {string[]} suffixes
 */
export function withCaptions(items, suffixes) {
  const path = (/** @type {GivenFile} */ item) => item.folder + item.file.name;
  const captions = new Map(
    items.filter((one) => TEXT.test(one.file.name)).map((one) => [path(one).replace(TEXT, ''), one.file]),
  );
  return items
    .filter((one) => !one.file.name.startsWith('.') && isWanted(one, suffixes))
    .map((one) => ({ file: one.file, caption: captions.get(path(one).replace(/\.[^.]*$/, '')) }));
}

/**
 * @param {GivenFile} given
 * @param {string[]} suffixes
 */
function isWanted({ file, chosen }, suffixes) {
  if (TEXT.test(file.name)) return false;
  const name = file.name.toLowerCase();
  return chosen || suffixes.some((suffix) => name.endsWith(suffix)) || file.type.startsWith('image/');
}

/**
 * A file as base64, as the routes take it; rejects with `wrong` where it cannot be read.
 * @param {File} file
 * @param {string} wrong
 * @returns {Promise<string>}
 */
export function asBase64(file, wrong) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(',', 2)[1]);
    reader.onerror = () => reject(new Error(wrong));
    reader.readAsDataURL(file);
  });
}
