import type { DesiredApp } from '../desired.ts';

/** The line of an app in the map of shares: of 10,000 users, instances, turn, names of servers. */
export function shareText({ split }: DesiredApp): string | null {
  if (split?.share == null) return null;
  const { ofTenThousand, servers, turn } = split.share;
  return `${ofTenThousand}/${servers.count}/${turn}/${servers.prefix}`;
}
