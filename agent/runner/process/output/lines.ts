/** Longer lines are cut: one runaway line must not fill a reply, bytes. */
export const MAX_LINE_BYTES = 16 * 1_024;

const LINE_END = 0x0a;

/** The text of one line, without its end, cut when it is too long. */
export function lineText(bytes: Buffer): string {
  const text = bytes.subarray(0, MAX_LINE_BYTES).toString('utf8').replace(/\r$/, '');
  return bytes.length > MAX_LINE_BYTES ? `${text} [cut]` : text;
}

/** Makes lines of bytes that come in pieces; keeps no more than one line's worth of them. */
export class LineSplitter {
  #held: Buffer = Buffer.alloc(0);

  /** The lines that these bytes complete. */
  push(bytes: Buffer): readonly string[] {
    const lines: string[] = [];
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(LINE_END, from);
      if (end === -1) break;
      lines.push(lineText(this.#with(bytes.subarray(from, end))));
      this.#held = Buffer.alloc(0);
      from = end + 1;
    }
    // One byte more than a line may have, so that it is still known to be too long.
    this.#held = this.#with(bytes.subarray(from)).subarray(0, MAX_LINE_BYTES + 1);
    return lines;
  }

  /** The last line, if it came without a line end. */
  end(): readonly string[] {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest.length === 0 ? [] : [lineText(rest)];
  }

  #with(bytes: Buffer): Buffer {
    return this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
  }
}
