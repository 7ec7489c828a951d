/** The text of a list of prompts: its lines, whether it is a table, and tags of LoRAs in it. Pure. */

/**
 * The lines that count: no empty ones, no remarks.
 * @param {string} text
 */
export function promptLines(text) {
  return text.split('\n').filter((one) => one.trim() && !one.startsWith('#'));
}

/**
 * Whether the first line names columns, as the server reads it.
 * @param {string} text
 */
export function isTable(text) {
  const names = (promptLines(text)[0] || '').split(/[\t;,]/).map((name) => name.trim().toLowerCase());
  return names.length > 1 && names.includes('prompt');
}

/**
 * The text of plain lines with a LoRA's tag at the end of each prompt; one that is there gets the weight.
 * @param {string} text
 * @param {string} name
 * @param {number} weight
 */
export function withLora(text, name, weight) {
  const tag = `<lora:${name}:${weight}>`;
  const there = new RegExp(`\\s*<lora:${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}:[^<>]*>`, 'gi');
  const lines = text.split('\n').map((line) => {
    if (!line.trim() || line.startsWith('#')) return line;
    return `${line.replace(there, '').trimEnd()} ${tag}`;
  });
  return lines.join('\n');
}
