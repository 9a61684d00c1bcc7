import type { Configuration } from '../configuration.ts';
import { schemaOf } from '../store/database.ts';
import { Layout } from '../store/layout.ts';

/**
 * What a daemon of this version would find: for an admin before a start, and for an upgrade before
 * it replaces anything. Changes nothing.
 * @param file where the configuration came from
 * @returns lines for people
 * @throws ZDD_STORE_TOO_NEW when a newer agent has written the database.
 */
export function check(file: string, { stateDir, runDir, socketsDir }: Configuration): string[] {
  const { database } = new Layout(stateDir, runDir, socketsDir);
  const schema = schemaOf(database);
  return [
    `${file}: right`,
    schema === null
      ? `${database}: none yet; the first start makes it`
      : schema.found < schema.current
        ? `${database}: schema ${schema.found}; the next start brings it to ${schema.current}`
        : `${database}: schema ${schema.found}, as this version writes it`,
  ];
}
