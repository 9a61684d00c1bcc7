import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { matchesPatterns } from '../patterns.ts';

/** One line of a known_hosts file that speaks of the host asked for (sshd(8), SSH_KNOWN_HOSTS). */
export interface KnownKey {
  readonly marker: 'none' | 'cert-authority' | 'revoked';
  /** `ssh-ed25519`, ... */
  readonly type: string;
  readonly blob: Buffer;
  readonly file: string;
  readonly line: number;
}

/** How known_hosts writes a host: with its port unless that is 22. */
export function knownName(host: string, port: number): string {
  const name = host.toLowerCase();
  return port === 22 ? name : `[${name}]:${port}`;
}

/** Every line of these files about `name`. Files that are not there, or not readable, have none. */
export async function findKnown(files: readonly string[], name: string): Promise<KnownKey[]> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return texts.flatMap((text, at) => linesAbout(text, files[at] ?? '', name));
}

/** The lines of one file about `name`; what cannot be read is passed over, as ssh does. */
export function linesAbout(text: string, file: string, name: string): KnownKey[] {
  return text.split('\n').flatMap((line, index) => {
    const words = line.trim().split(/[ \t]+/);
    const first = words[0] ?? '';
    if (first === '' || first.startsWith('#')) return [];
    const marker = markerOf(first);
    if (marker === null) return [];
    const [hosts = '', type = '', key = ''] = marker === 'none' ? words : words.slice(1);
    if (!speaksOf(hosts, name)) return [];
    const blob = Buffer.from(key, 'base64');
    if (blob.length === 0) return [];
    return [{ marker, type, blob, file, line: index + 1 }];
  });
}

function markerOf(word: string): KnownKey['marker'] | null {
  if (!word.startsWith('@')) return 'none';
  if (word === '@cert-authority') return 'cert-authority';
  return word === '@revoked' ? 'revoked' : null;
}

function speaksOf(hosts: string, name: string): boolean {
  if (!hosts.startsWith('|')) return matchesPatterns(hosts.split(','), name);
  const [, version, salt = '', expected = ''] = hosts.split('|');
  if (version !== '1') return false;
  const wanted = Buffer.from(expected, 'base64');
  const found = hmac(Buffer.from(salt, 'base64'), name);
  return wanted.length === found.length && timingSafeEqual(wanted, found);
}

/** A line for a known_hosts file. @param hashed hides the name, as `HashKnownHosts` asks */
export function knownLine(name: string, type: string, blob: Buffer, hashed: boolean): string {
  return `${hashed ? hashName(name) : name} ${type} ${blob.toString('base64')}`;
}

function hashName(name: string): string {
  const salt = randomBytes(20);
  return `|1|${salt.toString('base64')}|${hmac(salt, name).toString('base64')}`;
}

function hmac(salt: Buffer, name: string): Buffer {
  return createHmac('sha1', salt).update(name).digest();
}

/** `SHA256:...`, as every tool of OpenSSH prints it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** The type that a key names at its beginning (RFC 4253, 6.6). */
export function typeOf(blob: Buffer): string {
  const length = blob.length < 4 ? 0 : blob.readUInt32BE(0);
  return length > 100 ? '' : blob.toString('latin1', 4, 4 + length);
}
