import { readJsonPath, valueAt } from '../../protocol/json-path.ts';
import { fillIn, type SmokeRequest } from '../../protocol/smoke.ts';
import { type Answer, ask, type Question } from '../http-question.ts';
import type { SmokeValues } from './values.ts';

/** How often a GET or HEAD that only came late is asked: the first may find every cache cold. */
const TRIES = 3;
const SHOWN = 200;

type Received = Extract<Answer, { got: 'answer' }>;

/** Whom a check asks. */
export interface Asked {
  readonly listen: Question['listen'];
  readonly headers: Readonly<Record<string, string>>;
  /** The id of the release, for `$ZDD_RELEASE`. */
  readonly release: string;
  readonly signal: AbortSignal;
}

/**
 * Asks once, and saves what the check says.
 * @param path as whoever is asked knows it
 * @returns what is wrong, in words that hold no secret; null when nothing is
 */
export async function askCheck(
  check: SmokeRequest,
  path: string,
  values: SmokeValues,
  asked: Asked,
): Promise<string | null> {
  const missing: string[] = [];
  const lookUp = (name: string): string => {
    const value = values.get(name);
    if (value === undefined) missing.push(name);
    return value ?? '';
  };
  const filled = (text: string): string => fillIn(text, lookUp);
  const headers = Object.fromEntries(
    Object.entries(check.headers).map(([name, value]) => [name.toLowerCase(), filled(value)]),
  );
  const both = [asked.headers['cookie'], headers['cookie']].filter((text) => text !== undefined);
  // What leads to the candidate, beside what the check itself wants.
  const cookies = both.length === 0 ? {} : { cookie: both.join('; ') };
  const body = bodyOf(check, filled);
  const expected = {
    contains: check.contains === undefined ? undefined : filled(check.contains),
    json: Object.entries(check.json).map(([at, value]) => {
      const text = value === '$ZDD_RELEASE' ? asked.release : value;
      return [at, typeof text === 'string' ? filled(text) : text] as const;
    }),
  };
  const question: Question = {
    listen: asked.listen,
    method: check.method,
    path: fillIn(path, (name) => encodeURIComponent(lookUp(name).toWellFormed())),
    headers: { 'user-agent': 'zdd-agent-smoke', ...asked.headers, ...headers, ...cookies },
    ...(body === undefined ? {} : { body }),
    timeoutMs: check.within,
    signal: asked.signal,
  };
  const [absent] = missing;
  if (absent !== undefined) {
    return absent.startsWith('env.')
      ? `the app has no variable ${absent.slice(4)}`
      : `\${${absent}} is not known: the check that saves it was not asked here`;
  }
  if (Object.values(headers).some((value) => /[\r\n\0]/.test(value))) {
    return 'a value does not fit into a header: it has line ends';
  }
  const answer = await patientAsk(check, question);
  const wrong = faultOf(check, answer, expected) ?? save(check, answer, values);
  if (wrong === null) return null;
  return values.redact(`${wrong}${bodyToShow(check, answer)}`);
}

async function patientAsk(check: SmokeRequest, question: Question): Promise<Answer> {
  const tries = check.method === 'GET' || check.method === 'HEAD' ? TRIES : 1;
  for (let number = 1; ; number += 1) {
    const answer = await ask(question);
    const late = answer.got === 'nothing' && answer.error.startsWith('no answer within');
    if (!late || number >= tries) {
      return late && tries > 1 ? { ...answer, error: `${answer.error}, ${tries} times` } : answer;
    }
  }
}

function bodyOf({ body }: SmokeRequest, filled: (text: string) => string): string | undefined {
  if (body === undefined || typeof body === 'string') return body && filled(body);
  return JSON.stringify(body, (_key, value: unknown) =>
    typeof value === 'string' ? filled(value) : value,
  );
}

function faultOf(
  check: SmokeRequest,
  answer: Answer,
  {
    contains,
    json,
  }: { contains: string | undefined; json: ReadonlyArray<readonly [string, unknown]> },
): string | null {
  if (answer.got === 'nothing') return answer.error;
  if (answer.status !== check.status) return `${answer.status}, expected ${check.status}`;
  if (contains !== undefined && !answer.body.includes(contains)) {
    return `${answer.status}, but the answer lacks ${JSON.stringify(contains)}`;
  }
  if (json.length === 0) return null;
  const parsed = parsedBody(answer);
  if (parsed === undefined) return `${answer.status}, but the answer is no JSON`;
  const wrong = json.find(([path, value]) => valueAt(parsed, readJsonPath(path) ?? []) !== value);
  if (wrong === undefined) return null;
  const [path, value] = wrong;
  const found = JSON.stringify(valueAt(parsed, readJsonPath(path) ?? []))?.slice(0, SHOWN);
  const shown = found === undefined ? 'not there' : savesSecrets(check) ? 'another' : found;
  return `${answer.status}, but ${path} is ${shown}, expected ${JSON.stringify(value)}`;
}

function save(check: SmokeRequest, answer: Answer, values: SmokeValues): string | null {
  if (answer.got === 'nothing') return null;
  for (const [name, from] of Object.entries(check.save)) {
    const value = savedFrom(answer, from);
    if (value === undefined) return `${answer.status}, but there is nothing to save as ${name}`;
    values.save(name, value);
  }
  return null;
}

function savedFrom(answer: Received, from: SmokeRequest['save'][string]): string | undefined {
  if (typeof from === 'string') {
    const value = valueAt(parsedBody(answer), readJsonPath(from) ?? []);
    const isPlain = ['string', 'number', 'boolean'].includes(typeof value);
    return isPlain ? String(value) : undefined;
  }
  if ('header' in from) {
    const value = answer.headers[from.header.toLowerCase()];
    return Array.isArray(value) ? value[0] : value;
  }
  const prefix = `${from.cookie}=`;
  const cookie = answer.headers['set-cookie']?.find((line) => line.startsWith(prefix));
  return cookie?.slice(prefix.length).split(';')[0];
}

/** An answer that holds what is to be saved is a secret as a whole. */
function bodyToShow(check: SmokeRequest, answer: Answer): string {
  if (answer.got === 'nothing' || answer.body === '') return '';
  if (savesSecrets(check)) return ' (its body is not shown: secrets are saved from it)';
  return `: ${answer.body.slice(0, SHOWN)}`;
}

function savesSecrets(check: SmokeRequest): boolean {
  return Object.keys(check.save).length > 0;
}

function parsedBody({ body }: Received): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
