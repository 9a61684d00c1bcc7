import { access, constants, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';
import { type Ended, runCheck } from './check-shell.ts';
import { findRegion } from './region.ts';

/** A text that is to become a `haproxy.cfg`. */
export interface Checked {
  /** The file it is for. */
  readonly target: string;
  readonly text: string;
  /** What stands there now. */
  readonly before: string | undefined;
}

/**
 * Checks a configuration with `haproxy -c`.
 *
 * We may be an ordinary user, and the admin's part may name what only root reads: private keys.
 * HAProxy then complains about that and looks no further. If that is all it complains about, the
 * region is checked alone; the admin's part is theirs, and a reload that fails because of it leaves
 * the old worker as it is.
 * @param path where `checked.text` stands
 * @returns files of the admin's part that HAProxy could not read as this user
 * @throws ZDD_HAPROXY_CONFIG_INVALID naming the line and whose it is
 */
export async function checkConfig(
  path: string,
  checked: Checked,
  binary: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const verdict = await run(binary, path, signal);
  if (verdict.code === 0) return [];
  const complaints = complaintsOf(verdict.output);
  const unreadable = await unreadableOf(complaints, checked);
  if (unreadable === null) throw invalid(path, checked, verdict.output, complaints);
  const alone = `${path}.region`;
  try {
    await writeFile(alone, regionAlone(checked.text), { mode: 0o600 });
    const { code, output } = await run(binary, alone, signal);
    if (code !== 0) throw invalid(alone, checked, output, []);
  } finally {
    await rm(alone, { force: true });
  }
  return unreadable;
}

/** The region as a whole file. Without a listener HAProxy would refuse it for that alone. */
function regionAlone(text: string): string {
  const region = findRegion(text)?.region ?? '';
  if (/^\s*bind\s/m.test(region)) return `${region}\n`;
  return `${region}\nfrontend check\n  mode http\n  timeout client 1s\n  bind 127.0.0.1:1\n`;
}

/** One thing that HAProxy does not like about a line. */
interface Complaint {
  readonly line: number;
  readonly text: string;
}

function complaintsOf(output: string): readonly Complaint[] {
  return alertsOf(output).flatMap((alert) => {
    const found = /:(\d+)\]\s*:?\s*(.*)$/.exec(alert);
    return found?.[2] === undefined ? [] : [{ line: Number(found[1]), text: found[2] }];
  });
}

function alertsOf(output: string): readonly string[] {
  return output.split('\n').filter((line) => line.startsWith('[ALERT]'));
}

/**
 * The files that complaints outside the region are about, if all are about files we may not read;
 * else null.
 */
async function unreadableOf(
  complaints: readonly Complaint[],
  checked: Checked,
): Promise<readonly string[] | null> {
  const files: string[] = [];
  for (const { line, text } of complaints) {
    if (locate(line, checked).part === 'agent') return null;
    const named = /'(\/[^']+)'/.exec(text)?.[1];
    if (named === undefined || !(await isForbidden(named))) return null;
    files.push(named);
  }
  return files.length === 0 ? null : files;
}

async function isForbidden(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EACCES';
  }
}

function invalid(
  path: string,
  checked: Checked,
  output: string,
  [complaint]: readonly Complaint[],
): ZddError {
  const said = output.replaceAll(path, checked.target);
  const alerts = alertsOf(said);
  const place = complaint === undefined ? undefined : locate(complaint.line, checked);
  const name = basename(checked.target);
  return new ZddError(
    'ZDD_HAPROXY_CONFIG_INVALID',
    complaint === undefined || place === undefined
      ? `${name} does not pass haproxy -c.`
      : place.part === 'admin'
        ? `${name} line ${place.line}, outside the managed region: ${complaint.text}`
        : `${name}, inside the managed region: ${complaint.text}`,
    {
      evidence: [
        ...(place === undefined
          ? []
          : [
              [
                place.part === 'admin' ? `line ${place.line} (yours)` : 'line (of the agent)',
                place.text,
              ] as const,
            ]),
        ['haproxy -c', (alerts.length > 0 ? alerts.join('\n') : said).slice(0, 2_000)],
      ],
      traffic: 'unchanged: neither the file nor the running HAProxy was touched',
      tries:
        place?.part === 'admin'
          ? [`sed -n ${place.line}p ${checked.target}`, `haproxy -c -f ${checked.target}`]
          : [`haproxy -c -f ${checked.target}`],
    },
  );
}

async function run(binary: string, path: string, signal: AbortSignal): Promise<Ended> {
  try {
    return await runCheck(binary, path, signal);
  } catch (error) {
    throw signal.aborted ? signal.reason : cannotRun(binary, error);
  }
}

function cannotRun(binary: string, error: unknown): ZddError {
  return new ZddError('ZDD_HAPROXY_CONFIG_INVALID', `${binary} -c could not be run to its end.`, {
    evidence: [['error', error instanceof Error ? error.message : String(error)]],
    traffic: 'unchanged',
    tries: [`${binary} -v`],
    cause: error,
  });
}

/**
 * Whose line HAProxy complains about, and its number in the file that stands there now: the region
 * in the checked text may be longer or shorter than the one in it.
 */
function locate(
  line: number,
  { text, before }: Checked,
): { part: 'admin' | 'agent'; line: number; text: string } {
  const words = text.split('\n')[line - 1]?.trim() ?? '';
  const cut = findRegion(text);
  if (cut === undefined || line < cut.firstLine) return { part: 'admin', line, text: words };
  const height = cut.region.split('\n').length;
  if (line < cut.firstLine + height) return { part: 'agent', line, text: words };
  const old = before === undefined ? undefined : findRegion(before);
  const oldHeight = old === undefined ? height : old.region.split('\n').length;
  return { part: 'admin', line: line - height + oldHeight, text: words };
}
