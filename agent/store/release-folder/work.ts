/** Runs jobs a few at a time. After one has failed, everything asked of the queue fails with it. */
export class WorkQueue {
  readonly #parallel: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | null = null;

  constructor(parallel: number) {
    this.#parallel = parallel;
  }

  /** Resolves when the job has begun: whoever adds jobs is kept from running far ahead. */
  async add(job: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#parallel) await Promise.race(this.#running);
    this.#throwFailure();
    const run = job()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  /** Resolves when every job is done. */
  async drain(): Promise<void> {
    await this.settle();
    this.#throwFailure();
  }

  /** Resolves when no job runs, whatever became of them. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}
