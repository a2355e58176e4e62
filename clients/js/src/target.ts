/** An event target of our own: what its listeners return is waited for. */

type Listener = EventListenerOrEventListenerObject;

/** Reports an error of application code as the platform reports any. */
function report(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
}

export class Target {
  #entries: Record<string, [listener: Listener, once?: boolean][]> = {};

  addEventListener(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void {
    const { once, signal } = Object(options) as AddEventListenerOptions;
    const entries = (this.#entries[type] ??= []);
    if (!listener || signal?.aborted || entries.some((entry) => entry[0] === listener)) return;
    entries.push([listener, once!]);
    signal?.addEventListener('abort', () => this.removeEventListener(type, listener));
  }

  removeEventListener(type: string, listener: Listener | null | undefined): void {
    this.#entries[type] = (this.#entries[type] ?? []).filter((entry) => entry[0] !== listener);
  }

  dispatchEvent(event: Event): boolean {
    this.#dispatch(event);
    return !event.defaultPrevented;
  }

  /** Makes an event with these properties, calls everybody, and returns what has not finished. */
  protected tell(type: string, properties: object): Promise<unknown>[] {
    const event = new Event(type);
    for (const [key, value] of Object.entries({ ...properties, target: this, currentTarget: this })) {
      Object.defineProperty(event, key, { value });
    }
    return this.#dispatch(event);
  }

  #dispatch(event: Event): Promise<unknown>[] {
    const { type } = event;
    return [...(this.#entries[type] ?? [])].flatMap(([listener, once]) => {
      if (once) this.removeEventListener(type, listener);
      try {
        const result: any = typeof listener === 'function' ? listener.call(this, event) : listener.handleEvent(event);
        return result?.then ? [Promise.resolve(result).catch(report)] : [];
      } catch (error) {
        report(error);
        return [];
      }
    });
  }
}
