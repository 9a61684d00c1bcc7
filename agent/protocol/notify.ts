import { z } from 'zod';
import { duration } from './duration-field.ts';
import { outcome } from './events.ts';

const variable = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_]*$/,
    'expected the name of a variable kept by "zdd-agent env set": the address itself is a secret',
  );

/** What of a deployment is told: how it has ended, or that it waits for a person. */
const occasion = z.enum([...outcome.options, 'paused']);

const on = z
  .array(occasion)
  .min(1)
  .describe('What is told: succeeded, failed, aborted, rolled_back, paused (a person is needed).');
const every = on.default([...occasion.options]);

const authorization = variable
  .optional()
  .describe('The variable with the Authorization header: "Bearer ...".');

const slack = z.strictObject({
  slack: variable.describe('The variable with the address of an incoming webhook.'),
  on: every,
});

const webhook = z.strictObject({
  webhook: variable.describe('The variable with the address that gets the receipt as JSON.'),
  authorization,
  on: every,
});

const ticket = z.strictObject({
  ticket: variable.describe('The variable with the address that makes issues, as Jira does.'),
  authorization,
  project: z.string().min(1).describe('Key of the project.'),
  type: z.string().min(1).default('Task').describe('Name of the type of issue.'),
  fields: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('More fields of the issue, or others: labels, priority.'),
  on: on.default(['rolled_back']),
});

const command = z.strictObject({
  run: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .describe('A command; $ZDD_NOTIFICATION is the message as JSON.'),
  within: duration().default(60_000).describe('How long the command may take.'),
  on: every,
});

/** `notify` of a `zdd.yaml`. */
export const notify = z
  .array(z.union([slack, webhook, ticket, command]))
  .max(16)
  .default([])
  .describe('Who is told how a deployment has ended, or that it waits for a person.');

/** One that is told. */
export type NotifyEntry = z.output<typeof notify>[number];

/** Where a message goes, in a word. */
export const recipient = z.enum(['slack', 'webhook', 'ticket', 'command']);
export type Recipient = z.infer<typeof recipient>;

export function recipientOf(entry: NotifyEntry): Recipient {
  if ('slack' in entry) return 'slack';
  if ('webhook' in entry) return 'webhook';
  return 'ticket' in entry ? 'ticket' : 'command';
}

/** Variables that are for the agent: no process of the app is given them. */
export function notifyVariables(entries: readonly NotifyEntry[]): ReadonlySet<string> {
  return new Set(
    entries.flatMap((entry) => {
      if ('slack' in entry) return [entry.slack];
      if ('run' in entry) return [];
      const { authorization: header } = entry;
      const address = 'webhook' in entry ? entry.webhook : entry.ticket;
      return header === undefined ? [address] : [address, header];
    }),
  );
}

/** `POST /v1/apps/:app/notify`: tell once more how a deployment ended, whatever `on` says. */
export const notifyRequest = z.strictObject({
  /** Default: the last that has ended. */
  deployment: z.int().min(1).optional(),
  owner: z.string().max(200).default('unknown'),
});
export const notifyReply = z.object({
  app: z.string(),
  deployment: z.int(),
  /** Who will be told; the events say what came of it. */
  to: z.array(recipient),
});
export type NotifyReply = z.infer<typeof notifyReply>;
