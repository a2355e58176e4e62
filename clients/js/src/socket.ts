/** The standard WebSocket interface around a client. */

import { createClient, type Client, type Data, type View } from './client.js';
import { EVENTS, type EverwireEventMap, type Handlers } from './events.js';
import type { Options, Provided } from './options.js';
import { Target } from './target.js';

const STATES = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 };

// What is defined by name below.
export interface EverwireSocket extends Handlers, View {
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;
  addEventListener<K extends keyof EverwireEventMap>(
    type: K,
    listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof EverwireEventMap>(
    type: K,
    listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** A WebSocket that survives its connections. */
export class EverwireSocket extends Target {
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSING: 2;
  declare static readonly CLOSED: 3;

  static {
    Object.assign(this, STATES);
    Object.assign(this.prototype, STATES);
  }

  #client: Client;

  /** Connects. The second argument may be subprotocols, as the standard has them. */
  constructor(url: Provided<string | URL>, options: Options | string | string[] = {}) {
    super();
    for (const type of EVENTS) {
      this[`on${type}`] = null;
      this.addEventListener(type, (event: any) => this[`on${type}`]?.(event));
    }
    // Strings and lists have an `at`.
    const given = (options as string).at ? { protocols: options as string } : (options as Options);
    this.#client = createClient(url, given, (type, properties, finished) => {
      let left = 1;
      const settled = () => --left || finished?.();
      const pending = (promise: PromiseLike<unknown>) => {
        left++;
        // What is rejected stays unhandled, and is reported as such.
        void Promise.resolve(promise).finally(settled);
      };
      this.dispatchEvent(Object.assign(new Event(type), properties, { pending }));
      settled();
    });
    const { view } = this.#client;
    for (const name in view) Object.defineProperty(this, name, { get: view[name as keyof View], set: view[name as keyof View] });
  }

  /**
   * Sends a message, now or when there is a connection again. Throws if it is larger than the server takes, or if what is kept would
   * exceed the buffer.
   */
  send(data: Data): void {
    this.#client.send(data, false);
  }

  /** Sends a message that may be dropped: it goes out now or never. */
  sendVolatile(data: Data): void {
    this.#client.send(data, true);
  }

  /** Ends the session when everything has been sent. The code is 1000 or 3000 to 4999. */
  close(code?: number, reason?: string): void {
    this.#client.close(code, reason);
  }
}
