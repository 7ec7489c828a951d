import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';

const LOST = 'SameFace is not ready yet and is tried again every 30 seconds; if this stays, reload the page.';
const OLD = 'SameFace was updated; close the webui and start it again.';
const folder = mkdtempSync(join(tmpdir(), 'sameface-'));
const kept = { setTimeout: globalThis.setTimeout, fetch: globalThis.fetch, warn: console.warn };
let element, answers, asked, turns;

before(() => {
  console.warn = () => {};
  globalThis.document = { querySelector: () => element };
  globalThis.fetch = async () => {
    asked += 1;
    const status = answers.length > 1 ? answers.shift() : answers[0];
    return { ok: status === 200, status };
  };
});

beforeEach(() => {
  asked = 0;
  answers = [200];
  element = { dataset: { base: pathToFileURL(folder).href, modules: '/' }, textContent: '' };
  globalThis.window = { location: { pathname: '/' } };
  writeFileSync(join(folder, 'main.js'), "import './missing.js';\n");
});

after(() => {
  console.warn = kept.warn;
  Object.assign(globalThis, { fetch: kept.fetch, setTimeout: kept.setTimeout });
  rmSync(folder, { recursive: true });
});

/** What comes next: that it waits, as {look, pause}, or that the modules are there. No time passes. */
async function next(begin) {
  const come = new Promise((resolve) => {
    globalThis.setTimeout = (look, pause) => resolve({ look, pause });
    globalThis.modulesRun = () => resolve('loaded');
  });
  await begin();
  return come;
}

/** The script as a webui loads it; each address is a script of its own. */
const script = () => import(`../../javascript/sameface.js?${(turns = (turns || 0) + 1)}`);

test('it waits for the element', async () => {
  const there = element;
  element = null;
  const wait = await next(script);
  assert.deepEqual([wait.pause, asked], [200, 0]);
  element = there;
  element.dataset.modules = '/waited-';
  writeFileSync(join(folder, 'waited-main.js'), 'globalThis.modulesRun();\n');
  assert.equal(await next(wait.look), 'loaded');
});

test('routes that come late are asked seldom, and the page comes without a reload', async () => {
  answers = [404, 404, 404, 200];
  element.dataset.modules = '/late-';
  writeFileSync(join(folder, 'late-main.js'), 'globalThis.modulesRun();\n');
  const pauses = [];
  let come = await next(script);
  while (come !== 'loaded') {
    pauses.push([come.pause, element.textContent]);
    come = await next(come.look);
  }
  assert.deepEqual(pauses, [
    [2000, ''],
    [30000, LOST],
    [30000, LOST],
  ]);
  assert.equal(asked, 4);
});

test('a module that cannot be loaded is said at the second failure', async () => {
  const first = await next(script);
  assert.deepEqual([first.pause, element.textContent], [2000, '']);
  const second = await next(first.look);
  assert.deepEqual([second.pause, element.textContent, asked], [30000, LOST, 2]);
});

test('both sentences are in the language of the webui', async () => {
  globalThis.window.localization = { [LOST]: 'Bitte neu laden.', [OLD]: 'Bitte neu starten.' };
  answers = [500];
  const { look } = await next(script);
  await next(look);
  assert.equal(element.textContent, 'Bitte neu laden.');
  delete element.dataset.modules;
  await look();
  assert.equal(element.textContent, 'Bitte neu starten.');
  globalThis.window.localization = {};
  await look();
  assert.equal(element.textContent, OLD);
});
