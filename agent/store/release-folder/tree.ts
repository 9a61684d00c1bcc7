import {
  byPath,
  type FileContent,
  MANIFEST_NAME,
  type ReleaseEntry,
} from '../../protocol/manifest.ts';
import { CONFIG_NAME, configMissing } from '../artifact/config.ts';
import { empty, reserved, unsafe } from '../artifact/errors.ts';
import { checkedName, checkedTarget, collisionKey } from '../artifact/names.ts';

interface Directory {
  readonly type: 'directory';
  readonly name: string;
  /** An entry of the archive names it; else it is only part of another's path. */
  named: boolean;
  readonly children: Map<string, Node>;
}
interface File {
  readonly type: 'file';
  readonly name: string;
  content: FileContent;
}
interface Symlink {
  readonly type: 'symlink';
  readonly name: string;
  readonly target: string;
}
type Node = Directory | File | Symlink;

/** As the kernel does: more links than this in one path are a loop. */
const MAX_LINKS = 40;
const UNKNOWN: FileContent = { executable: false, bytes: 0, sha256: '' };

/**
 * The release as it will be, built in memory while an archive is read. Every rule about names and
 * links is decided here, before the disk is touched: no entry lies behind a link, so a path that the
 * tree has given out can be written without ever meeting one.
 */
export class ReleaseTree {
  #root: Directory = directory('');
  #files = 0;

  /** Returns its path; empty for the root itself. @throws ZDD_ARTIFACT_UNSAFE */
  addDirectory(name: string): string {
    const components = checkedName(name);
    if (components.length === 0) return '';
    const node = this.#enter(components, name);
    if (node.named) throw unsafe(name, 'the archive has it twice');
    node.named = true;
    return components.join('/');
  }

  /** Returns its path and the way to say what it holds, once known. @throws ZDD_ARTIFACT_UNSAFE */
  addFile(name: string): { path: string; setContent: (content: FileContent) => void } {
    const file: File = { type: 'file', name: last(name), content: UNKNOWN };
    const path = this.#add(name, file);
    return {
      path,
      setContent: (content) => {
        file.content = content;
      },
    };
  }

  /** Where it points is checked by `settle`, when all is known. @throws ZDD_ARTIFACT_UNSAFE */
  addSymlink(name: string, target: string): void {
    this.#add(name, { type: 'symlink', name: last(name), target: checkedTarget(name, target) });
  }

  /**
   * A hard link is a second name for an earlier file of the archive.
   * Returns both paths, or null when the earlier one is a symbolic link. @throws ZDD_ARTIFACT_UNSAFE
   */
  addHardlink(name: string, target: string): { path: string; existing: string } | null {
    const components = checkedName(checkedTarget(name, target));
    const existing = this.#find(components);
    if (existing === null || existing.type === 'directory') {
      throw unsafe(name, `a hard link to ${JSON.stringify(target)}, which is no earlier file here`);
    }
    if (existing.type === 'symlink') {
      this.addSymlink(name, existing.target);
      return null;
    }
    const path = this.#add(name, { ...existing, name: last(name) });
    return { path, existing: components.join('/') };
  }

  /**
   * To be called when the archive has been read to its end. Finds the root of the release (see
   * `readAppConfig`), checks that every link stays within it, and returns the folder of the archive
   * that is the root: empty for the archive itself.
   * @throws ZDD_ARTIFACT_EMPTY, ZDD_CONFIG_MISSING, ZDD_ARTIFACT_UNSAFE
   */
  settle(): string {
    const prefix = this.#findPrefix();
    if (prefix !== null) this.#root = prefix;
    if (this.#root.children.has(collisionKey(MANIFEST_NAME))) throw reserved();
    this.#checkLinks(this.#root, [this.#root], '');
    return prefix?.name ?? '';
  }

  /** Everything in the release but its root, ordered by path: folders before what they hold. */
  entries(): ReleaseEntry[] {
    const found: ReleaseEntry[] = [];
    const walk = (node: Directory, prefix: string): void => {
      for (const child of node.children.values()) {
        const path = `${prefix}${child.name}`;
        switch (child.type) {
          case 'directory':
            found.push({ type: 'directory', path });
            walk(child, `${path}/`);
            break;
          case 'file':
            found.push({ type: 'file', path, ...child.content });
            break;
          case 'symlink':
            found.push({ type: 'symlink', path, target: child.target });
            break;
        }
      }
    };
    walk(this.#root, '');
    return found.sort(byPath);
  }

  #add(name: string, node: File | Symlink): string {
    const components = checkedName(name);
    if (components.length === 0) throw unsafe(name, 'it would replace the release itself');
    const parent = this.#enter(components.slice(0, -1), name);
    const key = collisionKey(node.name);
    const known = parent.children.get(key);
    if (known !== undefined) throw clash(name, known, node.name);
    parent.children.set(key, node);
    this.#files += 1;
    return components.join('/');
  }

  #enter(components: readonly string[], entry: string): Directory {
    let at = this.#root;
    for (const component of components) {
      const key = collisionKey(component);
      let child = at.children.get(key);
      if (child === undefined) {
        child = directory(component);
        at.children.set(key, child);
      }
      if (child.type === 'symlink') throw unsafe(entry, `it lies behind the link "${child.name}"`);
      if (child.type === 'file' || child.name !== component) throw clash(entry, child, component);
      at = child;
    }
    return at;
  }

  #find(components: readonly string[]): Node | null {
    let at: Node = this.#root;
    for (const component of components) {
      if (at.type !== 'directory') return null;
      const child = at.children.get(collisionKey(component));
      if (child?.name !== component) return null;
      at = child;
    }
    return at;
  }

  #findPrefix(): Directory | null {
    if (this.#files === 0) throw empty('it holds nothing but folders');
    const top = [...this.#root.children.values()];
    if (hasConfig(this.#root)) return null;
    const [only] = top;
    if (top.length === 1 && only?.type === 'directory' && hasConfig(only)) return only;
    throw configMissing(
      top.map(({ name }) => name),
      [],
    );
  }

  #checkLinks(node: Directory, stack: readonly Directory[], prefix: string): void {
    for (const child of node.children.values()) {
      const path = `${prefix}${child.name}`;
      if (child.type === 'directory') this.#checkLinks(child, [...stack, child], `${path}/`);
      if (child.type === 'symlink') follow(path, stack, child.target, { left: MAX_LINKS });
    }
  }
}

/**
 * Walks a link's target as the kernel would, through other links too. Returns the folders from the
 * root of the release to where it ends; null when it ends at a file or at nothing.
 * @throws ZDD_ARTIFACT_UNSAFE when any step leaves the release
 */
function follow(
  link: string,
  from: readonly Directory[],
  target: string,
  links: { left: number },
): Directory[] | null {
  links.left -= 1;
  if (links.left < 0) throw unsafe(link, 'a loop of links');
  let at: Directory[] | null = [...from];
  for (const component of target.split('/')) {
    if (component === '' || component === '.') continue;
    if (component === '..') {
      if (at === null) throw unsafe(link, `a link through nothing: ${JSON.stringify(target)}`);
      if (at.length === 1)
        throw unsafe(link, `a link that leaves the release: ${JSON.stringify(target)}`);
      at.pop();
      continue;
    }
    const child: Node | undefined = at?.at(-1)?.children.get(collisionKey(component));
    if (at === null || child === undefined || child.name !== component || child.type === 'file') {
      at = null;
    } else if (child.type === 'directory') {
      at.push(child);
    } else {
      at = follow(link, at, child.target, links);
    }
  }
  return at;
}

function directory(name: string): Directory {
  return { type: 'directory', name, named: false, children: new Map() };
}

function hasConfig(node: Directory): boolean {
  const found = node.children.get(collisionKey(CONFIG_NAME));
  return found?.type === 'file' && found.name === CONFIG_NAME;
}

function last(name: string): string {
  return checkedName(name).at(-1) ?? '';
}

function clash(entry: string, known: Node, name: string): Error {
  if (known.name !== name) {
    return unsafe(entry, `its name differs from "${known.name}" in case or accents only`);
  }
  return unsafe(
    entry,
    known.type === 'directory' ? 'it is a folder already' : 'the archive has it twice',
  );
}
