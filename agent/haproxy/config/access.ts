import type { DesiredApp } from '../desired.ts';
import { backendOf } from './names.ts';
import { PLAIN } from './words.ts';

/** HAProxy reads 64 words a line (MAX_LINE_ARGS); the rest of the rule needs some. */
const ADDRESSES_PER_LINE = 40;

/** The users of an app, as a section of its own. */
export function userlist({ app, access }: DesiredApp): string[] {
  const users = access?.basic_auth ?? [];
  if (users.length === 0) return [];
  return [
    `userlist ${backendOf(app)}`,
    ...users.map((user) => {
      const at = user.indexOf(':');
      return `  user ${user.slice(0, at)} password ${user.slice(at + 1)}`;
    }),
  ];
}

/**
 * Who may use an app, and where others are sent: first by address, then to https, so that no password
 * is asked for in the clear, then by password. The app does not see the password.
 */
export function accessRules(app: DesiredApp): string[] {
  const { allow = [], basic_auth: users = [] } = app.access ?? {};
  const list = backendOf(app.app);
  return [
    ...(allow.length === 0 ? [] : onlyFrom(allow)),
    ...redirects(app),
    ...(users.length === 0
      ? []
      : [
          `  http-request auth realm ${app.app} unless { http_auth(${list}) }`,
          '  http-request del-header Authorization',
        ]),
  ];
}

function onlyFrom(allow: readonly string[]): string[] {
  const lines: string[] = [];
  for (let from = 0; from < allow.length; from += ADDRESSES_PER_LINE) {
    lines.push(`  acl zdd_allowed src ${allow.slice(from, from + ADDRESSES_PER_LINE).join(' ')}`);
  }
  return [
    ...lines,
    `  http-request return status 403 content-type "${PLAIN}" string "This app is not for your address.\\n" unless zdd_allowed`,
  ];
}

/**
 * To the same path and query. A method that may have a body is sent there with it (308); others as every
 * client knows it (301). Who ends TLS before us says so by X-Forwarded-Proto: no loop then.
 */
function redirects({ redirect }: DesiredApp): string[] {
  const { https = false, canonical } = redirect ?? {};
  if (!https && canonical === undefined) return [];
  const to = (place: string, ...conditions: readonly string[]): string[] =>
    (['zdd_reads', '!zdd_reads'] as const).map((method) => {
      const code = method === 'zdd_reads' ? 301 : 308;
      const when = conditions.map((condition) => `${method} ${condition}`).join(' or ');
      return `  http-request redirect code ${code} location ${place}%[var(txn.zdd_asked)] if ${when}`;
    });
  return [
    '  acl zdd_reads method GET HEAD',
    '  acl zdd_https ssl_fc',
    '  acl zdd_https req.hdr(X-Forwarded-Proto) -i https',
    '  # Our frontend has kept what was asked for, before a route took something off.',
    '  http-request set-var(txn.zdd_asked) pathq unless { var(txn.zdd_asked) -m found }',
    ...(canonical === undefined
      ? to('https://%[req.hdr(host),field(1,:)]', '!zdd_https { req.hdr(host) -m found }')
      : [
          `  acl zdd_canonical req.hdr(host),field(1,:),lower,rtrim(.) -m str ${canonical}`,
          ...(https
            ? to(`https://${canonical}`, '!zdd_https', '!zdd_canonical')
            : [
                '  http-request set-var-fmt(txn.zdd_port) :%[req.hdr(host),field(2,:)] if { req.hdr(host),field(2,:) -m found }',
                ...to(`https://${canonical}`, 'zdd_https !zdd_canonical'),
                ...to(`http://${canonical}%[var(txn.zdd_port)]`, '!zdd_https !zdd_canonical'),
              ]),
        ]),
  ];
}
