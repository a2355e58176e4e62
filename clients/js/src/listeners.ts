/** Listeners of our own: what they return is waited for, which no EventTarget does. */

type Listener = EventListenerOrEventListenerObject;
type Entry = [listener: Listener, once: boolean | undefined];

/** Reports an error of application code as the platform reports any. */
function report(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
}

export class Listeners {
  /** What was set as `onmessage` and the like. */
  readonly handlers = new Map<string, EventListener>();
  private entries = new Map<string, Entry[]>();

  add(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void {
    const { once, signal } = Object(options) as AddEventListenerOptions;
    const entries = this.of(type);
    if (!listener || signal?.aborted || entries.some((entry) => entry[0] === listener)) return;
    this.entries.set(type, [...entries, [listener, once]]);
    signal?.addEventListener('abort', () => this.remove(type, listener));
  }

  remove(type: string, listener: Listener | null | undefined): void {
    this.entries.set(
      type,
      this.of(type).filter((entry) => entry[0] !== listener),
    );
  }

  /** Sets `onmessage` and the like. */
  handle(type: string, handler: unknown): void {
    this.remove(type, this.handlers.get(type));
    this.handlers.delete(type);
    if (typeof handler !== 'function') return;
    this.handlers.set(type, handler as EventListener);
    this.add(type, handler as EventListener);
  }

  /** Calls everybody, and returns what has not finished. */
  dispatch(target: unknown, event: Event): Promise<unknown>[] {
    return this.of(event.type).flatMap(([listener, once]) => {
      if (once) this.remove(event.type, listener);
      try {
        const result: any = typeof listener === 'function' ? listener.call(target, event) : listener.handleEvent(event);
        return result?.then ? [Promise.resolve(result).catch(report)] : [];
      } catch (error) {
        report(error);
        return [];
      }
    });
  }

  private of(type: string): Entry[] {
    return this.entries.get(type) ?? [];
  }
}
