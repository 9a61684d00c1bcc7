import { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';

type Done = (error?: Error | null) => void;

/**
 * A channel of an SSH connection as node:http wants a socket: there at once, connected later;
 * destroyed for good when it is, and with an error for whoever waits when what is below it ends.
 */
export class ChannelSocket extends Duplex {
  readonly #opening: Promise<ClientChannel>;
  #channel: ClientChannel | null = null;
  /** Called once: the one who waits for the present write. */
  #writing: Done | null = null;

  constructor(opening: Promise<ClientChannel>) {
    // One that the agent has ended must not be kept for the next request.
    super({ allowHalfOpen: false });
    this.#opening = opening;
  }

  override _construct(done: Done): void {
    this.#opening.then(
      (channel) => {
        this.#attach(channel);
        done();
      },
      (cause: unknown) => done(cause instanceof Error ? cause : new Error(String(cause))),
    );
  }

  #attach(channel: ClientChannel): void {
    this.#channel = channel;
    channel.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) channel.pause();
    });
    channel.on('end', () => this.push(null));
    channel.on('error', (cause: Error) => this.destroy(cause));
    channel.on('close', () => {
      this.#channel = null;
      // A write that the other side will never take.
      this.#written(cut());
      if (!this.readableEnded) this.push(null);
    });
  }

  override _read(): void {
    this.#channel?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#writing = done;
    if (this.#channel === null) this.#written(cut());
    else this.#channel.write(chunk, (error) => this.#written(error ?? null));
  }

  override _final(done: Done): void {
    this.#channel?.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#written(error ?? cut());
    // What still comes is read and thrown away: unread, it would hold the whole connection up.
    this.#channel?.resume();
    this.#channel?.destroy();
    done(error);
  }

  #written(error: Error | null): void {
    const done = this.#writing;
    this.#writing = null;
    done?.(error);
  }

  // What node:http asks of a TCP socket and a channel cannot do; the connection below does it.
  setKeepAlive(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  destroySoon(): void {
    if (this.writableFinished) this.destroy();
    else this.end(() => this.destroy());
  }
}

function cut(): Error {
  return Object.assign(new Error('the channel was closed'), { code: 'ECONNRESET' });
}
