import type { Logger } from 'pino';
import { notify } from './notify.ts';

/** Without a watchdog the start alone is kept alive, ms. */
const DEFAULT_MS = 10_000;
/** How much longer a start may take with each sign, ms: much more than the pause between two. */
const START_MS = 60_000;

/** What systemd is told about the daemon (sd_notify(3)). A message that fails is only logged. */
export class LifeSign {
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #ready = false;
  #status = '';

  /**
   * Feeds the watchdog from a plain timer of the main event loop, the one that does all the work:
   * when the loop hangs, so does this, and systemd restarts the daemon.
   * @param intervalMs pause between two signs; nothing without a watchdog
   */
  constructor(log: Logger, intervalMs: number | null | undefined) {
    this.#log = log;
    this.#timer = setInterval(() => this.#beat(), intervalMs ?? DEFAULT_MS);
    this.#beat();
  }

  /** One line of `systemctl status`; said again only when it differs. */
  status(text: string): void {
    if (text === this.#status) return;
    this.#status = text;
    this.#send(`STATUS=${text}`);
  }

  ready(): void {
    this.#ready = true;
    this.#send('READY=1');
  }

  /** A reload begins; `ready` ends it. The time tells systemd which reload is meant. */
  reloading(): void {
    const monotonicUsec = process.hrtime.bigint() / 1_000n;
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${monotonicUsec}`);
  }

  stopping(): void {
    clearInterval(this.#timer);
    this.#send('STOPPING=1\nSTATUS=stopping; apps run on');
  }

  #beat(): void {
    this.#send(this.#ready ? 'WATCHDOG=1' : `EXTEND_TIMEOUT_USEC=${START_MS * 1_000}`);
  }

  #send(state: string): void {
    Promise.resolve(notify(state)).catch((error: unknown) =>
      this.#log.warn({ err: error }, 'systemd could not be told'),
    );
  }
}
