import { z } from 'zod';
import { duration } from './duration-field.ts';

const command = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);
const when = z.enum(['command', 'after_warm']);

/** `contract` of a `zdd.yaml`: what takes away that which only older releases need. */
export const contract = z
  .union([
    command.transform((run) => ({ run })),
    z.strictObject({
      run: command,
      timeout: duration().default(600_000).describe('How long the command may take.'),
      when: when
        .default('command')
        .describe(
          'command: by zdd-agent contract. after_warm: once no older release can come back.',
        ),
    }),
  ])
  .transform((value) => ({ timeout: 600_000, when: 'command' as z.output<typeof when>, ...value }))
  .optional()
  .describe('Migrations that the release before could not live with.');

/** `POST /v1/apps/:app/contract` */
export const contractRequest = z.strictObject({
  /** Although an older release is kept warm for a rollback. */
  now: z.boolean().default(false),
  owner: z.string().max(200).default('unknown'),
});
export const contractReply = z.object({
  app: z.string(),
  release: z.string(),
  result: z.enum(['started', 'already_done']),
  /** Follow `GET /v1/events?since=<seq>` to see how it ends. */
  since: z.int(),
});
export type ContractReply = z.infer<typeof contractReply>;
