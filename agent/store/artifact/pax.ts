import { corrupt, unsafe } from './errors.ts';

/** What an extended header may say about the next entry, as far as it matters to a release. */
export interface PaxFields {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
}

/**
 * Reads the records of an extended header: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole
 * record in bytes (POSIX.1-2017, pax, "pax Extended Header"). Values may hold any byte, newlines
 * too, so records are cut by length only.
 * @throws ZDD_ARTIFACT_CORRUPT, ZDD_ARTIFACT_UNSAFE for a sparse file
 */
export function parsePax(body: Buffer): PaxFields {
  const fields: { path?: string; linkpath?: string; size?: number } = {};
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? '' : body.toString('latin1', at, space);
    const end = at + Number(digits);
    if (!/^[1-9]\d{0,7}$/.test(digits) || end > body.length || body[end - 1] !== 0x0a) {
      throw corrupt('an extended header is damaged');
    }
    const equals = body.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw corrupt('an extended header is damaged');
    const key = body.toString('utf8', space + 1, equals);
    const value = body.subarray(equals + 1, end - 1);
    if (key === 'path' || key === 'linkpath') fields[key] = decodeText(value);
    if (key === 'size') fields.size = decodeSize(value);
    if (key.startsWith('GNU.sparse.')) {
      throw unsafe(fields.path ?? '', 'a sparse file: pack without --sparse');
    }
    at = end;
  }
  return fields;
}

/** The long name of GNU tar: it ends with a NUL. */
export function textOf(body: Buffer): string {
  const end = body.indexOf(0);
  return decodeText(end < 0 ? body : body.subarray(0, end));
}

function decodeText(bytes: Buffer): string {
  // Bytes that are no UTF-8 become U+FFFD, which no name may hold: the check of names refuses them.
  return bytes.toString('utf8');
}

function decodeSize(bytes: Buffer): number {
  const text = bytes.toString('latin1');
  const size = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(size)) {
    throw corrupt('the size in an extended header is no number');
  }
  return size;
}
