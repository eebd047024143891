/** Wakes all that wait for it at once, every so often, and from when it is stopped on without a pause. */
export class Ticker {
  readonly #stop: AbortSignal;
  readonly #ms: number;
  #next: Promise<void> | undefined;

  /** @param ms how often */
  constructor(ms: number, stop: AbortSignal) {
    this.#ms = ms;
    this.#stop = stop;
  }

  /** The next time. */
  next(): Promise<void> {
    if (this.#stop.aborted) return Promise.resolve();
    this.#next ??= new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#stop.removeEventListener('abort', wake);
        this.#next = undefined;
        resolve();
      };
      const timer = setTimeout(wake, this.#ms);
      this.#stop.addEventListener('abort', wake);
    });
    return this.#next;
  }
}
