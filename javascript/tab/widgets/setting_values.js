/** The values of settings: as they are typed, and as they are said. */

import { t } from '../base/texts.js';

const THOUSANDS = /^[-+]?\d{1,3}([.,'’\s]\d{3})+$/; // 1,000 and 1.000: neither is meant as 1

/**
 * A text as it is typed; null where an empty one stands for the default.
 * @param {string} text
 * @param {SettingField} field
 */
export function textIn(text, field) {
  return text.trim() === '' && field.default === null ? null : text;
}

/**
 * A number as people write it: 0,0001 and 1e-4, too.
 * @param {string} text
 * @param {SettingField} field
 * @returns {{value?: number | null, wrong?: string}}
 */
export function numberIn(text, field) {
  if (field.kind === 'int' && THOUSANDS.test(text.trim()))
    return { wrong: t('Enter a whole number without separators: 1000, not 1,000.') };
  const plain = text.trim().replace(',', '.');
  if (plain === '') return field.default === null ? { value: null } : { wrong: t('Enter a number.') };
  const value = Number(plain);
  if (!Number.isFinite(value)) return { wrong: t('“{text}” is not a number.', { text }) };
  if (field.kind === 'int' && !Number.isInteger(value)) return { wrong: t('This must be a whole number.') };
  return { value };
}

/**
 * "preset sd15-face: lora: rank is 0; it must be …" without what the field says already.
 * @param {string} key
 * @param {string} text
 */
export function about(key, text) {
  const at = text.indexOf(`${key.split('.').pop()} `);
  return at > 0 ? text.slice(at) : text;
}

/**
 * A value for a person.
 * @param {unknown} value
 */
export function inWords(value) {
  if (Array.isArray(value)) return value.length ? value.join(' · ') : t('none');
  if (value === null || value === undefined || value === '') return t('none');
  if (value === true) return t('on');
  return value === false ? t('off') : String(value);
}
