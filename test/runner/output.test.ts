import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { OutputLine } from '../../agent/runner/runner.ts';
import { eventually, Laboratory, UNENDING } from './laboratory.ts';

let lab: Laboratory;
beforeEach(() => {
  lab = new Laboratory();
});
afterEach(() => lab.close());

const WEB = { app: 'shop' };

test('the last lines of all slots come in the order of time, with their stream', async () => {
  const runner = lab.runner();
  // Each waits for the other's mark, and longer than the runner looks, so the order is known.
  lab.file(
    'one.sh',
    'echo first; touch a; while [ ! -e b ]; do sleep 0.02; done; sleep 0.3; echo third >&2; exec sleep 60',
  );
  lab.file(
    'two.sh',
    'while [ ! -e a ]; do sleep 0.02; done; sleep 0.3; echo second; touch b; exec sleep 60',
  );
  await runner.start(lab.spec({ slot: 'a', command: 'sh one.sh' }), UNENDING);
  await runner.start(lab.spec({ slot: 'b', process: 'worker', command: 'sh two.sh' }), UNENDING);
  await runner.start(lab.spec({ slot: 'c', app: 'other', command: 'echo not mine' }), UNENDING);
  const lines = await eventually('three lines', async () => {
    const found = await runner.output(WEB, 10);
    return found.length === 3 ? found : undefined;
  });
  expect(lines.map(({ text, stream, slot }) => [text, stream, slot])).toEqual([
    ['first', 'out', 'a'],
    ['second', 'out', 'b'],
    ['third', 'err', 'a'],
  ]);
  expect(lines.map(({ at }) => at)).toEqual(lines.map(({ at }) => at).sort((a, b) => a - b));
  const texts = async (filter: Parameters<typeof runner.output>[0], count: number) =>
    (await runner.output(filter, count)).map(({ text }) => text);
  expect(await texts(WEB, 2)).toEqual(['second', 'third']);
  expect(await texts({ ...WEB, process: 'worker' }, 10)).toEqual(['second']);
  expect(await texts({ ...WEB, release: 'r2' }, 10)).toEqual([]);
});

test('lines written while no daemon ran are there, with the time they were written', async () => {
  const spec = lab.spec({
    command: [
      'sh',
      '-c',
      'echo before; while [ ! -e go ]; do sleep 0.02; done; echo alone; exec sleep 60',
    ],
  });
  const host = lab.host('start', spec);
  const times = join(lab.stateDir, spec.slot, 'out.times');
  await eventually('the first line is noted', () => existsSync(times) && statSync(times).size > 0);
  host.kill('SIGKILL');
  await eventually('the host is dead', () => host.signalCode !== null);
  lab.file('go', '');
  const out = join(lab.stateDir, spec.slot, 'out');
  await eventually('the second line', () => statSync(out).size === 'before\nalone\n'.length);
  const runner = lab.runner();
  await runner.adopt();
  await eventually(
    'it is noted',
    () => readFileSync(times, 'utf8').trim().split('\n').length === 2,
  );
  const lines = await runner.output(WEB, 10);
  expect(lines.map(({ text }) => text)).toEqual(['before', 'alone']);
  expect(lines[1]?.at).toBe(Math.floor(statSync(out).mtimeMs));
  expect(lines[0]?.at).toBeLessThan(lines[1]?.at ?? 0);
});

test('output is bounded, loses nothing of its end, and its followers lose nothing at all', async () => {
  const runner = lab.runner({ outputLimitBytes: 64 * 1_024 });
  // Each batch is more than a part may have; the next one is written when this one was cut.
  const batch = 3_000;
  const count = 5 * batch;
  lab.file(
    'app.js',
    `const { existsSync, rmSync } = require('fs');
    let n = 0;
    const more = () => {
      if (n < ${count} && existsSync('go')) {
        rmSync('go');
        let text = '';
        for (let i = 0; i < ${batch}; i += 1) text += 'line ' + n++ + '\\n';
        process.stdout.write(text);
      }
      setTimeout(more, 5);
    };
    more();`,
  );
  const spec = lab.spec({ command: [process.execPath, 'app.js'] });
  const folder = join(lab.stateDir, spec.slot);
  const abort = new AbortController();
  const followed: string[] = [];
  const following = (async () => {
    for await (const { text } of runner.follow(WEB, abort.signal)) followed.push(text);
  })();
  await runner.start(spec, UNENDING);
  for (let seen = batch; seen <= count; seen += batch) {
    lab.file('go', '');
    await eventually(`line ${seen - 1}`, () => followed.at(-1) === `line ${seen - 1}`);
    await eventually('the cut', () => statSync(join(folder, 'out')).size === 0);
  }
  abort.abort();
  await following;
  expect(followed).toEqual(Array.from({ length: count }, (_, n) => `line ${n}`));
  const kept = readdirSync(folder)
    .filter((name) => name.startsWith('out') || name.startsWith('err'))
    .reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  expect(kept).toBeLessThan(64 * 1_024);
  const last = await runner.output(WEB, 500);
  expect(last.map(({ text }) => text)).toEqual(
    Array.from({ length: 500 }, (_, n) => `line ${count - 500 + n}`),
  );
});

test('following begins with new lines, whole ones, of slots that come later too', async () => {
  const runner = lab.runner();
  const wait = (name: string) => `while [ ! -e ${name} ]; do sleep 0.02; done`;
  const spec = lab.spec({
    command: [
      'sh',
      '-c',
      `echo old; printf "half "; ${wait('go')}; echo line; printf end; ${wait('stop')}`,
    ],
  });
  await runner.start(spec, UNENDING);
  const out = join(lab.stateDir, spec.slot, 'out');
  await eventually(
    'half a line',
    () => existsSync(out) && statSync(out).size === 'old\nhalf '.length,
  );
  const abort = new AbortController();
  const lines: OutputLine[] = [];
  const following = (async () => {
    for await (const line of runner.follow(WEB, abort.signal)) lines.push(line);
  })();
  lab.file('go', '');
  await eventually('the line', () => lines.length === 1);
  const later = lab.spec({
    slot: 'shop.r2',
    release: 'r2',
    command: 'sh -c "echo later; exec sleep 60"',
  });
  await runner.start(later, UNENDING);
  await eventually('the later slot', () => lines.length === 2);
  await runner.stop(spec.slot, 1_000, UNENDING);
  await eventually('the rest of the stopped one', () => lines.length === 3);
  expect(lines.map(({ text, release }) => [text, release])).toEqual([
    ['half line', 'r1'],
    ['later', 'r2'],
    ['end', 'r1'],
  ]);
  abort.abort();
  await following;
});

test('a line of more than 16 KiB is cut, others are not', async () => {
  const runner = lab.runner();
  lab.file(
    'app.js',
    `console.log('x'.repeat(16384)); console.log('y'.repeat(16385)); console.log('z\\r');`,
  );
  const abort = new AbortController();
  const followed: string[] = [];
  const following = (async () => {
    for await (const { text } of runner.follow(WEB, abort.signal)) followed.push(text);
  })();
  await runner.start(lab.spec({ command: [process.execPath, 'app.js'] }), UNENDING);
  await eventually('three lines', () => followed.length >= 3);
  abort.abort();
  await following;
  const expected = ['x'.repeat(16_384), `${'y'.repeat(16_384)} [cut]`, 'z'];
  expect(followed.slice(0, 3)).toEqual(expected);
  expect((await runner.output(WEB, 1_000)).slice(0, 3).map(({ text }) => text)).toEqual(expected);
});

test('output of a stopped slot stays until it is forgotten', async () => {
  const runner = lab.runner();
  const spec = lab.spec({ command: 'sh -c "echo kept; exec sleep 60"' });
  await runner.start(spec, UNENDING);
  await eventually('output', async () => (await runner.output(WEB, 1)).length === 1);
  await expect(runner.forget(spec.slot)).rejects.toMatchObject({ code: 'ZDD_BUG' });
  await runner.stop(spec.slot, 1_000, UNENDING);
  const later = lab.runner();
  await later.adopt();
  expect((await later.output(WEB, 1)).map(({ text }) => text)).toEqual(['kept']);
  await later.forget(spec.slot);
  await later.forget(spec.slot);
  expect(await later.output(WEB, 1)).toEqual([]);
  expect(existsSync(join(lab.stateDir, spec.slot))).toBe(false);
});
