import { request } from 'node:http';

/** What somebody saw who asked once. */
export interface Seen {
  /** 0 when nobody answered. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** `name=value` of the cookies that were set. */
  readonly cookies: readonly string[];
  readonly body: string;
}

/** One GET on a fresh connection. @param name the host that is asked for */
export function visit(
  url: string,
  name: string,
  path = '/',
  headers: Readonly<Record<string, string>> = {},
): Promise<Seen> {
  return new Promise((resolve) => {
    const nobody: Seen = { status: 0, headers: {}, cookies: [], body: '' };
    const sent = request(
      new URL(path, url),
      { agent: false, timeout: 10_000, headers: { host: name, ...headers } },
      (answer) => {
        const { 'set-cookie': set = [], ...rest } = answer.headers;
        let body = '';
        answer.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        answer.on('error', () => resolve(nobody));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: Object.fromEntries(
              Object.entries(rest).map(([key, value]) => [key, String(value)]),
            ),
            cookies: set.map((line) => line.split(';')[0] ?? ''),
            body,
          }),
        );
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', () => resolve(nobody));
    sent.end();
  });
}
