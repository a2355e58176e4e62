/** Listeners of our own: what they return is waited for, which no EventTarget does. */

type Listener = EventListenerOrEventListenerObject | null;
type Handler = ((event: never) => unknown) | null;

interface Entry {
  /** Null for the handler attribute, such as `onmessage`. */
  listener: Listener;
  once: boolean;
}

/** Reports an error of application code as the platform reports any. */
function report(error: unknown): void {
  if (typeof reportError === 'function') reportError(error);
  else setTimeout(() => { throw error; });
}

export class Listeners {
  #entries = new Map<string, Entry[]>();
  #handlers = new Map<string, Handler>();

  add(type: string, listener: Listener, options?: boolean | AddEventListenerOptions): void {
    const { once = false, signal = undefined } = typeof options === 'object' ? options : {};
    const entries = this.#of(type);
    if (!listener || signal?.aborted || entries.some((entry) => entry.listener === listener)) return;
    this.#entries.set(type, [...entries, { listener, once }]);
    signal?.addEventListener('abort', () => this.remove(type, listener));
  }

  remove(type: string, listener: Listener): void {
    this.#entries.set(type, this.#of(type).filter((entry) => entry.listener !== listener));
  }

  handler(type: string): Handler {
    return this.#handlers.get(type) ?? null;
  }

  /** Sets the handler attribute. It is called in the place of when it was set first. */
  handle(type: string, handler: unknown): void {
    const entries = this.#of(type);
    const isFunction = typeof handler === 'function';
    this.#handlers.set(type, isFunction ? (handler as Handler) : null);
    if (!isFunction) this.remove(type, null);
    else if (!entries.some((entry) => !entry.listener)) this.#entries.set(type, [...entries, { listener: null, once: false }]);
  }

  /** Calls everybody, and returns what has not finished. */
  dispatch(target: unknown, event: Event): Promise<unknown>[] {
    const pending: Promise<unknown>[] = [];
    for (const { listener, once } of this.#of(event.type)) {
      if (once) this.remove(event.type, listener);
      try {
        const call = (listener ?? this.handler(event.type)) as any;
        const result = typeof call === 'function' ? call.call(target, event) : call?.handleEvent(event);
        if (typeof result?.then === 'function') pending.push(Promise.resolve(result).catch(report));
      } catch (error) {
        report(error);
      }
    }
    return pending;
  }

  #of(type: string): Entry[] {
    return this.#entries.get(type) ?? [];
  }
}

/** Makes an event with these properties. */
export function makeEvent(target: unknown, type: string, properties: object): Event {
  const { MessageEvent, CloseEvent, Event } = globalThis;
  const Type = (type === 'message' && MessageEvent) || (type === 'close' && CloseEvent) || Event;
  const event = new Type(type, properties);
  for (const [key, value] of Object.entries({ ...properties, target, currentTarget: target })) {
    if (key.endsWith('arget') || !(key in event)) Object.defineProperty(event, key, { value });
  }
  return event;
}
