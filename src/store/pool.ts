/** Things that one user at a time may have, made as they are first needed; who comes when all are taken waits in line. */
export class Pool<T> {
  readonly #most: number;
  readonly #make: () => Promise<T>;
  #made = 0;
  readonly #idle: T[] = [];
  readonly #waiting: ((thing: T | Promise<T>) => void)[] = [];

  constructor(most: number, make: () => Promise<T>) {
    this.#most = most;
    this.#make = make;
  }

  async take(): Promise<T> {
    const thing = this.#idle.pop();
    if (thing !== undefined) return thing;
    if (this.#made === this.#most) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#made += 1;
    try {
      return await this.#make();
    } catch (error) {
      this.#made -= 1;
      // Whoever waits for this one tries for itself.
      this.#waiting.shift()?.(this.take());
      throw error;
    }
  }

  give(thing: T): void {
    const next = this.#waiting.shift();
    if (next) next(thing);
    else this.#idle.push(thing);
  }
}
