import { z } from 'zod';

/** What the client said of itself. Nobody has checked it. */
export const claimed = z.object({
  /** `deploy@laptop` */
  owner: z.string().nullable(),
  /** Version of the CLI. */
  cli: z.string().nullable(),
});
export type Claimed = z.infer<typeof claimed>;

/** A login by key that sshd has written down. */
export const sshLogin = z.object({
  /** `SHA256:...`, as `ssh-keygen -l` prints it. */
  fingerprint: z.string(),
  /** Where the connection came from. */
  from: z.string(),
});
export type SshLogin = z.infer<typeof sshLogin>;

/** What the agent found out by itself: from the kernel and from sshd's log. */
export const verified = z.object({
  /** Of the process at the other end of the socket, or of the file that was dropped. */
  uid: z.int(),
  user: z.string(),
  /**
   * Logins of this user that were open at that moment. With one, that is the one; with several, it
   * was one of them. None: no login over SSH, or sshd's log cannot be read.
   */
  ssh: z.array(sshLogin),
});
export type Verified = z.infer<typeof verified>;

/** One act that may have changed something. */
export const auditEntry = z.object({
  seq: z.int(),
  at: z.number(),
  /** `''` for what belongs to no app. */
  app: z.string(),
  /** `rollback`, `lock`, `deployments`, `incoming`: the last fixed word of the route. */
  verb: z.string(),
  /** What was asked for, as far as it is no secret: `release=r41`. */
  details: z.record(z.string(), z.string()),
  claimed,
  /** Null when the agent could not find out. */
  verified: verified.nullable(),
  deployment: z.int().nullable(),
  /**
   * `started`, `already_off`, the code of the error that refused it, or, once the deployment it
   * began has ended, how that ended. Null: it was not answered, because the agent was killed.
   */
  outcome: z.string().nullable(),
});
export type AuditEntry = z.infer<typeof auditEntry>;

/** `GET /v1/audit?app=&since=&lines=`, newest last. `since` is in ms since the epoch. */
export const auditQuery = z.object({
  app: z.string().optional(),
  since: z.coerce.number().min(0).default(0),
  lines: z.coerce.number().int().min(1).max(10_000).default(50),
});
export const auditReply = z.object({
  schemaVersion: z.literal(1),
  entries: z.array(auditEntry),
});
export type AuditReply = z.infer<typeof auditReply>;
