import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually, Laboratory, UNENDING } from './laboratory.ts';

let lab: Laboratory;
let servers: Server[];
beforeEach(() => {
  lab = new Laboratory();
  servers = [];
});
afterEach(async () => {
  for (const server of servers) server.close();
  await lab.close();
});

async function take(port: number): Promise<void> {
  const server = createServer().listen(port, '127.0.0.1');
  servers.push(server);
  await eventually('the port is taken', () => server.listening);
}

test('a free port is not taken, not listened on, and not given out twice', async () => {
  const runner = lab.runner({ from: 22_101, to: 22_105 });
  await take(22_102);
  const taken = new Set([22_104]);
  const ports = [
    await runner.freePort(taken),
    await runner.freePort(taken),
    await runner.freePort(taken),
  ];
  expect(ports).toEqual([22_101, 22_103, 22_105]);
  await expect(runner.freePort(taken)).rejects.toMatchObject({ code: 'ZDD_PORT_IN_USE' });
});

test('ports asked for at the same time differ', async () => {
  const runner = lab.runner({ from: 22_111, to: 22_114 });
  const ports = await Promise.all(Array.from({ length: 4 }, () => runner.freePort(new Set())));
  expect(new Set(ports).size).toBe(4);
});

test('the port of an instance that has not bound it yet is not free', async () => {
  const first = lab.runner({ from: 22_121, to: 22_122 });
  const listen = { kind: 'tcp', port: 22_121, activation: false } as const;
  await first.start(lab.spec({ command: 'sleep 60', listen }), UNENDING);
  await first.detach();
  const runner = lab.runner({ from: 22_121, to: 22_122 });
  await runner.adopt();
  expect(await runner.freePort(new Set())).toBe(22_122);
});
