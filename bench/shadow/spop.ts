import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';

/**
 * The least that HAProxy's SPOE takes for an agent (SPOP 2.0; HAProxy's doc/SPOE.txt, section 3): it
 * greets, and acknowledges every message at once. It copies nothing, so it is what SPOE costs at
 * best: `node spop.ts SOCKET`.
 */
const FRAME = {
  hello: 1,
  disconnect: 2,
  notify: 3,
  agentHello: 101,
  agentDisconnect: 102,
  ack: 103,
};
const MAX_FRAME = 16_380;
/** Flag: a whole frame, no fragment of one. */
const FIN = 1;
const TYPE = { uint32: 3, string: 8 };

function take(socket: Socket): void {
  let rest = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const length = rest.length < 4 ? MAX_FRAME : rest.readUInt32BE(0);
      if (rest.length < 4 + length || rest.length < 4) return;
      answer(socket, rest.subarray(4, 4 + length));
      rest = rest.subarray(4 + length);
    }
  });
}

function answer(socket: Socket, frame: Buffer): void {
  switch (frame[0]) {
    case FRAME.hello: {
      const greeting = Buffer.concat([
        text('version'),
        Buffer.from([TYPE.string]),
        text('2.0'),
        text('max-frame-size'),
        Buffer.from([TYPE.uint32]),
        varint(MAX_FRAME),
        text('capabilities'),
        Buffer.from([TYPE.string]),
        text('pipelining,async'),
      ]);
      socket.write(framed(FRAME.agentHello, Buffer.from([0, 0]), greeting));
      if (frame.includes('healthcheck')) socket.end();
      return;
    }
    case FRAME.notify: {
      // Behind type and flags: the ids of stream and frame, sent back as they came.
      const ids = frame.subarray(5, skipVarint(frame, skipVarint(frame, 5)));
      socket.write(framed(FRAME.ack, ids, Buffer.alloc(0)));
      return;
    }
    case FRAME.disconnect:
      socket.end(framed(FRAME.agentDisconnect, Buffer.from([0, 0]), Buffer.alloc(0)));
      return;
    default:
      socket.destroy();
  }
}

function framed(type: number, ids: Buffer, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUInt32BE(5 + ids.length + payload.length, 0);
  head[4] = type;
  head.writeUInt32BE(FIN, 5);
  return Buffer.concat([head, ids, payload]);
}

function text(value: string): Buffer {
  return Buffer.concat([varint(value.length), Buffer.from(value)]);
}

/** Below 240 a byte; above, 4 bits and then 7 bits a byte, the lowest first. */
function varint(value: number): Buffer {
  if (value < 240) return Buffer.from([value]);
  const bytes = [(value & 0xf) | 240];
  let left = (value - 240) >> 4;
  while (left >= 128) {
    bytes.push((left & 0x7f) | 128);
    left = (left - 128) >> 7;
  }
  return Buffer.from([...bytes, left]);
}

function skipVarint(frame: Buffer, at: number): number {
  if ((frame[at] ?? 0) < 240) return at + 1;
  let next = at + 1;
  while ((frame[next] ?? 0) >= 128) next += 1;
  return next + 1;
}

const [path = ''] = process.argv.slice(2);
// One that was killed has left it behind.
rmSync(path, { force: true });
createServer(take).listen(path, () => console.log('ready'));
