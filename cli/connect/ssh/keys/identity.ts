import type { ParsedKey } from 'ssh2';

/** A key that can be offered to a host. What signs with it may first ask for its passphrase. */
export interface Identity {
  /** Path of the file, or the comment that the ssh-agent has for it. */
  readonly label: string;
  readonly origin: 'agent' | 'file';
  /** `ssh-ed25519`, ... */
  readonly type: string;
  readonly fingerprint: string;
  readonly publicKey: ParsedKey;
  /**
   * @param hash for RSA: the digest that was agreed with the host
   * @throws when the ssh-agent refuses, or nobody can be asked for the passphrase
   */
  sign(data: Buffer, hash: string | undefined): Promise<Buffer>;
}

/** A key that was found and cannot be used, and why: said when no other key was accepted. */
export interface PassedOver {
  readonly label: string;
  readonly why: string;
}

export interface Identities {
  readonly usable: readonly Identity[];
  readonly passedOver: readonly PassedOver[];
}
