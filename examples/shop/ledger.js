import { mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { instance, ledgerFolder, release } from './settings.js';

/** The ledger when nobody shares one: this process alone. */
const own = [];
let file;

/**
 * Notes that a request which must not run twice has arrived. One appended line is one write, so
 * lines of several instances never mix.
 */
export function note(requestId) {
  const line = `${requestId} ${release} ${instance} ${Date.now()}\n`;
  if (ledgerFolder === undefined) {
    own.push(line);
    return;
  }
  if (file === undefined) {
    mkdirSync(ledgerFolder, { recursive: true });
    file = openSync(join(ledgerFolder, 'requests.log'), 'a');
  }
  writeSync(file, line);
}

/** Every request id that arrived more than once, in any release and instance. */
export function duplicates() {
  const times = new Map();
  for (const line of lines()) {
    const id = line.slice(0, line.indexOf(' '));
    times.set(id, (times.get(id) ?? 0) + 1);
  }
  const repeated = [...times].filter(([, count]) => count > 1);
  return { requests: times.size, duplicates: Object.fromEntries(repeated) };
}

function lines() {
  if (ledgerFolder === undefined) return own;
  try {
    return readFileSync(join(ledgerFolder, 'requests.log'), 'utf8').split('\n').slice(0, -1);
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}
