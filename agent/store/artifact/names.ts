import { tooLarge, unsafe } from './errors.ts';
import { MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES } from './limits.ts';

/** The components of a name, without `.` and empty ones: `./a//b/` is `a`, `b`. Checks nothing. */
export function splitName(name: string): string[] {
  return name.split('/').filter((component) => component !== '' && component !== '.');
}

/**
 * The components of the name of an entry, checked: it stays in the release, and it is the same name
 * for every program that will ever read it. Empty for the root itself.
 * @throws ZDD_ARTIFACT_UNSAFE, ZDD_ARTIFACT_TOO_LARGE
 */
export function checkedName(name: string): string[] {
  if (name.startsWith('/')) throw unsafe(name, 'an absolute path');
  checkCharacters(name, name);
  const components = splitName(name);
  if (components.includes('..')) throw unsafe(name, '".." in its path');
  if (Buffer.byteLength(name) > MAX_PATH_BYTES) {
    throw tooLarge(`a path longer than ${MAX_PATH_BYTES} bytes`, name);
  }
  if (components.length > MAX_DEPTH) throw tooLarge(`more than ${MAX_DEPTH} folders deep`, name);
  const long = components.find((component) => Buffer.byteLength(component) > MAX_NAME_BYTES);
  if (long !== undefined) throw tooLarge(`a name longer than ${MAX_NAME_BYTES} bytes`, name);
  return components;
}

/**
 * Where a symbolic link may point, as text: relative, of harmless characters. Whether it stays in
 * the release is for the tree to say.
 * @throws ZDD_ARTIFACT_UNSAFE, ZDD_ARTIFACT_TOO_LARGE
 */
export function checkedTarget(name: string, target: string): string {
  if (target === '') throw unsafe(name, 'a link to nowhere');
  if (target.startsWith('/')) throw unsafe(name, `a link to the absolute path ${quoted(target)}`);
  checkCharacters(target, name);
  if (Buffer.byteLength(target) > MAX_PATH_BYTES) {
    throw tooLarge(`a link longer than ${MAX_PATH_BYTES} bytes`, name);
  }
  return target;
}

/**
 * Two names with the same key are one file on a file system that ignores case, or that normalises
 * Unicode as macOS does: on a colleague's laptop this release would not be this release.
 */
export function collisionKey(component: string): string {
  return component.normalize('NFC').toUpperCase().toLowerCase();
}

function checkCharacters(text: string, entry: string): void {
  if (text.includes('\\')) throw unsafe(entry, 'a backslash in its path');
  if (text.includes('\ufffd')) throw unsafe(entry, 'a path that is not UTF-8');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\x00-\x1f\x7f]/.test(text)) throw unsafe(entry, 'a control character in its path');
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 160));
}
