import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Path, Written } from './written.ts';

/** Where a value comes from. */
export type Origin =
  | { readonly from: 'file'; readonly line: number }
  | { readonly from: 'default' };

const DEFAULT: Origin = { from: 'default' };

/** Tells where each value of an effective configuration comes from. */
export function originsOf(text: string): (path: Path, value: Written) => Origin {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, logLevel: 'silent' });
  const at = (offset: number): Origin => ({ from: 'file', line: lines.linePos(offset).line });

  return (path, value) => {
    let node: unknown = document.contents;
    let offset = 0;
    for (const segment of path) {
      if (isAlias(node)) node = node.resolve(document);
      if (isMap(node)) {
        const pair = node.items.find(
          ({ key }) => (isScalar(key) ? String(key.value) : String(key)) === String(segment),
        );
        if (pair === undefined) return DEFAULT;
        offset = startOf(pair.key) ?? offset;
        node = pair.value;
      } else if (isSeq(node)) {
        node = node.items[Number(segment)];
        offset = startOf(node) ?? offset;
      } else {
        // A short form, such as `health: /healthz`: one value of the long form is what it says.
        return isScalar(node) && node.value === value ? at(offset) : DEFAULT;
      }
    }
    return node === undefined ? DEFAULT : at(offset);
  };
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
