import { z } from 'zod';

/** One alert of a webhook message. What else is in it is not looked at. */
const alert = z.object({
  status: z.enum(['firing', 'resolved']),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()).default({}),
  startsAt: z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
  fingerprint: z.string().min(1).max(100),
});

/** What Alertmanager posts (webhook, version 4). */
export const alertmanagerMessage = z.object({
  version: z.literal('4'),
  alerts: z.array(alert).max(10_000),
});
export type Alert = z.output<typeof alert>;
