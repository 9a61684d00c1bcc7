import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { MAX_PEM_BYTES } from '../../agent/protocol/certificates.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Context } from '../context.ts';
import type { Input } from '../input.ts';
import { ownerOf } from '../owner.ts';
import { UsageError } from '../usage-error.ts';
import { tellChange } from './tell.ts';

interface Files {
  readonly certificate: string;
  readonly key?: string;
}

/** What was read once is for every host that the verb goes to. */
const read = new WeakMap<Input, Promise<Files>>();

/** @returns the exit code */
export async function addCertificate(input: Input, context: Context): Promise<number> {
  const known = read.get(input) ?? readFiles(input, context);
  read.set(input, known);
  const files = await known;
  const agent = await context.agent();
  tellChange(context, await agent.addCertificate({ ...files, owner: ownerOf() }));
  return 0;
}

async function readFiles(input: Input, { interrupts: { signal } }: Context): Promise<Files> {
  const [certificate = '', key] = input.rest(0);
  if (certificate === '-' && key === '-') {
    throw new UsageError('only one of the two can be read from stdin', ['zdd-agent cert add -']);
  }
  return {
    certificate: await readPem(certificate, signal),
    ...(key === undefined ? {} : { key: await readPem(key, signal) }),
  };
}

/** @throws ZDD_CERT_INVALID */
async function readPem(path: string, signal: AbortSignal): Promise<string> {
  const shown = path === '-' ? 'stdin' : path;
  const refuse = (why: string, cause?: unknown): ZddError =>
    new ZddError('ZDD_CERT_INVALID', `${shown} cannot be taken; nothing was changed`, {
      evidence: [['why', why]],
      tries: [`ls -l ${shown}`, 'zdd-agent cert add --help'],
      ...(cause === undefined ? {} : { cause }),
    });
  const stream: Readable = path === '-' ? process.stdin : createReadStream(path);
  const leave = (): unknown => stream.destroy();
  signal.addEventListener('abort', leave, { once: true });
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of stream) {
      const chunk: Buffer = Buffer.from(piece);
      bytes += chunk.length;
      if (bytes > MAX_PEM_BYTES) throw new Error(`it has more than ${MAX_PEM_BYTES} bytes`);
      pieces.push(chunk);
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw refuse(cause instanceof Error ? cause.message : String(cause), cause);
  } finally {
    signal.removeEventListener('abort', leave);
  }
  signal.throwIfAborted();
  const text = Buffer.concat(pieces).toString('latin1');
  if (!text.includes('-----BEGIN ')) throw refuse('it is not PEM: no -----BEGIN ...----- in it');
  return text;
}
