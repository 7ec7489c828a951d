/** Numbers in words. */

import { plural, t } from './texts.js';

const SIZES = ['B', 'KB', 'MB', 'GB', 'TB'];

/**
 * Whether a value is a number that can be shown.
 * @param {unknown} value
 * @returns {value is number}
 */
export function isNumber(value) {
  return Number.isFinite(value);
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (!isNumber(seconds)) return '';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t('{n} s', { n: whole });
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return t('{n} min', { n: minutes });
  const hours = Math.floor(minutes / 60);
  return t('{h} h {m} min', { h: hours, m: minutes % 60 });
}

/** @param {number | null | undefined} count */
export function bytes(count) {
  if (!isNumber(count)) return '';
  let place = 0;
  let rest = count;
  while (rest >= 1000 && place < SIZES.length - 1) {
    rest /= 1000;
    place += 1;
  }
  const digits = place === 0 || rest >= 100 ? 0 : 1;
  return `${rest.toLocaleString(undefined, { maximumFractionDigits: digits })} ${SIZES[place]}`;
}

/**
 * What the server takes at most, as the server writes it: its MB is 1024 * 1024 bytes.
 * @param {number} count
 */
export function limit(count) {
  return `${Math.floor(count / (1024 * 1024))} MB`;
}

/** @param {number | null | undefined} share */
export function percent(share) {
  if (!isNumber(share)) return '';
  return `${Math.round(share * 100)} %`;
}

/** @param {number} time in Unix seconds. */
export function ago(time) {
  const seconds = Date.now() / 1000 - time;
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return t('just now');
  if (seconds < 3600) return plural(Math.floor(seconds / 60), '{n} minute ago', '{n} minutes ago');
  if (seconds < 86400) return plural(Math.floor(seconds / 3600), '{n} hour ago', '{n} hours ago');
  if (seconds < 7 * 86400) return plural(Math.floor(seconds / 86400), '{n} day ago', '{n} days ago');
  return new Date(time * 1000).toLocaleDateString();
}

/**
 * Whole and broken numbers as the browser's language writes them, with `digits` at most after the point.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function number(value, digits = 0) {
  if (!isNumber(value)) return '';
  return value.toLocaleString(undefined, { maximumFractionDigits: digits });
}
