// Sends films, two at a time, each with its own outcome.

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

  get left() {
    return this.#waiting.length + this.#running;
  }

  /** Drop waiting films and cancel those being sent. @returns {number} how many had not begun */
  stop() {
    const dropped = this.#waiting.length;
    this.#waiting = [];
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#onChange();
    return dropped;
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
