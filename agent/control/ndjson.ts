import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

/** Answers with one JSON object a line, as they come. */
export function sendLines(reply: FastifyReply, lines: AsyncIterable<unknown>): FastifyReply {
  return reply.header('content-type', 'application/x-ndjson').send(Readable.from(encode(lines)));
}

async function* encode(lines: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const line of lines) yield `${JSON.stringify(line)}\n`;
}

/** A signal that ends when the client goes away or the daemon stops. */
export function clientGone(reply: FastifyReply, daemon: AbortSignal): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort());
  return AbortSignal.any([controller.signal, daemon]);
}
