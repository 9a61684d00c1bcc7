import type { CliResult, PrivateHost } from '../demo/private-host.ts';
import type { Random } from './random.ts';

/** What a change works with. */
export interface Field {
  readonly host: PrivateHost;
  readonly random: Random;
  /** Artifacts of the app under load, which differ in what of HAProxy they change. */
  readonly releases: readonly string[];
  /** Artifacts of another app, with other routes each. */
  readonly neighbours: readonly string[];
  /** Certificates for the same name, each with its key: the files that `cert add` takes. */
  readonly certificates: ReadonlyArray<readonly [certificate: string, key: string]>;
}

/** Something that a person does to the host while it serves. A new kind is one more row. */
export interface Change {
  readonly name: string;
  readonly often: number;
  run(field: Field): Promise<CliResult>;
}

export const CHANGES: readonly Change[] = [
  {
    name: 'deploy',
    often: 6,
    run: ({ host, random, releases }) => host.cli(['push', random.oneOf(releases)]),
  },
  {
    name: 'rollback',
    often: 2,
    run: ({ host }) => host.cli(['rollback', '--app', 'shop']),
  },
  {
    name: 'restart',
    often: 2,
    run: ({ host }) => host.cli(['restart', '--app', 'shop']),
  },
  {
    name: 'scale',
    often: 2,
    run: ({ host, random }) =>
      host.cli(['scale', `web=${random.oneOf([1, 2, 3])}`, '--app', 'shop']),
  },
  {
    name: 'routes',
    often: 2,
    run: ({ host, random, neighbours }) => host.cli(['push', random.oneOf(neighbours)]),
  },
  {
    name: 'certificate',
    often: 2,
    run: ({ host, random, certificates }) =>
      host.cli(['cert', 'add', ...random.oneOf(certificates)]),
  },
];
