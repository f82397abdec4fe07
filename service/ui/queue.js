// Runs work, such as sending a film, two pieces at a time.

const AT_ONCE = 2;

export class Queue {
  #waiting = [];
  #running = 0;
  #stop = new AbortController();
  #onChange;

  /** @param {() => void} onChange told whenever something begins or ends */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** @param {(signal: AbortSignal) => Promise<void>} work must not reject */
  add(work) {
    this.#waiting.push(work);
    this.#next();
  }

  /** Pieces of work that are not finished. */
  get left() {
    return this.#waiting.length + this.#running;
  }

  /** Drop the work that waits, and abort what has begun. */
  stop() {
    this.#waiting = [];
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#onChange();
  }

  #next() {
    while (this.#running < AT_ONCE && this.#waiting.length > 0) {
      const work = this.#waiting.shift();
      this.#running += 1;
      work(this.#stop.signal).finally(() => {
        this.#running -= 1;
        this.#onChange();
        this.#next();
      });
    }
    this.#onChange();
  }
}
