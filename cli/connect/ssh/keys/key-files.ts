import { readFile } from 'node:fs/promises';
import ssh2, { type ParsedKey } from 'ssh2';
import { fingerprint, typeOf } from '../host-keys/known-hosts.ts';
import type { Identity, PassedOver } from './identity.ts';
import type { AskPassphrase } from './passphrase.ts';
import { type ReadKey, readKey } from './private-key.ts';
import { whyNot } from './ssh-agent.ts';

/** What a configured key file turned out to be. */
export type KeyFile =
  | { readonly kind: 'identity'; readonly identity: Identity }
  /** Only the public half is here: the ssh-agent has the other. */
  | { readonly kind: 'public'; readonly path: string; readonly fingerprint: string }
  | { readonly kind: 'missing'; readonly path: string }
  | { readonly kind: 'passed over'; readonly passed: PassedOver };

/** As often as ssh asks. */
const ATTEMPTS = 3;

/** Looks at one `IdentityFile`, without asking for its passphrase unless nothing else will do. */
export async function readKeyFile(path: string, ask: AskPassphrase): Promise<KeyFile> {
  const passed = (why: string): KeyFile => ({
    kind: 'passed over',
    passed: { label: path, why },
  });
  const beside = await readPublic(`${path}.pub`);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) {
      return passed(cause instanceof Error ? cause.message : String(cause));
    }
    if (beside === null) return { kind: 'missing', path };
    return { kind: 'public', path, fingerprint: fingerprint(beside.getPublicSSH()) };
  }
  const read = readKey(text);
  switch (read.kind) {
    case 'open':
      return identityOf(path, read.key, async () => read.key);
    case 'public':
      return { kind: 'public', path, fingerprint: fingerprint(read.key.getPublicSSH()) };
    case 'unusable':
      return passed(whyUnusable(text, read.why));
    case 'encrypted': {
      const secret = () => unlockOnce(path, text, ask);
      const known = publicKeyOf(read) ?? beside;
      if (known) return identityOf(path, known, secret);
      const type = read.blob === null ? null : typeOf(read.blob);
      if (type !== null) return passed(whyNot(type));
      // An old PEM without its .pub: even which key it is stands behind the passphrase.
      try {
        const key = await secret();
        return identityOf(path, key, async () => key);
      } catch (cause) {
        if (cause instanceof Locked) return passed(cause.message);
        throw cause;
      }
    }
  }
}

/** The passphrase was wrong, or there was nobody to ask. */
export class Locked extends Error {}

async function unlock(path: string, text: string, ask: AskPassphrase): Promise<ParsedKey> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const passphrase = await ask(`Passphrase for ${path}: `);
    if (passphrase === null) {
      throw new Locked('encrypted, and there is no terminal to ask for its passphrase: ssh-add it');
    }
    const read = readKey(text, passphrase);
    if (read.kind === 'open') return read.key;
    if (read.kind === 'unusable') throw new Locked(read.why);
  }
  throw new Locked(`${ATTEMPTS} wrong passphrases`);
}

function identityOf(path: string, key: ParsedKey, secret: () => Promise<ParsedKey>): KeyFile {
  const blob = key.getPublicSSH();
  return {
    kind: 'identity',
    identity: {
      label: path,
      origin: 'file',
      type: typeOf(blob),
      fingerprint: fingerprint(blob),
      publicKey: key,
      sign: async (data, hash) => (await secret()).sign(data, hash),
    },
  };
}

/** By file and contents. */
const unlocked = new Map<string, Promise<ParsedKey>>();

/** Neither the next host nor a connection that was cut makes anybody type a passphrase again. */
function unlockOnce(path: string, text: string, ask: AskPassphrase): Promise<ParsedKey> {
  const name = `${path}\n${text}`;
  const known = unlocked.get(name) ?? unlock(path, text, ask);
  unlocked.set(name, known);
  return known;
}

function publicKeyOf(read: Extract<ReadKey, { kind: 'encrypted' }>): ParsedKey | null {
  if (read.blob === null) return null;
  const parsed = ssh2.utils.parseKey(read.blob);
  return parsed instanceof Error ? null : parsed;
}

async function readPublic(path: string): Promise<ParsedKey | null> {
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  const parsed = ssh2.utils.parseKey(text);
  return parsed instanceof Error ? null : parsed;
}

function whyUnusable(text: string, why: string): string {
  // The type stands in the public part, whatever the parser thinks of the rest.
  const body = /BEGIN OPENSSH PRIVATE KEY-+([^-]+)-/.exec(text)?.[1] ?? '';
  const type = /sk-[a-z0-9-]+@openssh\.com/.exec(
    Buffer.from(body, 'base64').toString('latin1'),
  )?.[0];
  return type === undefined ? `it cannot be read (${why}): use --ssh-command` : whyNot(type);
}
