import { expect, test } from 'vitest';
import { nearest } from '../../agent/protocol/spelling.ts';

const KEYS = ['app', 'env', 'health', 'instances', 'keep', 'keep_bytes', 'routes', 'run', 'shared'];

test.for([
  ['heatlh', 'health'],
  ['helth', 'health'],
  ['healthh', 'health'],
  ['instance', 'instances'],
  ['Routes', 'routes'],
  ['rotue', 'routes'],
  ['rnu', 'run'],
  ['keepbytes', 'keep_bytes'],
])('"%s" was most likely meant to be "%s"', ([word, meant]) => {
  expect(nearest(word ?? '', KEYS)).toBe(meant);
});

test.for(['foo', 'x', '', 'command', 'volumes'])('"%s" is near to nothing', (word) => {
  expect(nearest(word, KEYS)).toBeUndefined();
});
