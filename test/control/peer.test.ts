import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { peerUid } from '../../agent/control/peer.ts';

it('tells who has connected, and leaves the connection as it was', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'zdd-peer-'));
  const server = createServer();
  try {
    server.listen(join(dir, 'a.sock'));
    await once(server, 'listening');
    const accepted = once(server, 'connection');
    const client = connect(join(dir, 'a.sock'));
    const [socket]: Socket[] = await accepted;
    if (socket === undefined) throw new Error('no connection');
    expect(await peerUid(socket)).toBe(process.getuid?.());
    // Reading must not block the loop: the timer would never fire while nothing is sent.
    await new Promise((resolve) => setTimeout(resolve, 1));
    const heard = once(socket, 'data');
    client.write('hello');
    expect(String((await heard)[0])).toBe('hello');
    client.destroy();
    await once(socket, 'close');
    expect(await peerUid(socket)).toBeNull();
  } finally {
    server.close();
    await rm(dir, { recursive: true });
  }
});
