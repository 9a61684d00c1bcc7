import type { DatabaseSync } from 'node:sqlite';
import { type AppState, type Generation, newApp } from '../../agent/core/model.ts';
import type { Books } from '../../agent/pipeline/host.ts';
import { openTlsBooks } from '../../agent/pipeline/tls/books.ts';
import type { InstanceSpec } from '../../agent/runner/runner.ts';
import { AcmeStore } from '../../agent/store/acme.ts';
import { Certificates } from '../../agent/store/certificates.ts';
import { Journal } from '../../agent/store/journal.ts';
import { Maintenances } from '../../agent/store/maintenance.ts';
import { Releases } from '../../agent/store/releases.ts';
import { Slots } from '../../agent/store/slots.ts';

/** The books of a host with many apps that all serve. */
export interface ManyApps {
  readonly books: Books;
  /** Sockets of all instances. */
  readonly sockets: readonly string[];
  /** Lets the books say that the first app is served by its other release. */
  turn(): void;
}

/** The name of the nth app, from 0. */
export function appName(n: number): string {
  return `app-${String(n).padStart(3, '0')}`;
}

/**
 * Fills an empty database with `apps` apps of `each` instances. The first has a second release, warm,
 * with as many again. @param folder of the sockets
 */
export function manyApps(
  database: DatabaseSync,
  folder: string,
  apps: number,
  each: number,
): ManyApps {
  const books: Books = {
    journal: new Journal(database, Date.now),
    maintenance: new Maintenances(database, Date.now),
    releases: new Releases(database),
    slots: new Slots<InstanceSpec>(database),
    tls: openTlsBooks(new Certificates(database), () => [], {
      store: new AcmeStore(database),
      settings: () => ({ directory: '' }),
    }),
  };
  const sockets: string[] = [];
  const write = (state: AppState): void =>
    books.journal.commit({
      event: { type: 'tidied', departures: 0 },
      state,
      story: [],
      receipt: null,
      liveSince: null,
    });
  const release = (app: string, n: number): Generation => {
    const generation = { release: `r${n}-abcdef0`, deployment: n };
    books.releases.add({
      app,
      release: generation.release,
      number: n,
      digest: `${app}${n}`,
      bytes: 0,
      files: 0,
      createdAt: 0,
      source: '',
      config: configText(app, each),
    });
    books.slots.add(
      Array.from({ length: each }, (_, index) => {
        const name = `r${n}-d${n}-web-${index + 1}`;
        const path = `${folder}/${app}-${name}.sock`;
        sockets.push(path);
        return slot(app, generation, name, index + 1, path);
      }),
    );
    return generation;
  };
  for (let n = 0; n < apps; n += 1) {
    const app = appName(n);
    write(newApp(app));
    write({ ...newApp(app), stopped: null, stable: release(app, 1) });
  }
  let pair: readonly [Generation, Generation] = [
    release(appName(0), 2),
    { release: 'r1-abcdef0', deployment: 1 },
  ];
  const serve = (): void => {
    const [warm, stable] = pair;
    write({ ...newApp(appName(0)), stopped: null, stable, retiring: [retirement(warm)] });
  };
  serve();
  return {
    books,
    sockets,
    turn() {
      pair = [pair[1], pair[0]];
      serve();
    },
  };
}

function retirement(generation: Generation): AppState['retiring'][number] {
  return {
    generation,
    phase: 'draining',
    admitted: true,
    warmUntil: Number.MAX_SAFE_INTEGER,
    requestsUntil: Number.MAX_SAFE_INTEGER,
    closeFrom: Number.MAX_SAFE_INTEGER,
    pacePerSecond: 50,
    good: true,
  };
}

function slot(app: string, generation: Generation, name: string, index: number, path: string) {
  const spec: InstanceSpec = {
    slot: `${app}.${name}`,
    app,
    release: generation.release,
    process: 'web',
    command: 'true',
    cwd: '/',
    env: {},
    listen: { kind: 'unix', path, activation: false },
  };
  return { app, generation, name, process: 'web', index, takesTraffic: true, overlap: true, spec };
}

/** As long as a usual one: it is read anew with each look at what traffic is wanted. */
function configText(app: string, each: number): string {
  return `app: ${app}
environments:
  production: { hosts: [deploy@web1.example.com] }
routes: [${app}.example.com, "*.${app}.example.com"]
processes:
  web:
    run: node server.js
    instances: ${each}
    health: /healthz
  worker:
    run: node worker.js
    overlap: false
release: npm run migrate
smoke:
  - { path: /, contains: hello }
drain: { websockets: 10m, pace: 50/s }
shared: [uploads, .env]
keep: 5
`;
}
