import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { notify, watchdogIntervalMs } from '../../agent/observe/notify.ts';
import { listenToNotifications, type Notifications } from './notifications.ts';

let folder: string;
let heard: Notifications | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zdd-notify-'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await heard?.stop();
  await rm(folder, { recursive: true });
});

test('outside of systemd nothing is said', async () => {
  vi.stubEnv('NOTIFY_SOCKET', undefined);
  await expect(notify('READY=1')).resolves.toBeUndefined();
});

test('from a checkout each line arrives as it was said', async () => {
  heard = await listenToNotifications(join(folder, 'notify.sock'));
  vi.stubEnv('NOTIFY_SOCKET', heard.path);
  await notify('STOPPING=1\nSTATUS=stopping; apps run on');
  await heard.includes('STOPPING=1|STATUS=stopping; apps run on');
});

test('the watchdog wants a sign at half of its patience', () => {
  vi.stubEnv('WATCHDOG_USEC', '30000000');
  vi.stubEnv('WATCHDOG_PID', String(process.pid));
  expect(watchdogIntervalMs()).toBe(15_000);
  vi.stubEnv('WATCHDOG_PID', undefined);
  expect(watchdogIntervalMs()).toBe(15_000);
});

test('there is no watchdog without a time, and none meant for another process', () => {
  vi.stubEnv('WATCHDOG_USEC', undefined);
  vi.stubEnv('WATCHDOG_PID', undefined);
  expect(watchdogIntervalMs()).toBeNull();
  vi.stubEnv('WATCHDOG_USEC', '30000000');
  vi.stubEnv('WATCHDOG_PID', String(process.pid + 1));
  expect(watchdogIntervalMs()).toBeNull();
});
