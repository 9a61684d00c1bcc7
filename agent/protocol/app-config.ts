import { z } from 'zod';
import { access, leadsTo, redirect } from './access.ts';
import { contract } from './contract.ts';
import { cron } from './cron.ts';
import { duration } from './duration-field.ts';
import { gates } from './gates.ts';
import { hold, holdOf } from './hold.ts';
import { notify } from './notify.ts';
import { overload } from './overload.ts';
import { command, processType } from './process-type.ts';
import { routes, routesOf } from './routes.ts';
import { shadow } from './shadow.ts';
import { smoke } from './smoke.ts';
import { sticky } from './sticky.ts';
import {
  PRESETS,
  preview,
  strategy,
  strategyRefusal,
  tier,
  type WrittenStrategy,
} from './strategy.ts';
import { tls } from './tls.ts';
import { triggers } from './triggers.ts';

const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,30}$/, 'expected lower-case letters, digits and "-", at most 31');

const pace = z
  .string()
  .regex(/^\d+\/s$/, 'expected a pace such as "50/s"')
  .transform((text) => Number.parseInt(text, 10))
  .refine((perSecond) => perSecond > 0, 'expected at least 1/s');

const path = z
  .string()
  .regex(/^(?!\/)(?!.*(^|\/)\.\.?(\/|$))[^\0]+$/, 'expected a path inside the release');

const BAKE_MS = 120_000;
const WARM_MS = 600_000;

/** How often a release command runs where there are several hosts. */
const per = z.enum(['host', 'fleet']);

/** The whole of a `zdd.yaml`. Unknown keys are refused. Durations are read to milliseconds. */
export const appConfig = z
  .strictObject({
    app: name.describe('The name of the app on the host.'),
    routes: routes.describe('The hosts and paths this app answers for; "*" is every host.'),
    access: access.describe('Who may use the app. Default: everybody.'),
    redirect: redirect.describe('Where clients are sent that ask by http, or another host.'),
    tls: tls.describe('How it is reached by https.'),
    environments: z
      .record(name, z.strictObject({ hosts: z.array(z.string()).min(1) }))
      .default({})
      .describe('Where to push: environment name to SSH destinations.'),
    processes: z.record(name, processType).refine((map) => Object.keys(map).length > 0, {
      message: 'expected at least one process, such as web',
    }),
    cron,
    release: z
      .union([
        command.transform((run) => ({ run })),
        z.strictObject({
          run: command,
          timeout: duration().default(600_000),
          per: per
            .default('host')
            .describe('host: on each host. fleet: only on the first of several hosts of a push.'),
        }),
      ])
      .transform((value) => ({ timeout: 600_000, per: 'host' as z.output<typeof per>, ...value }))
      .optional()
      .describe('Run once, before traffic: migrations.'),
    contract,
    migrations: path
      .optional()
      .describe(
        'A folder of SQL files: `zdd-agent lint` and `push --dry-run` warn of what is in it.',
      ),
    console: command.optional().describe('What `zdd-agent console` runs; default: a shell.'),
    smoke,
    tier: tier
      .optional()
      .describe('What it is to its users; sets strategy, bake and warm where they are left out.'),
    strategy: strategy
      .optional()
      .describe('How traffic moves. Default: by tier, else blue-green. See docs/progressive.md.'),
    preview: preview
      .optional()
      .describe('Who is sent to a candidate before anybody else, while it has its canary.'),
    bake: duration()
      .optional()
      .describe(
        'How long the new release is watched under all traffic. Default: by tier, else 2m.',
      ),
    warm: duration()
      .optional()
      .describe(
        'How long after the switch the old release stays up for an instant rollback. Default: by tier, else 10m.',
      ),
    shadow: shadow.describe('Copies live requests to the new release before it has traffic.'),
    gates,
    notify,
    triggers,
    drain: z
      .strictObject({
        requests: duration()
          .default(600_000)
          .describe('How long requests in flight may take; what takes longer is then closed.'),
        websockets: duration()
          .default(600_000)
          .describe('How long WebSockets, SSE and gRPC streams may stay on the old release.'),
        pace: pace.default(50).describe('How many connections are closed a second after that.'),
        on_switch: z
          .enum(['keep', 'pace', 'close'])
          .default('keep')
          .describe(
            'keep: until the deadline. pace: closed at the pace from the promotion on. close: ten times as fast.',
          ),
        notice: z
          .union([
            z.literal('SIGUSR2').transform((signal) => ({ signal })),
            z.strictObject({
              post: z
                .string()
                .regex(/^\/[A-Za-z0-9_.~/-]*$/, 'expected a path such as "/_drain"')
                .describe('A path of the app, POSTed to on its own socket; HAProxy refuses it.'),
            }),
          ])
          .optional()
          .describe('How the old release is told that it drains, so that it can say goodbye.'),
      })
      .prefault({}),
    overload: overload.describe('What happens when the app has more to do than it can.'),
    sticky: sticky.describe('cookie: users stay with the instance that answered them.'),
    hold: hold.describe('How requests wait for a web with overlap: false while it is switched.'),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).default({}),
    sandbox: z
      .strictObject({
        allow: z
          .array(z.enum(['namespaces', 'devices', 'home', 'syscalls']))
          .default([])
          .describe('What the sandbox of this app leaves open.'),
      })
      .prefault({}),
    shared: z.array(path).default([]).describe('Files and folders kept across releases.'),
    keep: z.int().min(1).max(100).default(5).describe('Releases kept on the host.'),
    keep_bytes: z.int().min(1).optional().describe('A budget in bytes for kept releases.'),
  })
  .superRefine((config, context) => {
    const web = config.processes['web'];
    if (web && web.listen === 'none') {
      context.addIssue({
        code: 'custom',
        path: ['processes', 'web', 'listen'],
        message: 'web takes traffic, so it must listen: use socket, port or fd',
      });
    }
    if (config.hold !== undefined && holdOf(config) === null) {
      context.addIssue({
        code: 'custom',
        path: ['hold'],
        message: 'nothing waits for an app that may run twice: web needs overlap: false for it',
      });
    }
    if (config.strategy !== undefined) {
      const why = strategyRefusal(config.strategy, config);
      if (why !== null) context.addIssue({ code: 'custom', path: ['strategy'], message: why });
    }
    if (config.tls.acme && acmeHosts(config).length === 0) {
      context.addIssue({
        code: 'custom',
        path: ['tls'],
        message: 'acme needs a route with a host such as "shop.example.com": not "*", no wildcard',
      });
    }
    const { canonical } = config.redirect;
    if (canonical !== undefined && !leadsTo(canonical, routesOf(config))) {
      context.addIssue({
        code: 'custom',
        path: ['redirect', 'canonical'],
        message: `no route of this app is for ${canonical}`,
      });
    }
    for (const [index, inner] of config.shared.entries()) {
      const outer = config.shared.find(
        (other, at) =>
          at !== index && (inner === other ? at < index : inner.startsWith(`${other}/`)),
      );
      if (outer === undefined) continue;
      context.addIssue({
        code: 'custom',
        path: ['shared', index],
        message:
          inner === outer ? 'it is listed twice' : `it lies inside ${outer}, which is shared whole`,
      });
    }
    if (!web && config.shadow !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['shadow'],
        message: 'shadow traffic needs a web process to copy it to',
      });
    }
    if (config.shadow !== undefined && holdOf(config) !== null) {
      context.addIssue({
        code: 'custom',
        path: ['shadow'],
        message: 'shadow traffic needs both releases side by side: web has overlap: false',
      });
    }
    if (!web && config.smoke.length > 0) {
      context.addIssue({
        code: 'custom',
        path: ['smoke'],
        message: 'smoke checks need a web process to ask',
      });
    }
  })
  .transform((config) => {
    const preset = config.tier === undefined ? null : PRESETS[config.tier];
    const moves: WrittenStrategy = config.strategy ?? preset?.strategy ?? { type: 'blue-green' };
    return {
      ...config,
      strategy: moves,
      bake: config.bake ?? preset?.bakeMs ?? BAKE_MS,
      warm: config.warm ?? preset?.warmMs ?? WARM_MS,
    };
  });

/** A checked `zdd.yaml`, defaults filled in. */
export type AppConfig = z.output<typeof appConfig>;
/** The hosts of an app that certificates are issued for: a wildcard cannot be proven by HTTP. */
export function acmeHosts(config: {
  readonly tls: z.output<typeof tls>;
  readonly routes: z.output<typeof routes>;
}): readonly string[] {
  if (!config.tls.acme) return [];
  const hosts = routesOf(config).map(({ host }) => host);
  return [...new Set(hosts)].filter((host) => !host.includes('*') && host.includes('.'));
}
