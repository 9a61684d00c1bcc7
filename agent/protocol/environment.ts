import { z } from 'zod';

/** What the agent keeps for one app at most. The kernel takes no variable of more than 128 KiB. */
export const ENVIRONMENT_LIMITS = {
  /** Characters of a name. */
  name: 200,
  /** Bytes of a value. */
  value: 64 * 1024,
  /** Variables of an app. */
  count: 500,
  /** Bytes of all names and values of an app. */
  total: 256 * 1024,
} as const;

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Told by the agent and by systemd; a value of somebody else would lie about where to listen. */
const RESERVED =
  /^(ZDD_.*|PORT|SOCKET|LISTEN_.*|NOTIFY_SOCKET|WATCHDOG_.*|MAINPID|MANAGERPID|INVOCATION_ID|JOURNAL_STREAM)$/;
/** Special to the shell that starts an instance: some cannot be set there, others break it. */
const OF_THE_SHELL =
  /^(_|IFS|PWD|OLDPWD|PPID|UID|EUID|OPTIND|OPTARG|LINENO|SHLVL|SHELLOPTS|BASHOPTS)$/;

/** Whether it has the form of a name; one that is reserved has it too. */
export function isVariableName(name: string): boolean {
  // As a key of an object the last one would not be an entry but its prototype.
  return NAME.test(name) && name.length <= ENVIRONMENT_LIMITS.name && name !== '__proto__';
}

/** Why a variable cannot have this name; null when it can. */
export function problemWithName(name: string): string | null {
  if (!isVariableName(name)) {
    return `expected letters, digits and "_", no digit first, at most ${ENVIRONMENT_LIMITS.name}`;
  }
  if (RESERVED.test(name)) return 'it is reserved: the agent and systemd set it';
  if (OF_THE_SHELL.test(name)) return 'it is reserved: it belongs to the shell';
  return null;
}

/** Why a variable cannot have this value; null when it can. Never tells the value. */
export function problemWithValue(value: string): string | null {
  if (value.includes('\0')) return 'it has a NUL byte, which no variable can hold';
  if (!value.isWellFormed()) return 'it is not valid Unicode';
  const bytes = new TextEncoder().encode(value).length;
  if (bytes <= ENVIRONMENT_LIMITS.value) return null;
  return `it has ${bytes} bytes, at most ${ENVIRONMENT_LIMITS.value} are kept`;
}

/**
 * What is wrong with variables that are to be kept beside each other: label to text, in the order
 * of the names; empty when nothing is.
 */
export function problemsWith(values: Readonly<Record<string, string>>): [string, string][] {
  const problems: [string, string][] = [];
  let total = 0;
  for (const [name, value] of Object.entries(values)) {
    const bad = problemWithName(name) ?? problemWithValue(value);
    if (bad !== null) problems.push([nameShown(name), bad]);
    total += new TextEncoder().encode(name + value).length;
  }
  const { count, total: most } = ENVIRONMENT_LIMITS;
  const names = Object.keys(values).length;
  if (names > count) problems.push(['count', `${names} variables, at most ${count} are kept`]);
  if (total > most) problems.push(['size', `${total} bytes in all, at most ${most} are kept`]);
  return problems;
}

/** A name as an error shows it: what is none may be a value that went to the wrong place. */
export function nameShown(name: string): string {
  return isVariableName(name) ? name : '(not a name)';
}

/** One variable, as `list` shows it. */
const variable = z.object({
  name: z.string(),
  /** Bytes of the value. */
  bytes: z.int(),
  /** When it was last changed, ms since the epoch, and by whom. */
  changedAt: z.number(),
  changedBy: z.string(),
  /** Whether every instance of the live release has this value; null when none is live. */
  inForce: z.boolean().nullable(),
  /** zdd.yaml of the live release sets it too; the value of the host wins. */
  overrides: z.boolean(),
  /** Only when it was asked for. */
  value: z.string().optional(),
});

/** `GET /v1/apps/:app/environment?values=1`, by name. */
export const environmentReply = z.object({
  schemaVersion: z.literal(1),
  app: z.string(),
  /** The release that serves; null before the first. */
  live: z.string().nullable(),
  variables: z.array(variable),
  /** Taken away, and still there in the instances of the live release. */
  leaving: z.array(z.string()),
});
export type EnvironmentReply = z.infer<typeof environmentReply>;

export const environmentQuery = z.object({ values: z.stringbool().default(false) });

/** `POST /v1/apps/:app/environment`: all of it or, when anything is wrong, nothing. */
export const environmentChange = z.strictObject({
  owner: z.string().max(200).default('unknown'),
  set: z.record(z.string(), z.string()).default({}),
  unset: z.array(z.string()).max(ENVIRONMENT_LIMITS.count).default([]),
});
export type EnvironmentChange = z.input<typeof environmentChange>;

export const environmentChanged = z.object({
  app: z.string(),
  /** Names with a new value. */
  set: z.array(z.string()),
  /** Names that had this value already, or were not there to be taken away. */
  unchanged: z.array(z.string()),
  unset: z.array(z.string()),
  live: z.string().nullable(),
  /** Whether instances of the live release have other values than those of now. */
  pending: z.boolean(),
});
export type EnvironmentChanged = z.infer<typeof environmentChanged>;
