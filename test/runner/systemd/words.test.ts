import { describe, expect, test } from 'vitest';
import { troubleOf } from '../../../agent/runner/systemd/bus.ts';
import { isAsked } from '../../../agent/runner/systemd/journal.ts';
import { parseEntry } from '../../../agent/runner/systemd/journal-entry.ts';
import { limitProperties } from '../../../agent/runner/systemd/limits.ts';
import { requestText } from '../../../agent/runner/systemd/provision.ts';
import {
  onceUnitOf,
  partsOf,
  serviceOf,
  slotName,
  socketUnitOf,
} from '../../../agent/runner/systemd/unit-names.ts';

describe('names', () => {
  test('of units say app and slot', () => {
    expect(serviceOf('my-shop.r42-d57-web-1')).toBe('zdd-app-my-shop@r42-d57-web-1.service');
    expect(socketUnitOf('shop.r42-d57-web-1')).toBe('zdd-app-shop@r42-d57-web-1.socket');
    expect(onceUnitOf('shop.r42-d57-release')).toBe('zdd-once-shop@r42-d57-release.service');
  });

  test('that are none are refused: they become paths and arguments', () => {
    for (const slot of ['shop', '../x.a', 'shop.', 'shop.a b', 'shop.a/b', 'Shop.a', 'shop.-a']) {
      expect(() => slotName(slot), slot).toThrow(RangeError);
    }
  });

  test('of gone slots still tell release and process', () => {
    expect(partsOf('r42-d57-web-1')).toEqual({ release: 'r42', process: 'web' });
    expect(partsOf('r42-d57-mail-2-3')).toEqual({ release: 'r42', process: 'mail-2' });
    expect(partsOf('r42-d57-release')).toEqual({ release: 'r42', process: 'release' });
    expect(isAsked('r42-d57-web-1', { app: 'shop', release: 'r42-ab12cd3' })).toBe(true);
    expect(isAsked('r4-d57-web-1', { app: 'shop', release: 'r42-ab12cd3' })).toBe(false);
    expect(isAsked('r42-d57-web-1', { app: 'shop', process: 'worker' })).toBe(false);
  });
});

describe('a line of journalctl', () => {
  const fields = {
    __CURSOR: 's=1',
    __REALTIME_TIMESTAMP: '1700000000123456',
    PRIORITY: '6',
    ZDD_APP: 'shop',
    ZDD_SLOT: 'r42-d57-web-1',
    _PID: '77',
  };
  const read = (more: Record<string, unknown>) =>
    parseEntry(JSON.stringify({ ...fields, ...more }))?.text;

  test('is what an instance wrote, and when', () => {
    expect(parseEntry(JSON.stringify({ ...fields, MESSAGE: 'hello' }))).toEqual({
      cursor: 's=1',
      at: 1_700_000_000_123,
      app: 'shop',
      name: 'r42-d57-web-1',
      priority: 6,
      text: 'hello',
    });
  });

  test('comes as bytes when it is no plain text, as a list when it came twice', () => {
    expect(read({ MESSAGE: [27, 91, 49, 109, 195, 188] })).toBe('\u001b[1mü');
    expect(read({ MESSAGE: ['first', 'second'] })).toBe('first');
    expect(read({ MESSAGE: null })).toBe('[too long]');
  });

  test('of systemd itself, of others, or cut short, is none of an instance', () => {
    expect(read({ MESSAGE: 'Started', _PID: '1' })).toBeUndefined();
    expect(read({ MESSAGE: 'x', ZDD_SLOT: undefined })).toBeUndefined();
    expect(parseEntry('{"MESSAGE":')).toBeNull();
    expect(parseEntry('')).toBeNull();
  });
});

test('a bus that is away is told from an answer', () => {
  for (const said of [
    'Failed to connect to bus: Connection refused',
    'Failed to connect to system scope bus via local transport: No such file or directory',
    'Failed to start x.service: Connection reset by peer',
    'Failed to get properties: Transport endpoint is not connected',
    'Failed to start x.service: Message recipient disconnected from message bus without replying',
  ]) {
    expect(troubleOf(said), said).toBe('away');
  }
  expect(troubleOf('Failed to start x.service: Interactive authentication required.')).toBe(
    'refused',
  );
  expect(troubleOf('Failed to start x.service: Unit x.service not found.')).toBeNull();
  expect(troubleOf('Job for x.service failed.')).toBeNull();
});

test('limits are properties of the unit, but for open files', () => {
  const limits = { memory: 512 * 1024 ** 2, cpu: 150, tasks: 256, nofile: 65_536 };
  expect(limitProperties(limits)).toEqual([
    'MemoryMax=536870912',
    'MemorySwapMax=0',
    'CPUQuota=150%',
    'TasksMax=256',
  ]);
  expect(limitProperties({})).toEqual([]);
  expect(limitProperties(undefined)).toEqual([]);
});

test('root is asked for whole seconds that it takes, and for what the sandbox shall allow', () => {
  const text = (stopTimeoutMs: number) =>
    requestText({ app: 'shop', stopTimeoutMs, allow: ['devices', 'home'], calendars: {} });
  expect(text(15_001)).toBe('stop_timeout=16\nallow=devices home\n');
  expect(text(1)).toContain('stop_timeout=1\n');
  expect(text(90 * 60_000)).toContain('stop_timeout=3600\n');
  const calendars = {
    nightly: ['*-*-* 3:0:00 UTC'],
    either: ['*-*-1 0:0:00 UTC', 'sun *-*-* 0:0:00 UTC'],
  };
  expect(requestText({ app: 'shop', stopTimeoutMs: 1, allow: [], calendars })).toBe(
    'stop_timeout=1\nallow=\ncron=nightly *-*-* 3:0:00 UTC\ncron=either *-*-1 0:0:00 UTC\ncron=either sun *-*-* 0:0:00 UTC\n',
  );
});
