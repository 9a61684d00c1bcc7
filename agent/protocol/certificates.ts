import { z } from 'zod';

const owner = z.string().max(200).default('unknown');

/** More than a key and the longest sane chain, bytes. */
export const MAX_PEM_BYTES = 64 * 1024;

const pem = z.string().min(1).max(MAX_PEM_BYTES, `expected at most ${MAX_PEM_BYTES} bytes`);

/** `POST /v1/cert-add`. The key travels in the body and is repeated nowhere. */
export const certificateRequest = z.strictObject({
  owner,
  /** PEM: the certificate, then its intermediates. */
  certificate: pem,
  /** PEM, not encrypted; left out when it stands in `certificate`. */
  key: pem.optional(),
});
export type CertificateRequest = z.input<typeof certificateRequest>;

/** `POST /v1/cert-rm`: the certificate that serves this name. */
export const certificateRemoval = z.strictObject({ owner, name: z.string().min(1).max(255) });

/** `POST /v1/cert-renew`: a host whose last try to have a certificate issued failed. */
export const certificateRetry = z.strictObject({ owner, name: z.string().min(1).max(255) });
export const certificateRetryReply = z.object({ result: z.literal('due'), name: z.string() });
export type CertificateRetryReply = z.infer<typeof certificateRetryReply>;

/** One certificate of the host. Never its key. */
export const certificateStatus = z.object({
  id: z.string(),
  /** All that stand in it. */
  names: z.array(z.string()),
  /** Those it is shown for: a name belongs to the certificate that came last. */
  serves: z.array(z.string()),
  notBefore: z.number(),
  notAfter: z.number(),
  expiry: z.enum(['good', 'soon', 'very_soon', 'expired']),
  issuer: z.string(),
  serial: z.string(),
  /** `EC P-256`, `RSA 2048` */
  key: z.string(),
  /** `pushed`: by `cert add`. `file`: of agent.yaml. `acme`: issued for an app. */
  origin: z.enum(['pushed', 'file', 'acme']),
  /** Who pushed it, the file, or the directory of the ACME server. */
  from: z.string(),
  addedAt: z.number(),
});
export type CertificateStatus = z.infer<typeof certificateStatus>;

/** `GET /v1/certificates` */
export const certificatesReply = z.object({
  schemaVersion: z.literal(1),
  certificates: z.array(certificateStatus),
});
export type CertificatesReply = z.infer<typeof certificatesReply>;

/** Answer to `cert-add` and `cert-rm`. */
export const certificateReply = z.object({
  result: z.enum(['added', 'replaced', 'already_there', 'removed']),
  certificate: certificateStatus,
  /** HAProxy had to be reloaded: the first certificate of a host opens its TLS port, the last closes it. */
  reloaded: z.boolean(),
  /** Good to know, for people. */
  notes: z.array(z.string()),
});
export type CertificateReply = z.infer<typeof certificateReply>;
