import { z } from 'zod';

const until = z.number().nullable();

/** Who has locked an app, in `status`. */
export const lockStatus = z.object({
  owner: z.string(),
  message: z.string(),
  since: z.number(),
  until,
});

/** That an app answers 503, in `status`. */
export const maintenanceStatus = lockStatus.extend({
  allow: z.array(z.string()),
  retryAfterS: z.int(),
});
