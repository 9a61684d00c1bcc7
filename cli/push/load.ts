import { ZddError } from '../../agent/protocol/errors.ts';
import { counted, bytes as sizeText } from '../render/amounts.ts';
import type { Progress } from '../render/progress.ts';
import { Ahead } from './pack/ahead.ts';
import { digestOf, type ToSend } from './send/upload.ts';
import { type Commit, gitTree } from './source/git.ts';
import { readIgnored } from './source/ignored.ts';
import { scanFolder } from './source/scan.ts';
import type { Source } from './source/source.ts';
import { bytesOf, filesOf, folderTree, type Tree } from './source/tree.ts';

/** A ready archive, on disk. */
export type Archive = ToSend;

/** What is to be sent, looked at from end to end. */
export type Load =
  | ({ readonly kind: 'archive'; readonly summary: string } & Archive)
  | {
      readonly kind: 'tree';
      readonly tree: Tree;
      readonly summary: string;
    };

/** Looking that is under way: it may begin before anybody knows whether it will be wanted. */
export interface Look {
  /** Shows it as the step `pack`, or `check` for an archive. @throws as `lookAt` */
  shown(progress: Progress): Promise<Load>;
  /** Packs a folder while it is looked at; null for what is no folder. */
  readonly ahead: Ahead | null;
  /** Ends it, and lets go of what it needed. */
  close(): Promise<void>;
}

/**
 * Looks at all that is to be sent.
 * @param commit of a source that is one
 * @throws ZDD_ARTIFACT_UNSAFE, ZDD_ARTIFACT_EMPTY, the reason of `signal`: by `shown`
 */
export function lookAt(source: Source, commit: Commit | null, outer: AbortSignal): Look {
  const stop = new AbortController();
  const started = performance.now();
  let ms = 0;
  const signal = AbortSignal.any([outer, stop.signal]);
  const ahead = source.kind === 'folder' ? new Ahead(signal) : null;
  const looking = lookAtOne(source, commit, ahead, signal).finally(() => {
    ms = performance.now() - started;
  });
  looking.catch(() => undefined);
  return {
    async shown(progress) {
      const verb = source.kind === 'archive' ? 'check' : 'pack';
      progress.begin(verb, source.typed);
      const load = await looking;
      progress.done(verb, load.summary, ms);
      return load;
    },
    ahead,
    async close() {
      stop.abort();
      const load = await looking.catch(() => null);
      if (load?.kind === 'tree') await load.tree.close();
      await ahead?.remove();
    },
  };
}

async function lookAtOne(
  source: Source,
  commit: Commit | null,
  ahead: Ahead | null,
  signal: AbortSignal,
): Promise<Load> {
  switch (source.kind) {
    case 'archive': {
      const { path, bytes, typed } = source;
      const sha256 = await digestOf(path, signal);
      return { kind: 'archive', path, bytes, sha256, summary: `${typed}, ${sizeText(bytes)}` };
    }
    case 'folder': {
      const ignored = await readIgnored(source.path);
      const entries = await scanFolder(source.path, ignored, signal, ahead ?? undefined);
      return treeLoad(folderTree(source.path, entries));
    }
    case 'git':
      if (commit === null) throw new ZddError('ZDD_BUG', 'a commit was not looked up');
      return treeLoad(await gitTree(commit, signal));
  }
}

function treeLoad(tree: Tree) {
  const files = filesOf(tree);
  const summary = `${counted(files.length, 'file')}, ${sizeText(bytesOf(files))}`;
  return { kind: 'tree', tree, summary } as const;
}
