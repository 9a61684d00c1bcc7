import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { ReleaseFile } from '../../../agent/protocol/manifest.ts';
import { UPLOADS, type UploadReply } from '../../../agent/protocol/uploads.ts';
import type { Agent } from '../../connect/agent.ts';
import type { Resendable } from '../../connect/uploads.ts';
import { count, counted, bytes as sizeText } from '../../render/amounts.ts';
import type { Progress } from '../../render/progress.ts';
import type { Archive, Load } from '../load.ts';
import { Outgoing } from '../pack/outgoing.ts';
import { packEntries, packOutline, packTree } from '../pack/pack.ts';
import { IN_MEMORY, Spool } from '../pack/spool.ts';
import { CONFIG_FILE } from '../source/config.ts';
import { bytesOf, filesOf } from '../source/tree.ts';
import { inOneUpload, sendOutline, sendPacked } from './one-upload.ts';
import { upload } from './upload.ts';

export interface SendOptions {
  /** Null when only the agent can tell, for an archive. */
  readonly app: string | null;
  /** Everything travels, whatever the agent has. */
  readonly whole: boolean;
  readonly signal: AbortSignal;
}

/** What has arrived. */
export interface Sent {
  /** sha256 of the artifact, hex. */
  readonly artifact: string;
  /** How long it took, ms. */
  readonly ms: number;
}

/** Brings a load to the agent, shown as the step `send`. */
export async function send(
  agent: Agent,
  load: Load,
  progress: Progress,
  options: SendOptions,
): Promise<Sent> {
  const started = performance.now();
  progress.begin('send');
  const { artifact, summary } = await sendBy(agent, load, progress, options);
  const ms = performance.now() - started;
  progress.done('send', summary, ms);
  return { artifact, ms };
}

interface Arrived {
  readonly artifact: string;
  readonly summary: string;
}

async function sendBy(
  agent: Agent,
  load: Load,
  progress: Progress,
  options: SendOptions,
): Promise<Arrived> {
  const { app, signal } = options;
  const inPieces = await agent.has(UPLOADS, signal);
  if (load.kind === 'archive') {
    return await (inPieces ? sendArchive : sendAtOnce)(agent, load, progress, signal);
  }
  if (inPieces && app !== null) {
    return await sendTree(agent, load, progress, { ...options, app });
  }
  const packed = await packTree(load.tree, signal);
  try {
    return await sendAtOnce(agent, packed, progress, signal);
  } finally {
    await packed.remove();
  }
}

/** To an agent that takes an archive by one request only: after a cut, all of it is sent again. */
async function sendAtOnce(
  agent: Agent,
  archive: Archive,
  progress: Progress,
  signal: AbortSignal,
): Promise<Arrived> {
  const all = sizeText(archive.bytes);
  const { artifact, reused } = await upload(agent, archive, signal, (sent) => {
    progress.update(`${sizeText(sent)} of ${all}`);
  });
  return { artifact, summary: reused ? `${all}, already there` : `${all} sent` };
}

async function sendArchive(
  agent: Agent,
  { path, bytes, sha256 }: Archive,
  progress: Progress,
  signal: AbortSignal,
): Promise<Arrived> {
  const all = sizeText(bytes);
  const source: Resendable = {
    // The end is fixed: a file that grows meanwhile must not send more than was announced.
    from: (start) =>
      start < bytes ? createReadStream(path, { start, end: bytes - 1 }) : Readable.from([]),
  };
  return await inOneUpload(agent, async (id) => {
    await agent.append(id, source, {
      offset: 0,
      bytes,
      signal,
      onSent: (sent) => progress.update(`${sizeText(sent)} of ${all}`),
    });
    const { artifact, reused } = await agent.finishUpload(id, { bytes, sha256 }, signal);
    return { artifact, summary: reused ? `${all}, already there` : `${all} sent` };
  });
}

/** What a release consists of goes first; then only what the agent lacks. */
async function sendTree(
  agent: Agent,
  { tree }: Load & { readonly kind: 'tree' },
  progress: Progress,
  { app, whole, signal }: SendOptions & { readonly app: string },
): Promise<Arrived> {
  const spool = await Spool.open('release.tar.zst', { inMemory: IN_MEMORY });
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  let packing: Promise<void> = Promise.resolve();
  try {
    return await inOneUpload(agent, async (id) => {
      const outline = packOutline(tree);
      const reply = await sendOutline(agent, id, outline, { app, signal });
      const files = filesOf(tree);
      const lacking = whole ? files : lackingOf(files, reply);
      const config = files.filter((file) => file.path === CONFIG_FILE && !lacking.includes(file));
      // It is packed while it is sent.
      const part = packEntries(tree, [...config, ...lacking]);
      packing = spool.fill(part, stopped).then(() => spool.end());
      packing.catch(() => undefined);
      const outgoing = new Outgoing(outline, spool);
      const artifact = await sendPacked(agent, id, outgoing, {
        offset: outline.length,
        signal,
        onSent: (sent) => progress.update(`${sizeText(sent)} sent`),
      });
      return { artifact, summary: summaryOf(files, lacking, outgoing.bytes) };
    });
  } finally {
    stop.abort();
    await packing.catch(() => undefined);
    await spool.remove();
  }
}

function lackingOf(files: readonly ReleaseFile[], { lacking }: UploadReply): ReleaseFile[] {
  return (lacking ?? [[0, files.length]]).flatMap(([from, to]) => files.slice(from, to + 1));
}

/** `3 files, 214 kB sent` */
export function allSent(files: readonly ReleaseFile[], sent: number): string {
  return `${counted(files.length, 'file')}, ${sizeText(sent)} sent`;
}

/** `3 changed, 214 kB sent, 37.9 MB already there` */
function summaryOf(
  files: readonly ReleaseFile[],
  lacking: readonly ReleaseFile[],
  sent: number,
): string {
  if (lacking.length === files.length) return allSent(files, sent);
  const changed = lacking.length === 0 ? 'nothing' : count(lacking.length);
  const there = sizeText(bytesOf(files) - bytesOf(lacking));
  return `${changed} changed, ${sizeText(sent)} sent, ${there} already there`;
}
