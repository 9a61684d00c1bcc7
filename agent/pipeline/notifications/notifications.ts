import { hostname } from 'node:os';
import { ZddError } from '../../protocol/errors.ts';
import type { Receipt, ZddEvent } from '../../protocol/events.ts';
import { type NotifyEntry, type NotifyReply, recipientOf } from '../../protocol/notify.ts';
import type { Letter, OutboxMessage, Subject } from '../../store/outbox.ts';
import { configOf, type Host } from '../host.ts';
import { pause } from '../pause.ts';
import { contentOf, pauseContent } from './content.ts';
import type { Pause } from './pause.ts';
import { isOver, pauseOf } from './pauses.ts';
import { type Delivery, deliver } from './send.ts';

/** The pause after the first failed try; it doubles up to the longest, ms. */
const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 10 * 60_000;
/** After that nobody is told any more, ms. */
const GIVE_UP_MS = 24 * 3_600_000;
/** Messages that are tried at the same time. */
const AT_ONCE = 8;
const IDLE_MS = 60_000;

type Message = OutboxMessage<NotifyEntry, Pause>;

/**
 * Tells whoever `notify` of a `zdd.yaml` names how deployments have ended, from the stored receipt, and
 * which wait for a person. No deployment waits for it: it reads the journal like everybody else. Each message is tried until
 * it is delivered or too old, across restarts of the daemon; one may come twice.
 */
export async function sendNotifications(host: Host, signal: AbortSignal): Promise<void> {
  const underWay = new Map<number, Promise<void>>();
  let wake = new AbortController();
  const unsubscribe = [
    host.journal.subscribe(({ type }) => {
      if (type === 'deployment_ended' || type === 'paused' || type === 'judged') wake.abort();
    }),
    host.outbox.onAdd(() => wake.abort()),
  ];
  try {
    while (!signal.aborted) {
      wake = new AbortController();
      const waitMs = begin(host, underWay, signal, () => wake.abort());
      await pause(waitMs, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
    }
  } finally {
    for (const stop of unsubscribe) stop();
    await Promise.allSettled(underWay.values());
  }
}

/** Begins what is due. @returns how long nothing else will be, ms */
function begin(
  host: Host,
  underWay: Map<number, Promise<void>>,
  signal: AbortSignal,
  onEnd: () => void,
): number {
  try {
    host.outbox.collect((event) => lettersFor(host, event));
    const now = host.now();
    const waiting = host.outbox.all().filter(({ id }) => !underWay.has(id));
    for (const message of waiting) {
      if (message.nextAt > now || underWay.size >= AT_ONCE) continue;
      const tried = tryOnce(host, message, signal).finally(() => {
        underWay.delete(message.id);
        onEnd();
      });
      underWay.set(message.id, tried);
    }
    const next = waiting.filter(({ id }) => !underWay.has(id)).map(({ nextAt }) => nextAt - now);
    return Math.max(50, Math.min(IDLE_MS, ...next));
  } catch (error) {
    host.log.error({ err: error }, 'notifications cannot be looked at');
    return IDLE_MS;
  }
}

async function tryOnce(host: Host, message: Message, signal: AbortSignal): Promise<void> {
  const { id, app, deployment, entry, about, attempts } = message;
  try {
    if (about !== null && isOver(host, app, deployment, about)) {
      host.outbox.remove(id);
      return;
    }
    const content =
      about === null
        ? contentOf(receiptOf(host, message), hostname())
        : pauseContent(message, about, hostname());
    const delivery = await deliver(
      host,
      content,
      {
        app,
        deployment,
        releases: content.releases,
        name: commandName(message, content.releases[0]),
        key: `${app}#${deployment}/${id}`,
        entry,
      },
      signal,
    );
    settle(host, message, delivery);
  } catch (error) {
    // At the next start it is tried again.
    if (signal.aborted) return;
    host.log.error({ app, err: error }, 'notification failed');
    host.outbox.failed(id, 'it cannot be made', host.now() + pauseAfter(attempts));
  }
}

function receiptOf(host: Host, { app, deployment }: Subject): Receipt {
  const receipt = host.journal.receipt(app, deployment);
  if (receipt === null) throw new Error(`no receipt of ${app} #${deployment}`);
  return receipt;
}

function settle(host: Host, message: Message, delivery: Delivery): void {
  const { id, app, deployment, entry, createdAt } = message;
  const attempts = message.attempts + 1;
  const now = host.now();
  const told = { type: 'notified', app, deployment, to: recipientOf(entry), attempts } as const;
  if (delivery.sent) {
    host.outbox.remove(id);
    host.journal.tell({ ...told, result: 'sent', error: null });
    return;
  }
  const { error, waitMs = 0 } = delivery;
  if (now - createdAt >= GIVE_UP_MS) {
    host.outbox.remove(id);
    host.journal.tell({ ...told, result: 'given_up', error });
    return;
  }
  const pauseMs = Math.max(pauseAfter(message.attempts), Math.min(waitMs, LONGEST_PAUSE_MS));
  host.outbox.failed(id, error, now + pauseMs);
  // Said once: the outbox holds it, and status says so, until it is delivered.
  if (message.attempts === 0) host.journal.tell({ ...told, result: 'failed', error });
}

/** Spread out, so that an address that was away is not met by all messages at once. */
function pauseAfter(attempts: number): number {
  const whole = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(attempts, 20), LONGEST_PAUSE_MS);
  return Math.round(whole * (0.75 + Math.random() / 4));
}

/** As a slot is called, so that runners know it for one. */
function commandName(
  { id, app, deployment, attempts }: Message,
  release: string | undefined,
): string {
  const number = release?.split('-')[0] ?? 'r0';
  return `${app}.${number}-d${deployment}-notify-${id}-${attempts + 1}`;
}

/** What the deployed release asks for; where there is none, the one that served before. */
function lettersFor(host: Host, event: ZddEvent): ReadonlyArray<Letter<NotifyEntry, Pause>> {
  const { app } = event;
  const deployment = event.deployment ?? 0;
  if (event.type === 'deployment_ended') {
    const { outcome } = event.receipt;
    const wanted = allEntries(host, { app, deployment }).filter(({ on }) => on.includes(outcome));
    return wanted.map((entry) => ({ entry, about: null }));
  }
  const about = pauseOf(host, event);
  if (about === null) return [];
  const { notify } = configOf(host, app, { release: about.release, deployment });
  return notify.filter(({ on }) => on.includes('paused')).map((entry) => ({ entry, about }));
}

function allEntries(host: Host, { app, deployment }: Subject): readonly NotifyEntry[] {
  const receipt = host.journal.receipt(app, deployment);
  const release = [receipt?.release, receipt?.previous].find(
    (name) => name != null && host.releases.find(app, name) !== null,
  );
  return release == null ? [] : configOf(host, app, { release, deployment }).notify;
}

/**
 * Tells once more how a deployment has ended, whatever `on` says: to try out new addresses.
 * @param wanted its number; the last that has ended unless given
 * @throws ZDD_NOTHING_RUNNING, ZDD_USAGE
 */
export function notifyAgain(host: Host, app: string, wanted: number | undefined): NotifyReply {
  const deployment = wanted ?? lastEnded(host, app);
  if (deployment === null || host.journal.receipt(app, deployment) === null) {
    const what = deployment === null ? `no deployment of ${app}` : `${app} #${deployment}`;
    throw new ZddError('ZDD_NOTHING_RUNNING', `${what} has ended yet`, {
      tries: [`zdd-agent events --app ${app}`],
    });
  }
  const entries = allEntries(host, { app, deployment });
  if (entries.length === 0) {
    throw new ZddError('ZDD_USAGE', `the zdd.yaml of ${app} #${deployment} has no notify`, {
      tries: ['name who shall be told in zdd.yaml, then: zdd-agent push'],
    });
  }
  host.outbox.add({ app, deployment }, entries);
  return { app, deployment, to: entries.map(recipientOf) };
}

function lastEnded(host: Host, app: string): number | null {
  for (let id = host.journal.lastDeployment(app); id > 0; id -= 1) {
    if (host.journal.receipt(app, id) !== null) return id;
  }
  return null;
}
