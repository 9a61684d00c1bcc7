import type { HostSettings } from '../config/settings.ts';
import { findKnown, type KnownKey, knownName } from './known-hosts.ts';

/** Everything known about the key of a host, read before it is asked for its key. */
export interface KnownHost {
  /** As known_hosts has it: `[web1.example.com]:2222`. */
  readonly name: string;
  readonly keys: readonly KnownKey[];
  /** Keys under the name without its port: good enough when they fit, no reason to worry when not. */
  readonly withoutPort: readonly KnownKey[];
}

export type Verdict =
  | { readonly kind: 'known' }
  | { readonly kind: 'revoked'; readonly by: KnownKey }
  /** Another key is known: either of the same type (`same`) or only of others. */
  | { readonly kind: 'changed'; readonly known: KnownKey; readonly same: boolean }
  /** `authorities`: lines that vouch by a certificate, which this CLI cannot check. */
  | { readonly kind: 'unknown'; readonly authorities: readonly KnownKey[] };

/** Reads the known_hosts files for a host. */
export async function lookUp(settings: HostSettings): Promise<KnownHost> {
  const files = [...settings.userKnownHosts, ...settings.globalKnownHosts];
  const { hostKeyAlias, host, port } = settings;
  const name = hostKeyAlias?.toLowerCase() ?? knownName(host, port);
  const bare = hostKeyAlias === undefined && port !== 22 ? knownName(host, 22) : null;
  const [keys, withoutPort] = await Promise.all([
    findKnown(files, name),
    bare === null ? [] : findKnown(files, bare),
  ]);
  return { name, keys, withoutPort };
}

/** What ssh would say to this key: revoked beats known, known beats changed. */
export function judge(host: KnownHost, type: string, blob: Buffer): Verdict {
  const all = [...host.keys, ...host.withoutPort];
  const revoked = all.find(({ marker, blob: other }) => marker === 'revoked' && other.equals(blob));
  if (revoked) return { kind: 'revoked', by: revoked };
  const plain = host.keys.filter(({ marker }) => marker === 'none');
  const fits = (each: KnownKey) => each.marker === 'none' && each.blob.equals(blob);
  if (all.some(fits)) return { kind: 'known' };
  const same = plain.find((each) => each.type === type);
  const known = same ?? plain[0];
  if (known) return { kind: 'changed', known, same: same !== undefined };
  return {
    kind: 'unknown',
    authorities: all.filter(({ marker }) => marker === 'cert-authority'),
  };
}

/** Names of the algorithms by which a host can prove a key of a type; without those by SHA-1. */
const ALGORITHMS = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
} as const;

export type HostKeyAlgorithm = (typeof ALGORITHMS)[keyof typeof ALGORITHMS][number];

/** A host with several keys is asked for one that is known: the algorithms of known keys first. */
export function preferredAlgorithms(host: KnownHost): HostKeyAlgorithm[] {
  const known = new Set(
    [...host.keys, ...host.withoutPort]
      .filter(({ marker }) => marker === 'none')
      .map(({ type }) => type),
  );
  const groups = Object.entries(ALGORITHMS);
  return [
    ...groups.filter(([type]) => known.has(type)),
    ...groups.filter(([type]) => !known.has(type)),
  ].flatMap(([, algorithms]) => [...algorithms]);
}
