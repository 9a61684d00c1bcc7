import type { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { inTransaction } from './database.ts';

/** Where a certificate comes from. */
export type Origin = 'pushed' | 'file' | 'acme';

const details = z.object({
  names: z.array(z.string()),
  notBefore: z.number(),
  notAfter: z.number(),
  issuer: z.string(),
  serial: z.string(),
  key: z.string(),
  fingerprint: z.string(),
});

/** What a certificate says of itself. */
export type CertificateDetails = z.infer<typeof details>;

/** One certificate of the host. */
export interface CertificateRecord extends CertificateDetails {
  /** Names its content. */
  readonly id: string;
  /** Certificate, chain and key. */
  readonly pem: string;
  readonly origin: Origin;
  /** Who pushed it, its file, or the directory of the ACME server. */
  readonly source: string;
  /** ms since the epoch */
  readonly addedAt: number;
}

/** The certificates of the host. Their keys are secrets: here, in the 0600 database, and with HAProxy. */
export class Certificates {
  readonly #database: DatabaseSync;
  #known: readonly CertificateRecord[] | undefined;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Oldest first. */
  list(): readonly CertificateRecord[] {
    this.#known ??= this.#database
      .prepare('SELECT * FROM certificates ORDER BY added_at, id')
      .all()
      .map((row) => ({
        ...details.parse(JSON.parse(String(row['details']))),
        id: String(row['id']),
        pem: String(row['pem']),
        origin: z.enum(['pushed', 'file', 'acme']).parse(row['origin']),
        source: String(row['source']),
        addedAt: Number(row['added_at']),
      }));
    return this.#known;
  }

  /** Makes them these, in one transaction. */
  replace(certificates: readonly CertificateRecord[]): void {
    const before = new Set(this.list());
    const kept = new Set(certificates.map(({ id }) => id));
    this.#known = undefined;
    inTransaction(this.#database, () => {
      for (const { id } of before) {
        if (!kept.has(id)) this.#database.prepare('DELETE FROM certificates WHERE id = ?').run(id);
      }
      for (const certificate of certificates) {
        if (before.has(certificate)) continue;
        const { id, pem, origin, source, addedAt, ...said } = certificate;
        this.#database
          .prepare(
            `INSERT OR REPLACE INTO certificates (id, pem, details, origin, source, added_at)
             VALUES (?, ?, ?, ?, ?, ?)`,
          )
          .run(id, pem, JSON.stringify(details.parse(said)), origin, source, addedAt);
      }
    });
  }
}
