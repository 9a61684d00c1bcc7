import { createPrivateKey } from 'node:crypto';
import ssh2, { type ParsedKey } from 'ssh2';

/** What a file of a private key says without its passphrase. */
export type ReadKey =
  | { readonly kind: 'open'; readonly key: ParsedKey }
  /** `blob`: the public half, when the file shows it. */
  | { readonly kind: 'encrypted'; readonly blob: Buffer | null }
  | { readonly kind: 'public'; readonly key: ParsedKey }
  | { readonly kind: 'unusable'; readonly why: string };

/** Reads OpenSSH's own format, PEM and PKCS #8. @param passphrase for one that is encrypted */
export function readKey(text: string, passphrase?: string): ReadKey {
  const pem = /BEGIN (ENCRYPTED )?PRIVATE KEY/.test(text) ? fromPkcs8(text, passphrase) : text;
  if (pem === null) return { kind: 'encrypted', blob: null };
  const parsed = ssh2.utils.parseKey(pem, passphrase);
  if (!(parsed instanceof Error)) {
    // Some formats hold several keys; ssh uses the first as well.
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    return key.isPrivateKey() ? { kind: 'open', key } : { kind: 'public', key };
  }
  if (/no passphrase given|bad passphrase|integrity check/i.test(parsed.message)) {
    return { kind: 'encrypted', blob: publicPart(text) };
  }
  return { kind: 'unusable', why: parsed.message };
}

/** ssh2 does not read PKCS #8: the same key in the form it reads. Null: the passphrase is missing. */
function fromPkcs8(text: string, passphrase: string | undefined): string | null {
  try {
    const key = createPrivateKey(
      passphrase === undefined ? text : { key: text, format: 'pem', passphrase },
    );
    const type = key.asymmetricKeyType === 'ec' ? 'sec1' : 'pkcs1';
    return key.export({ type, format: 'pem' }).toString();
  } catch {
    // What OpenSSL says to a wrong passphrase is as varied as what a wrong key looks like.
    return text.includes('BEGIN ENCRYPTED') ? null : text;
  }
}

const MAGIC = 'openssh-key-v1\0';

/** The public half that OpenSSH's format leaves readable (PROTOCOL.key). */
function publicPart(text: string): Buffer | null {
  const body = /BEGIN OPENSSH PRIVATE KEY-+([^-]+)-/.exec(text)?.[1];
  if (body === undefined) return null;
  const data = Buffer.from(body, 'base64');
  if (data.toString('latin1', 0, MAGIC.length) !== MAGIC) return null;
  try {
    let at = MAGIC.length;
    // Cipher, key derivation and its options stand before the number of keys.
    for (let n = 0; n < 3; n += 1) at += 4 + data.readUInt32BE(at);
    at += 4;
    return data.subarray(at + 4, at + 4 + data.readUInt32BE(at));
  } catch {
    return null;
  }
}
