import assert from 'node:assert/strict';
import test from 'node:test';

import { isTable, promptLines, withLora } from '../../javascript/tab/produce/prompt_text.js';

test('remarks and empty lines are no prompts', () => {
  assert.deepEqual(promptLines('# a list\n\nat the sea\n  \nin a café'), ['at the sea', 'in a café']);
});

test('a first line with the column prompt makes a table', () => {
  assert.ok(isTable('prompt;seed\nat the sea;7'));
  assert.ok(isTable('# remark\nNegative,Prompt\nblurry,x'));
  assert.ok(!isTable('at the sea, in the evening\nprompt'));
  assert.ok(!isTable('prompt'));
  assert.ok(!isTable(''));
});

test('a tag is added once to each prompt, and its weight is changed', () => {
  const text = '# list\nat the sea  \n\nin a café <lora:other:1>';
  const once = withLora(text, 'ink (v1)', 0.6);
  assert.equal(once, '# list\nat the sea <lora:ink (v1):0.6>\n\nin a café <lora:other:1> <lora:ink (v1):0.6>');
  assert.equal(withLora(once, 'ink (v1)', 0.3), once.replaceAll('0.6', '0.3'));
});
