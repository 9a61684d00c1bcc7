import { backendOf } from './config/names.ts';
import type { Plan } from './converge.ts';
import type { DesiredApp, DesiredProxy } from './desired.ts';
import { effectiveWeight, type Running, type RunningServer, serverOf } from './observe.ts';
import type { ResolvedOptions } from './options.ts';
import type { SwitchBy } from './proxy.ts';
import { refusalOf } from './refusal.ts';
import type { Conversation } from './runtime.ts';

/** Changes nothing: no server has this name. Who lacks level `admin` is refused before it is looked up. */
const HARMLESS_ORDER = 'set server zdd-nobody/none weight 0';

/** How this room moves traffic, and what it has to remember for that. */
export class Switching {
  readonly #options: Pick<ResolvedOptions, 'switchBy'>;
  #asked: { readonly pid: number; readonly by: SwitchBy } | undefined;
  /** Servers, `backend/name`, that were down at a reload and so were given no weight by it. */
  readonly #spared = new Set<string>();

  constructor(options: Pick<ResolvedOptions, 'switchBy'>) {
    this.#options = options;
  }

  /**
   * How traffic moves on this worker; asked once of each, since its sockets are those of its file.
   * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
   */
  async by({ ask }: Pick<Conversation, 'ask'>, pid: number): Promise<SwitchBy> {
    const wish = this.#options.switchBy();
    if (wish !== 'auto') return wish;
    if (this.#asked?.pid !== pid) {
      const refused = refusalOf(await ask(HARMLESS_ORDER)) === 'no_permission';
      this.#asked = { pid, by: refused ? 'reload' : 'runtime' };
    }
    return this.#asked.by;
  }

  /** `desired`, but servers that a reload has spared stay without weight until a check has passed. */
  waiting(desired: DesiredProxy, running: Running): DesiredProxy {
    return withoutWeight(desired, running, (key, found) => this.#waits(key, found));
  }

  /**
   * The same for a reload, which spares every server that HAProxy has found down: a new worker takes
   * each for up until its first check, and would send it requests. One that is to get its first
   * weight is not spared: it must be confirmed.
   */
  forReload(desired: DesiredProxy, running: Running): DesiredProxy {
    const spared = withoutWeight(desired, running, (key, found) => {
      const spare = this.#waits(key, found) || (found.down && effectiveWeight(found) > 0);
      if (spare) this.#spared.add(key);
      else this.#spared.delete(key);
      return spare;
    });
    return spared;
  }

  #waits(key: string, found: RunningServer): boolean {
    return this.#spared.has(key) && effectiveWeight(found) === 0 && !found.checkedOk;
  }
}

/** Only where another server of the app is up and has weight: a last one is better than none. */
function withoutWeight(
  desired: DesiredProxy,
  running: Running,
  isSpared: (key: string, found: RunningServer) => boolean,
): DesiredProxy {
  return {
    ...desired,
    apps: desired.apps.map((app) => {
      if (!isServed(app, running)) return app;
      const servers = app.servers.map((server) => {
        const found = serverOf(running, backendOf(app.app), server.name);
        if (server.weight === 0 || found === undefined) return server;
        const spared = isSpared(`${backendOf(app.app)}/${server.name}`, found);
        return spared ? { ...server, weight: 0 } : server;
      });
      return { ...app, servers };
    }),
  };
}

function isServed(app: DesiredApp, running: Running): boolean {
  return app.servers.some((server) => {
    const found = serverOf(running, backendOf(app.app), server.name);
    return server.weight > 0 && effectiveWeight(found) > 0 && found?.down === false;
  });
}

/** What of a plan needs a reload: a server that leaves without weight gets no request as it is. */
export function needsReload({ add, revive, raise, lower }: Plan): boolean {
  return add.length + revive.length + raise.length + lower.length > 0;
}
