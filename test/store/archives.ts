import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { UnpackLimits } from '../../agent/store/artifact/limits.ts';

/** The smallest zdd.yaml that is valid. */
export const CONFIG = 'app: shop\nprocesses:\n  web:\n    run: node server.js\n';

/** Room enough for tests, without asking the disk for a reserve. */
export const LIMITS: UnpackLimits = {
  unpackedBytes: 64 * 1024 * 1024,
  entries: 10_000,
  reserveBytes: 0,
};

/** One entry of a hand-made archive; whatever is wrong with it is written as it is. */
export interface Piece {
  readonly name: string;
  /** The type flag: `0` file, `1` hard link, `2` symbolic link, `5` folder, ... */
  readonly type?: string;
  readonly content?: string | Buffer;
  readonly mode?: number;
  readonly target?: string;
  readonly mtime?: number;
  /** What the header says, when it is not the truth. */
  readonly size?: number;
}

export function file(name: string, content: string | Buffer = name, mode = 0o644): Piece {
  return { name, content, mode };
}

export function folder(name: string): Piece {
  return { name: `${name}/`, type: '5', mode: 0o755 };
}

export function symlink(name: string, target: string): Piece {
  return { name, type: '2', target };
}

export function hardlink(name: string, target: string): Piece {
  return { name, type: '1', target };
}

/** An extended header for the piece that follows it. */
export function pax(fields: Readonly<Record<string, string>>, type = 'x'): Piece {
  const records = Object.entries(fields).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest) + 1;
    while (length !== Buffer.byteLength(`${length}${rest}`)) length += 1;
    return `${length}${rest}`;
  });
  return { name: 'PaxHeader', type, content: records.join('') };
}

const END = Buffer.alloc(1024);

/** A tar, byte by byte. */
export function tarOf(pieces: readonly Piece[], end: Buffer = END): Buffer {
  return Buffer.concat([...pieces.flatMap((piece) => [headerOf(piece), bodyOf(piece)]), end]);
}

export function headerOf(piece: Piece): Buffer {
  const { name, type = '0', mode = 0o644, target = '', mtime = 0 } = piece;
  const header = Buffer.alloc(512);
  header.write(name, 0, 100, 'utf8');
  const octal = (value: number, at: number, length: number): void => {
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  };
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(piece.size ?? Buffer.byteLength(piece.content ?? ''), 124, 12);
  octal(mtime, 136, 12);
  header.write('        ', 148, 'latin1');
  header.write(type, 156, 'latin1');
  header.write(target, 157, 100, 'utf8');
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function bodyOf({ content = '' }: Piece): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

/** The ways to pack that need no program. xz has its fixture. */
export const PACKERS: Readonly<Record<'tar' | 'gzip' | 'zstd', (tar: Buffer) => Buffer>> = {
  tar: (tar) => tar,
  gzip: (tar) => gzipSync(tar),
  // With a checksum, as the zstd program writes it.
  zstd: (tar) => zstdCompressSync(tar, { params: { 201: 1 } }),
};

/** `test/store/fixtures/release.tar.xz` as it is, and the tar that was packed into it. */
export function xzFixture(): { packed: Buffer; pieces: readonly Piece[] } {
  return {
    packed: readFileSync(new URL('./fixtures/release.tar.xz', import.meta.url)),
    pieces: SMALL,
  };
}

/** A small release with one of everything. The content of the fixture. */
export const SMALL: readonly Piece[] = [
  file('zdd.yaml', CONFIG),
  folder('bin'),
  file('bin/run', '#!/bin/sh\nexec node server.js\n', 0o755),
  file('server.js', 'console.log("hello");\n'.repeat(60)),
  symlink('start', 'bin/run'),
  hardlink('bin/again', 'bin/run'),
];

/** A temporary folder that is gone after `use`, and whose `artifact` writes archives into it. */
export async function inFolder<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'zdd-store-'));
  try {
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

export async function artifactIn(dir: string, bytes: Buffer): Promise<string> {
  const path = join(dir, 'artifact');
  await writeFile(path, bytes);
  return path;
}

/** The error that a promise is rejected with; a success is a failure of the test. */
export async function rejection(promise: Promise<unknown>): Promise<ZddError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ZddError) return error;
    throw error;
  }
  throw new Error('expected an error, and it succeeded');
}

/** Everything in a folder: path to content of files, `→ target`-less folders as null. */
export function contentsOf(dir: string): Record<string, string | null> {
  const found: Record<string, string | null> = {};
  for (const path of readdirSync(dir, { recursive: true, encoding: 'utf8' }).toSorted()) {
    const full = join(dir, path);
    found[path] = statSync(full).isDirectory() ? null : readFileSync(full, 'utf8');
  }
  return found;
}
