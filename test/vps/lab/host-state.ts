import type { VpsHost } from './host.ts';

/** What HAProxy has told of requests so far: the agent writes it down now and then, whoever installs. */
const TOLD = '/var/lib/zdd-agent/haproxy/access-log-books.json';

/** One line for each file, link and folder that an installer may touch: place, mode, owner, content. */
export async function stateOf(host: VpsHost): Promise<readonly string[]> {
  const listed = await host.must(
    `find /etc /usr /var/lib -xdev \\( -path /var/lib/apt -o -path /var/lib/systemd -o -path ${TOLD} \\) -prune -o \\
       -printf '%p %y %m %u:%g %l' \\( -type f -printf ' %s %T@\\n' -o -printf '\\n' \\) | sort`,
  );
  return listed.split('\n');
}

/** What is there of `after` and was not, or not so, in `before`; and the other way round. */
export function differences(before: readonly string[], after: readonly string[]): string[] {
  const [old, now] = [new Set(before), new Set(after)];
  return [
    ...before.filter((line) => !now.has(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !old.has(line)).map((line) => `+ ${line}`),
  ];
}
