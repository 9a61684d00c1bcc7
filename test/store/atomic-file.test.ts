import { execFileSync } from 'node:child_process';
import { chmod, lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  fsyncDir,
  removeTree,
  renameDurably,
  sweepTemporaryFiles,
  temporaryPath,
  writeFileAtomic,
} from '../../agent/store/atomic-file.ts';
import { inFolder } from './archives.ts';

describe('writeFileAtomic', () => {
  test('replaces the content and leaves no temporary file', async () => {
    await inFolder(async (dir) => {
      const path = join(dir, 'file');
      await writeFile(path, 'old');
      await writeFileAtomic(path, 'new');
      expect(await readFile(path, 'utf8')).toBe('new');
      expect(await readdir(dir)).toEqual(['file']);
    });
  });

  test('sets exactly the mode asked for, and 0600 when none is', async () => {
    await inFolder(async (dir) => {
      const umask = process.umask(0o077);
      try {
        await writeFileAtomic(join(dir, 'public'), 'x', { mode: 0o644 });
        await writeFileAtomic(join(dir, 'private'), 'x');
      } finally {
        process.umask(umask);
      }
      expect((await lstat(join(dir, 'public'))).mode & 0o777).toBe(0o644);
      expect((await lstat(join(dir, 'private'))).mode & 0o777).toBe(0o600);
    });
  });

  test('leaves the old content and no temporary file when it fails', async () => {
    await inFolder(async (dir) => {
      const path = join(dir, 'folder');
      await mkdir(join(path, 'full'), { recursive: true });
      await expect(writeFileAtomic(path, 'new')).rejects.toThrow();
      expect(await readdir(dir)).toEqual(['folder']);
    });
  });
});

describe('renameDurably and fsyncDir', () => {
  test('move a folder from one folder to another', async () => {
    await inFolder(async (dir) => {
      await mkdir(join(dir, 'a/x'), { recursive: true });
      await mkdir(join(dir, 'b'));
      await renameDurably(join(dir, 'a/x'), join(dir, 'b/y'));
      expect(await readdir(join(dir, 'a'))).toEqual([]);
      expect(await readdir(join(dir, 'b'))).toEqual(['y']);
    });
  });

  test('say so when the folder is not there', async () => {
    await inFolder(async (dir) => {
      await expect(fsyncDir(join(dir, 'none'))).rejects.toThrow('ENOENT');
    });
  });
});

describe('removeTree', () => {
  test('removes a tree, follows no link, and does nothing when it is gone', async () => {
    await inFolder(async (dir) => {
      await writeFile(join(dir, 'kept'), 'kept');
      await mkdir(join(dir, 'tree/deep'), { recursive: true });
      await symlink(dir, join(dir, 'tree/deep/up'));
      await symlink(join(dir, 'kept'), join(dir, 'tree/kept'));
      await removeTree(join(dir, 'tree'));
      await removeTree(join(dir, 'tree'));
      expect(await readdir(dir)).toEqual(['kept']);
    });
  });

  test('opens read-only folders, as an ordinary user must', async () => {
    await inFolder(async (dir) => {
      const tree = join(dir, 'tree');
      await mkdir(join(tree, 'deep'), { recursive: true });
      await writeFile(join(tree, 'deep/file'), 'x', { mode: 0o444 });
      await chmod(join(tree, 'deep'), 0o555);
      await chmod(tree, 0o500);
      await chmod(dir, 0o777);
      removeAsNobody(tree);
      expect(await readdir(dir)).toEqual([]);
    });
  });
});

test('sweepTemporaryFiles removes what a killed writer left, and nothing else', async () => {
  await inFolder(async (dir) => {
    const dead = temporaryPath(dir);
    const running = temporaryPath(dir);
    for (const path of [dead, running, join(dir, '.zdd-mine'), join(dir, 'x.tmp')]) {
      await writeFile(path, '');
    }
    expect(await sweepTemporaryFiles(dir, new Set([running]))).toBe(1);
    expect((await readdir(dir)).toSorted()).toEqual(
      ['.zdd-mine', running.slice(dir.length + 1), 'x.tmp'].toSorted(),
    );
    expect(await sweepTemporaryFiles(join(dir, 'none'))).toBe(0);
  });
});

/** Root may write anywhere, so as root the test hands the tree to `nobody` and acts as that user. */
function removeAsNobody(tree: string): void {
  const module = new URL('../../agent/store/atomic-file.ts', import.meta.url);
  const root = process.getuid?.() === 0;
  if (root) execFileSync('chown', ['-R', '65534:65534', tree]);
  const become = root ? 'process.setgroups([]); process.setgid(65534); process.setuid(65534);' : '';
  execFileSync(process.execPath, [
    '--input-type=module',
    '--eval',
    // Imported before the change of user, who may not read the sources.
    `import { removeTree } from '${module.href}'; import 'node:fs/promises'; ${become}
     await removeTree(${JSON.stringify(tree)});`,
  ]);
}
