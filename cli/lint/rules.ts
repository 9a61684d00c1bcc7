import type { AlterTableCmd, ColumnDef, Constraint, Node, RawStmt } from 'libpg-query';

/** The statements that are warned of. */
export const RULES = [
  'drop-table',
  'drop-column',
  'rename',
  'not-null',
  'rewrite',
  'locking-index',
  'locking-constraint',
  'all-rows',
] as const;
export type Rule = (typeof RULES)[number];

/** What is wrong with a statement while the release before still runs. */
export interface Danger {
  readonly rule: Rule;
  /** `drops the column users.name` */
  readonly what: string;
  readonly why: string;
  readonly instead: string;
}

const LATER = 'do it in the contract, when no release uses it any more';

/** Functions as defaults that have one value for all rows: the table is not written anew for them. */
const STEADY: ReadonlySet<string> = new Set([
  'now',
  'transaction_timestamp',
  'statement_timestamp',
]);

/**
 * What is dangerous in these statements of one file. Tables that the file itself makes are empty and
 * used by nobody: they may be altered at will.
 */
export function dangersIn(statements: readonly RawStmt[]): Array<readonly [RawStmt, Danger]> {
  const own = new Set<string>();
  return statements.flatMap((statement) => {
    const node = statement.stmt;
    if (node === undefined) return [];
    if ('CreateStmt' in node) own.add(node.CreateStmt.relation?.relname ?? '');
    return dangersOf(node, own).map((danger) => [statement, danger] as const);
  });
}

function dangersOf(node: Node, own: ReadonlySet<string>): Danger[] {
  if ('AlterTableStmt' in node) {
    const { relation, cmds = [], objtype } = node.AlterTableStmt;
    const table = relation?.relname ?? '';
    if (objtype !== 'OBJECT_TABLE' || own.has(table)) return [];
    return cmds.flatMap((each) =>
      'AlterTableCmd' in each ? altered(table, each.AlterTableCmd) : [],
    );
  }
  if ('RenameStmt' in node) {
    const { renameType, relation, subname, newname } = node.RenameStmt;
    const table = relation?.relname ?? '';
    if (own.has(table)) return [];
    if (renameType === 'OBJECT_COLUMN') return [renamed(`the column ${table}.${subname}`, newname)];
    return renameType === 'OBJECT_TABLE' ? [renamed(`the table ${table}`, newname)] : [];
  }
  if ('DropStmt' in node) {
    const { removeType, objects = [] } = node.DropStmt;
    if (removeType !== 'OBJECT_TABLE') return [];
    return objects.map(nameOf).map((table) => ({
      rule: 'drop-table',
      what: `drops the table ${table}`,
      why: 'the release that still runs may use it',
      instead: LATER,
    }));
  }
  if ('IndexStmt' in node) {
    const { relation, concurrent } = node.IndexStmt;
    const table = relation?.relname ?? '';
    if (concurrent === true || own.has(table)) return [];
    return [
      {
        rule: 'locking-index',
        what: `makes an index on ${table}`,
        why: 'nobody can write to the table until it is built',
        instead: 'CREATE INDEX CONCURRENTLY, outside of a transaction',
      },
    ];
  }
  if ('VacuumStmt' in node || 'ClusterStmt' in node) return [rewritten('rewrites tables')];
  if ('TruncateStmt' in node) return [everyRow('empties a table')];
  if ('UpdateStmt' in node && node.UpdateStmt.whereClause === undefined) {
    return changesAll('updates', node.UpdateStmt.relation?.relname ?? '', own);
  }
  if ('DeleteStmt' in node && node.DeleteStmt.whereClause === undefined) {
    return changesAll('deletes', node.DeleteStmt.relation?.relname ?? '', own);
  }
  return [];
}

function altered(table: string, { subtype, name = '', def }: AlterTableCmd): Danger[] {
  const column = `${table}.${name}`;
  switch (subtype) {
    case 'AT_DropColumn':
      return [
        {
          rule: 'drop-column',
          what: `drops the column ${column}`,
          why: 'the release that still runs may read or write it',
          instead: LATER,
        },
      ];
    case 'AT_AddColumn':
      return def !== undefined && 'ColumnDef' in def ? added(table, def.ColumnDef) : [];
    case 'AT_SetNotNull':
      return [
        {
          rule: 'not-null',
          what: `makes ${column} NOT NULL`,
          why: 'the release that still runs may leave it out, and every row is read under a lock',
          instead: 'a CHECK ... NOT VALID first; NOT NULL in the contract',
        },
      ];
    case 'AT_AlterColumnType':
      return [rewritten(`changes the type of ${column}`)];
    case 'AT_SetTableSpace':
    case 'AT_SetLogged':
    case 'AT_SetUnLogged':
      return [rewritten(`moves the table ${table}`)];
    case 'AT_AddConstraint':
      return def !== undefined && 'Constraint' in def ? constrained(table, def.Constraint) : [];
    default:
      return [];
  }
}

function added(table: string, { colname, constraints = [] }: ColumnDef): Danger[] {
  const all = constraints.flatMap((each) => ('Constraint' in each ? [each.Constraint] : []));
  const has = (kind: Constraint['contype']): boolean => all.some(({ contype }) => contype === kind);
  const filled = has('CONSTR_DEFAULT') || has('CONSTR_IDENTITY') || has('CONSTR_GENERATED');
  const column = `${table}.${colname}`;
  const dangers: Danger[] = [];
  if ((has('CONSTR_NOTNULL') || has('CONSTR_PRIMARY')) && !filled) {
    dangers.push({
      rule: 'not-null',
      what: `adds ${column} as NOT NULL without a default`,
      why: 'it fails where there are rows, and the release that still runs does not set it',
      instead: 'give it a DEFAULT, or make it NOT NULL in the contract',
    });
  }
  const isVolatile = all.some(
    ({ contype, raw_expr }) => contype === 'CONSTR_DEFAULT' && raw_expr && callsVolatile(raw_expr),
  );
  if (isVolatile || has('CONSTR_IDENTITY')) {
    dangers.push(rewritten(`adds ${column} with another value for each row`));
  }
  return dangers;
}

function constrained(table: string, { contype, skip_validation, indexname }: Constraint): Danger[] {
  const isChecked = contype === 'CONSTR_FOREIGN' || contype === 'CONSTR_CHECK';
  const isIndexed = contype === 'CONSTR_UNIQUE' || contype === 'CONSTR_PRIMARY';
  const isQuick = isChecked ? skip_validation === true : !isIndexed || indexname !== undefined;
  if (isQuick) return [];
  return [
    {
      rule: 'locking-constraint',
      what: `adds a constraint to ${table}`,
      why: 'every row is read while others wait',
      instead: isChecked
        ? 'ADD CONSTRAINT ... NOT VALID, then VALIDATE CONSTRAINT in another transaction'
        : 'CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... USING INDEX',
    },
  ];
}

function callsVolatile(expression: Node): boolean {
  if ('FuncCall' in expression) {
    const { funcname = [], args = [] } = expression.FuncCall;
    const last = funcname.at(-1);
    const name = last !== undefined && 'String' in last ? (last.String.sval ?? '') : '';
    return !STEADY.has(name) || args.some(callsVolatile);
  }
  return 'TypeCast' in expression && expression.TypeCast.arg !== undefined
    ? callsVolatile(expression.TypeCast.arg)
    : false;
}

function renamed(what: string, to: string | undefined): Danger {
  return {
    rule: 'rename',
    what: `renames ${what} to ${to}`,
    why: 'the release that still runs knows it by the old name',
    instead: `add the new one and write both; take the old one away in the contract`,
  };
}

function rewritten(what: string): Danger {
  return {
    rule: 'rewrite',
    what,
    why: 'the whole table is written anew, and nobody can use it meanwhile',
    instead: 'add a new column, fill it in batches, use it in the next release',
  };
}

function everyRow(what: string): Danger {
  return {
    rule: 'all-rows',
    what,
    why: 'every row is locked until the end, and the release that still runs may need what was there',
    instead: 'do it in batches, or in the contract',
  };
}

function changesAll(verb: string, table: string, own: ReadonlySet<string>): Danger[] {
  return own.has(table) ? [] : [everyRow(`${verb} every row of ${table}`)];
}

function nameOf(object: Node): string {
  if (!('List' in object)) return '';
  const parts = (object.List.items ?? []).flatMap((part) =>
    'String' in part ? [part.String.sval ?? ''] : [],
  );
  return parts.join('.');
}
