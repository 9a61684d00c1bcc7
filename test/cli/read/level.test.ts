import { expect, test } from 'vitest';
import type { LogLine } from '../../../agent/protocol/api.ts';
import { isWanted, levelOfText, levelReader, readLevelWish } from '../../../cli/read/level.ts';
import { AT, R42 } from '../samples.ts';

test.each([
  // pino, bunyan, winston, zap, ECS, Google Cloud, Python
  ['{"level":30,"time":1,"msg":"x"}', 'info'],
  ['{"level":50,"msg":"x"}', 'error'],
  ['{"level":60}', 'fatal'],
  ['{"level":35}', 'info'],
  ['{"level":"warn","message":"error in a text"}', 'warn'],
  ['{"severity":"CRITICAL"}', 'fatal'],
  ['{"log":{"level":"error"}}', 'error'],
  ['{"log.level":"debug"}', 'debug'],
  ['{"levelname":"WARNING"}', 'warn'],
  ['{"msg":"no level"}', null],
  ['{"level":"weird"}', null],
  ['{ not json ERROR', null],
  // journald
  ['<3>it broke', 'error'],
  ['<4>ERROR is not what it says', 'warn'],
  ['<7>x', 'debug'],
  // logfmt
  ['time="2026-11-23" level=warning msg="x"', 'warn'],
  ['ts=1 lvl=eror', null],
  // Words
  ['ERROR: x', 'error'],
  ['[error] 12#12: *1 open() failed', 'error'],
  ['2026/11/23 18:29:58 [warn] x', 'warn'],
  ['2026-11-23 18:29:58,123 - app - WARNING - x', 'warn'],
  ['INFO:     127.0.0.1:1 - "GET / HTTP/1.1" 200 OK', 'info'],
  ['warn: x', 'warn'],
  ['E, [2026-11-23T18:29:58 #1] ERROR -- : x', 'error'],
  ['I1123 18:29:58.000000 1 main.go:1] x', 'info'],
  ['[2026-11-23 18:29:58 +0000] [7] [CRITICAL] WORKER TIMEOUT', 'fatal'],
  ['TypeError: x is not a function', 'error'],
  ['java.lang.IllegalStateException: x', null],
  ['Error: connect ECONNREFUSED', 'error'],
  // A word like any other
  ['no error was found', null],
  ['server listens on 3000', null],
  ['GET /info 200', null],
  ['', null],
])('%j is %s', (text, level) => {
  expect(levelOfText(text)).toBe(level);
});

function line(text: string, changes: Partial<LogLine> = {}): LogLine {
  const slot = 'shop.r42-ab12cd3-d57-web-1';
  return { at: AT, app: 'shop', release: R42, slot, stream: 'out', text, ...changes };
}

test('what is indented below a line has its level, on each stream of each instance apart', () => {
  const levelOf = levelReader();
  expect(levelOf(line('Error: x', { stream: 'err' }))).toBe('error');
  expect(levelOf(line('INFO other'))).toBe('info');
  expect(levelOf(line('    at main (app.js:1)', { stream: 'err' }))).toBe('error');
  expect(levelOf(line('    at next (app.js:2)', { stream: 'err' }))).toBe('error');
  expect(levelOf(line('  more'))).toBe('info');
  expect(levelOf(line('  more', { slot: 'shop.r42-ab12cd3-d57-web-2' }))).toBe(null);
  expect(levelOf(line('plain', { stream: 'err' }))).toBe(null);
  expect(levelOf(line('    not of the error any more', { stream: 'err' }))).toBe(null);
});

test('a priority that journald kept counts before the words', () => {
  expect(levelReader()(line('INFO x', { priority: 3 }))).toBe('error');
});

test('a wish is a level and worse; lines without one only when asked for', () => {
  const wish = readLevelWish('warn');
  expect(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', null].map((level) =>
      isWanted(level === null ? null : readLevelWish(level).least, wish),
    ),
  ).toEqual([false, false, false, true, true, true, false]);
  expect(isWanted(null, readLevelWish('error,unknown'))).toBe(true);
  expect(isWanted('info', readLevelWish('error,unknown'))).toBe(false);
  expect(isWanted('trace', readLevelWish('unknown'))).toBe(true);
  expect(() => readLevelWish('loud')).toThrow('expected trace, debug, info');
  expect(() => readLevelWish('warn,error')).toThrow('--level');
});
