import { statSync } from 'node:fs';
import type { InstanceSpec, OutputLine } from '../../runner.ts';
import { lineText } from './lines.ts';
import { type Arrival, readArrivals, readBytes } from './stream-file.ts';

const FIRST_WINDOW_BYTES = 64 * 1_024;

interface Part {
  readonly path: string;
  readonly size: number;
  readonly modifiedAt: number;
}

/**
 * The last `count` lines that one stream of a slot has kept, oldest first, with the time when each
 * began to arrive.
 */
export function lastLines(
  spec: InstanceSpec,
  stream: 'out' | 'err',
  path: string,
  count: number,
): readonly OutputLine[] {
  const parts = [`${path}.1`, path].map(partOf).filter((part) => part !== undefined);
  const total = parts.reduce((sum, part) => sum + part.size, 0);
  const timeAt = arrivalTimes(parts);
  for (let window = FIRST_WINDOW_BYTES; ; window *= 4) {
    const from = Math.max(0, total - window);
    const starts = splitAt(readParts(parts, from), from);
    if (from > 0 && starts.length <= count) continue;
    return starts.slice(-count).map(({ offset, bytes }) => {
      return {
        at: timeAt(offset),
        slot: spec.slot,
        app: spec.app,
        release: spec.release,
        stream,
        text: lineText(bytes),
      };
    });
  }
}

/** One story of several streams: by time, then as given. */
export function mergeByTime(
  streams: readonly (readonly OutputLine[])[],
  count: number,
): readonly OutputLine[] {
  const merged = streams.flat().sort((a, b) => a.at - b.at);
  return merged.slice(Math.max(0, merged.length - count));
}

function partOf(path: string): Part | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && { path, size: stat.size, modifiedAt: Math.floor(stat.mtimeMs) };
}

/** Offsets count through both parts as if they were one file. */
function readParts(parts: readonly Part[], from: number): Buffer {
  let base = 0;
  const pieces: Buffer[] = [];
  for (const { path, size } of parts) {
    if (base + size > from) pieces.push(readBytes(path, Math.max(0, from - base), size));
    base += size;
  }
  return Buffer.concat(pieces);
}

function splitAt(bytes: Buffer, base: number): { offset: number; bytes: Buffer }[] {
  const lines: { offset: number; bytes: Buffer }[] = [];
  let from = 0;
  while (from < bytes.length) {
    const found = bytes.indexOf(0x0a, from);
    const end = found === -1 ? bytes.length : found;
    lines.push({ offset: base + from, bytes: bytes.subarray(from, end) });
    from = end + 1;
  }
  return lines;
}

function arrivalTimes(parts: readonly Part[]): (offset: number) => number {
  let base = 0;
  const arrivals = parts.flatMap((part) => {
    const start = base;
    base += part.size;
    return [
      ...readArrivals(part.path).map(({ end, at }) => ({ end: Math.min(start + end, base), at })),
      // What no daemon has noted yet was there at the latest when the file was last written.
      { end: base, at: part.modifiedAt },
    ];
  });
  return (offset) => arrivals[firstBeyond(arrivals, offset)]?.at ?? 0;
}

function firstBeyond(arrivals: readonly Arrival[], offset: number): number {
  let low = 0;
  let high = arrivals.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((arrivals[middle]?.end ?? 0) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}
