import type { AuditEntry, AuditReply } from '../../agent/protocol/audit.ts';
import { dateTime } from './amounts.ts';
import type { Screen } from './screen.ts';
import { clean } from './text.ts';

const GOOD = new Set(['succeeded', 'started', 'done']);

/** Oldest first: a line for the act and its outcome, one for who it was. */
export function auditLines(screen: Screen, { entries }: AuditReply): string[] {
  if (entries.length === 0) return ['nothing has been done yet'];
  return entries.flatMap((entry) => [actLine(screen, entry), `    ${clean(whoText(entry))}`]);
}

function actLine(screen: Screen, entry: AuditEntry): string {
  const { at, app, verb, details, deployment, outcome } = entry;
  const said = Object.entries(details).map(([name, value]) => `${name}=${value}`);
  const number = deployment === null ? '' : ` #${deployment}`;
  const what = clean([`${app}${number}`.trim(), verb, ...said].filter(Boolean).join(' '));
  return `${dateTime(at)}  ${what.replaceAll('\n', ' ')}  ${outcomeText(screen, outcome)}`;
}

function outcomeText(screen: Screen, outcome: string | null): string {
  if (outcome === null) return screen.out.yellow('cut: the agent was killed');
  if (GOOD.has(outcome)) return screen.out.green(outcome);
  const refused = outcome.startsWith('ZDD_') || outcome === 'failed';
  return refused ? screen.out.red(outcome) : outcome.replaceAll('_', ' ');
}

function whoText({ verified, claimed }: AuditEntry): string {
  const { owner, cli } = claimed;
  const says = [owner, cli === null ? null : `zdd-agent ${cli}`].filter((word) => word !== null);
  const claim = says.length === 0 ? '' : `, says ${says.join(', ')}`;
  if (verified === null) return `unknown user${claim}`;
  const keys = verified.ssh.map(({ fingerprint, from }) => `${fingerprint} from ${from}`);
  const key =
    keys.length === 0
      ? ''
      : keys.length === 1
        ? `, key ${keys[0]}`
        : `, a key of ${keys.join('; ')}`;
  return `${verified.user} (uid ${verified.uid})${key}${claim}`;
}
