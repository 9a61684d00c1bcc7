import type { Task } from '../host.ts';

/** What a step does beside the looks at its candidate; it ends with the step, whatever that ends by. */
export class Aside {
  readonly task: Task;
  readonly #over = new AbortController();
  #work: Promise<unknown> = Promise.resolve();

  constructor(task: Task) {
    this.task = { ...task, signal: AbortSignal.any([task.signal, this.#over.signal]) };
  }

  /** Begins it. The answer is asked after each look: null until it has ended. @throws what it throws */
  begin<T>(work: (task: Task) => Promise<T>): () => Promise<T | null> {
    let ended: T | null = null;
    let failed: { readonly error: unknown } | null = null;
    this.#work = work(this.task).then(
      (end) => {
        ended = end;
      },
      (error: unknown) => {
        failed = { error };
      },
    );
    return async () => {
      if (failed !== null) throw failed.error;
      return ended;
    };
  }

  /** Ends it, and waits until nothing of it is left: the next step may do the same. */
  async end(): Promise<void> {
    this.#over.abort();
    await this.#work;
  }
}
