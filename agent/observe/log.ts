import { type Logger, pino, stdTimeFunctions } from 'pino';
import type { ZddEvent } from '../protocol/events.ts';

/** Levels as journald wants them before a line on stdout (sd-daemon(3)). */
const JOURNALD_PRIORITY: Record<string, string> = {
  debug: '<7>',
  info: '<6>',
  warn: '<4>',
  error: '<3>',
  fatal: '<2>',
};

/**
 * The daemon's log: one JSON line a change on stdout, with a journald priority in front when
 * systemd reads it.
 */
export function createLog(level: string, underJournald: boolean): Logger {
  const destination = {
    write(line: string): void {
      const label = /"level":"(\w+)"/.exec(line)?.[1] ?? 'info';
      process.stdout.write(underJournald ? `${JOURNALD_PRIORITY[label] ?? '<6>'}${line}` : line);
    },
  };
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}

/** Writes an event of the story to the log, in the same words that `events` shows. */
export function logEvent(log: Logger, event: ZddEvent): void {
  const { app, deployment } = event;
  const fields = deployment === null ? { app } : { app, deployment };
  switch (event.type) {
    case 'deployment_started':
      log.info({ ...fields, kind: event.kind, owner: event.owner }, 'deployment started');
      return;
    case 'phase_changed':
      log.info({ ...fields, phase: event.to }, 'phase changed');
      return;
    case 'release_created':
      log.info({ ...fields, release: event.release, reused: event.reused }, 'release created');
      return;
    case 'step_done':
      log.info(
        { ...fields, phase: event.step.phase, ms: Math.round(event.step.ms) },
        `step done: ${event.step.summary}`,
      );
      return;
    case 'progress':
      log.debug({ ...fields, phase: event.phase }, event.message);
      return;
    case 'traffic_moved':
      log.info({ ...fields, shares: event.shares, ms: Math.round(event.ms) }, 'traffic moved');
      return;
    case 'deployment_ended': {
      const { outcome, release, totalMs, requests, lost, error } = event.receipt;
      const ended = { ...fields, release, ms: Math.round(totalMs), requests, lost };
      if (error === null) log.info(ended, `deployment ${outcome}`);
      else log.warn({ ...ended, code: error.code }, `deployment ${outcome}: ${error.message}`);
      return;
    }
    case 'judged':
      for (const { outcome, action, says } of event.verdicts) {
        if (outcome === 'fail' || action !== 'proceed') log.warn({ ...fields, action }, says);
        else log.info({ ...fields, action }, says);
      }
      return;
    case 'draining':
      log.info(
        {
          ...fields,
          release: event.release,
          requests: event.requests,
          websockets: event.websockets,
          streams: event.streams,
        },
        'draining',
      );
      return;
    case 'drain_notice': {
      const told = { ...fields, release: event.release, slot: event.slot };
      if (event.error === null) log.info(told, `drain notice given: ${event.how}`);
      else log.warn(told, `drain notice (${event.how}) could not be given: ${event.error}`);
      return;
    }
    case 'contract': {
      const { release, owner, outcome, detail } = event;
      const told = { ...fields, release, owner };
      if (outcome === 'failed') log.error(told, `contract failed: ${detail}`);
      else log.info(told, outcome === 'ok' ? 'contract done' : 'contract begun');
      return;
    }
    case 'cron': {
      const { job, release, outcome, detail } = event;
      const ran = { ...fields, job, release };
      if (outcome === 'ok') log.info(ran, 'job is well again');
      else log.warn(ran, `job ${outcome}: ${detail}`);
      return;
    }
    case 'notified': {
      const { to, result, attempts, error } = event;
      if (error === null) log.info({ ...fields, to }, 'notification sent');
      else log.warn({ ...fields, to, attempts }, `notification ${result}: ${error}`);
      return;
    }
    case 'release_stopped':
      log.info({ ...fields, release: event.release, ms: Math.round(event.ms) }, 'release stopped');
      return;
    case 'release_pruned':
      log.info({ ...fields, release: event.release }, 'release pruned');
      return;
    case 'instance_exited':
      log.warn(
        { ...fields, release: event.release, slot: event.slot },
        `instance exited: ${event.reason}`,
      );
      return;
    case 'recovered':
      log.warn({ ...fields }, `deployment found cut: ${event.decision}: ${event.reason}`);
      return;
    case 'drift':
      log.warn({ ...fields, repaired: event.repaired }, `drift found: ${event.what}`);
      return;
    case 'certificate_changed': {
      const { change, names, origin, source, notAfter } = event;
      const until = new Date(notAfter).toISOString();
      log.info({ ...fields, names, origin, source, until }, `certificate ${change}`);
      return;
    }
    case 'environment_changed': {
      const { owner, set, unset } = event;
      log.info({ ...fields, owner, set, unset }, 'environment changed');
      return;
    }
    case 'exec_started': {
      const { owner, session, release, command, tty } = event;
      log.info({ ...fields, owner, session, release, tty }, `command started: ${command}`);
      return;
    }
    case 'exec_ended': {
      const { session, code, ms } = event;
      log.info({ ...fields, session, exit: code, ms }, `command ended: ${event.command}`);
      return;
    }
    case 'configuration_reloaded':
      logReload(log, event);
      return;
    case 'drop': {
      const dropped = { ...fields, file: event.file, owner: event.owner };
      if (event.error === null) log.info(dropped, `dropped file ${event.step}`);
      else {
        const { code, message } = event.error;
        log.warn({ ...dropped, code }, `dropped file failed: ${message}`);
      }
      return;
    }
    case 'app_locked':
    case 'app_unlocked':
      log.info({ ...fields, owner: event.owner }, event.type.replace('_', ' '));
      return;
    case 'maintenance_changed':
      log.info(
        { ...fields, owner: event.owner, reloaded: event.reloaded },
        `maintenance ${event.on ? 'on' : 'off'}`,
      );
      return;
  }
}

function logReload(
  log: Logger,
  { changed, needsRestart, error }: Extract<ZddEvent, { type: 'configuration_reloaded' }>,
): void {
  if (error !== null) log.error({}, `configuration kept as it was: ${error}`);
  else log.info({ changed }, 'configuration read again');
  if (needsRestart.length > 0) {
    const what = needsRestart.join(', ');
    log.warn({ needsRestart }, `a new value takes effect only after a restart: ${what}`);
  }
}
