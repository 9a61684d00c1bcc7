/** Longest line we keep: no event or line of output comes near it. Characters. */
const MAX_LINE = 4 * 1024 * 1024;

/** What comes is no NDJSON at all, so asking again cannot help. */
export class NotNdjson extends Error {}

/**
 * Reads newline-delimited JSON. A last line without its newline counts only when it is whole.
 * @throws NotNdjson on a whole line that is no JSON or one without end; SyntaxError on half a line
 * at the end, which is how a cut stream looks.
 */
export async function* parseNdjson(chunks: AsyncIterable<string>): AsyncGenerator<unknown> {
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) throw new NotNdjson('a line of the stream has no end');
    for (const line of lines) {
      if (line.trim() !== '') yield parseLine(line);
    }
  }
  if (rest.trim() !== '') yield JSON.parse(rest);
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new NotNdjson(`not JSON: ${line.slice(0, 100)}`, { cause });
  }
}
