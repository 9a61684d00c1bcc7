import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { ZddError } from '../../../agent/protocol/errors.ts';
import type { ReleaseEntry } from '../../../agent/protocol/manifest.ts';
import { IGNORE_FILE, type Ignored, ignoredBy } from './ignored.ts';
import { accepted, leadsOut } from './scan.ts';
import type { Tree } from './tree.ts';

const run = promisify(execFile);
const LIST_BYTES = 256 * 1024 * 1024;
/** Nobody has a longer link or `zdd.yaml`, bytes. */
const TEXT_BYTES = 1024 * 1024;

/** A commit, and the folder in it that is the release: the one in which we are. */
export interface Commit {
  readonly cwd: string;
  /** Full name. */
  readonly id: string;
  /** From the root of the repository, with a `/` at its end; empty for the root. */
  readonly prefix: string;
}

/** @throws ZDD_USAGE when there is no repository here, or no such commit */
export async function findCommit(revision: string, cwd: string): Promise<Commit> {
  try {
    const prefix = (await git(cwd, 'rev-parse', '--show-prefix')).trim();
    const name = `${revision}^{commit}`;
    const id = await git(cwd, 'rev-parse', '--verify', '--end-of-options', name);
    return { cwd, id: id.trim(), prefix };
  } catch (cause) {
    throw new ZddError('ZDD_USAGE', `there is no commit ${revision || '(empty)'} to push here`, {
      evidence: [['git', wordsOf(cause)]],
      tries: ['zdd-agent push git:HEAD', 'git log --oneline -n 5'],
      cause,
    });
  }
}

/** A small file of a commit as text; null when it has none of this name. */
export async function textIn({ cwd, id, prefix }: Commit, path: string): Promise<string | null> {
  try {
    return await git(cwd, 'cat-file', 'blob', `${id}:${prefix}${path}`);
  } catch {
    return null;
  }
}

/**
 * What a commit holds, without `.git` and what its own `.zddignore` names. Read from the repository:
 * no file of the work tree is looked at or touched.
 * @throws ZDD_ARTIFACT_UNSAFE with all problems, ZDD_ARTIFACT_EMPTY, the reason of `signal`
 */
export async function gitTree(commit: Commit, signal: AbortSignal): Promise<Tree> {
  const listed = await list(commit);
  const rules = listed.find(({ path }) => path === IGNORE_FILE);
  const blobs = openBlobs(commit.cwd);
  try {
    const ignored = ignoredBy(rules === undefined ? '' : await textOf(blobs.read(rules.object)));
    const objects = new Map<string, string>();
    const entries: ReleaseEntry[] = [];
    const bad: [string, string][] = [];
    const folders = new Set<string>();
    for (const { mode, object, path } of listed) {
      signal.throwIfAborted();
      if (isIgnored(ignored, path)) continue;
      for (const folder of foldersOf(path)) folders.add(folder);
      if (mode === '160000') {
        bad.push([path, 'a submodule: its files are in another repository']);
      } else if (mode === '120000') {
        const target = await textOf(blobs.read(object));
        const why = leadsOut(path, target);
        if (why === null) entries.push({ type: 'symlink', path, target });
        else bad.push([path, why]);
      } else {
        objects.set(path, object);
        const content = await contentOf(blobs.read(object));
        entries.push({ type: 'file', path, executable: mode === '100755', ...content });
      }
    }
    for (const path of folders) entries.push({ type: 'directory', path });
    return {
      entries: accepted(entries, bad),
      open: ({ path }) => blobs.read(objects.get(path) ?? path),
      close: async () => blobs.close(),
    };
  } catch (cause) {
    blobs.close();
    throw cause;
  }
}

async function list({ cwd, id, prefix }: Commit) {
  const text = await git(cwd, 'ls-tree', '-r', '-z', '--full-tree', `${id}:${prefix}`);
  return text
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => {
      const tab = line.indexOf('\t');
      const [mode = '', , object = ''] = line.slice(0, tab).split(' ');
      return { mode, object, path: line.slice(tab + 1) };
    });
}

function foldersOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
}

/** As in a folder: what lies in an ignored folder is not looked at. */
function isIgnored(ignored: Ignored, path: string): boolean {
  return foldersOf(path).some((folder) => ignored(folder, true)) || ignored(path, false);
}

async function textOf(chunks: AsyncIterable<Buffer>): Promise<string> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString('utf8');
}

async function contentOf(chunks: AsyncIterable<Buffer>) {
  const digest = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    digest.update(chunk);
  }
  return { bytes, sha256: digest.digest('hex') };
}

/** Objects of a repository, one after the other, by one process for all of them. */
function openBlobs(cwd: string) {
  let child: ChildProcessByStdio<Writable, Readable, null> | undefined;
  let chunks: AsyncIterator<Buffer> | undefined;
  let rest: Buffer = Buffer.alloc(0);

  async function more(): Promise<void> {
    const next = await chunks?.next();
    if (next === undefined || next.done) throw broken('git cat-file ended');
    rest = rest.length === 0 ? next.value : Buffer.concat([rest, next.value]);
  }

  return {
    /** To be read to its end before the next one. */
    async *read(object: string): AsyncGenerator<Buffer> {
      if (child === undefined) {
        child = spawn('git', ['-C', cwd, 'cat-file', '--batch'], {
          stdio: ['pipe', 'pipe', 'ignore'],
        });
        // What is wrong is told by what it does not say.
        child.on('error', () => undefined);
        child.stdin.on('error', () => undefined);
        chunks = child.stdout[Symbol.asyncIterator]();
      }
      child.stdin.write(`${object}\n`);
      while (!rest.includes(LF)) await more();
      const head = rest.subarray(0, rest.indexOf(LF)).toString('latin1');
      rest = rest.subarray(head.length + 1);
      const size = /^[0-9a-f]+ blob (\d+)$/.exec(head)?.[1];
      if (size === undefined) throw broken(head);
      for (let left = Number(size); left > 0; ) {
        if (rest.length === 0) await more();
        const chunk = rest.subarray(0, left);
        rest = rest.subarray(chunk.length);
        left -= chunk.length;
        yield chunk;
      }
      while (rest.length === 0) await more();
      rest = rest.subarray(1);
    },
    close(): void {
      child?.kill();
    },
  };
}

const LF = 0x0a;

async function git(cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await run('git', ['-C', cwd, ...args], {
    maxBuffer: args[0] === 'ls-tree' ? LIST_BYTES : TEXT_BYTES,
    env: { ...process.env, GIT_OPTIONAL_LOCKS: '0' },
  });
  return stdout;
}

function broken(why: string): ZddError {
  return new ZddError('ZDD_ARTIFACT_UNSAFE', 'the repository cannot be read', {
    evidence: [['git', why]],
    tries: ['git fsck'],
  });
}

function wordsOf(cause: unknown): string {
  const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
  return said || (cause instanceof Error ? cause.message : String(cause));
}
