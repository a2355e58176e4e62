/** The standard WebSocket interface around a client. */

import { createClient, type Client, type Data, type State } from './client.js';
import { EVENTS, makeEvent, type EverwireEventMap, type Handlers } from './events.js';
import { Listeners } from './listeners.js';
import type { Options, Provided } from './options.js';

const STATES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'];

/** A WebSocket that survives its connections. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface EverwireSocket extends Handlers {
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;
}

export class EverwireSocket {
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSING: 2;
  declare static readonly CLOSED: 3;

  static {
    STATES.forEach((name, value) => {
      for (const place of [this, this.prototype]) Object.defineProperty(place, name, { value });
    });
    for (const type of EVENTS) {
      Object.defineProperty(this.prototype, 'on' + type, {
        get(this: EverwireSocket) {
          return this.#listeners.handlers.get(type) ?? null;
        },
        set(this: EverwireSocket, handler: unknown) {
          this.#listeners.handle(type, handler);
        },
      });
    }
  }

  /** How binary messages are handed out. */
  binaryType: BinaryType = 'blob';
  readonly extensions = '';
  #listeners = new Listeners();
  #client: Client;

  /** Connects. The second argument may be subprotocols, as the standard has them. */
  constructor(url: Provided<string | URL>, options: Options | string | string[] = {}) {
    const given = typeof options === 'string' || Array.isArray(options) ? { protocols: options } : options;
    this.#client = createClient(url, given, (type, properties = {}) => {
      if (properties.data instanceof Uint8Array) {
        const bytes = properties.data.slice() as Uint8Array<ArrayBuffer>;
        properties.data = this.binaryType === 'blob' ? new Blob([bytes]) : bytes.buffer;
      }
      return this.#listeners.dispatch(this, makeEvent(this, type, properties));
    });
  }

  get url(): string {
    return this.#client.url;
  }

  /** OPEN from the first connection on, also while detached. */
  get readyState(): number {
    return this.#client.readyState;
  }

  /** The subprotocol of the connection of the moment. */
  get protocol(): string {
    return this.#client.protocol;
  }

  get state(): State {
    return this.#client.state;
  }

  /** The smoothed round trip in ms, once there is one. */
  get rtt(): number | undefined {
    return this.#client.rtt;
  }

  /** Payload bytes that the server has not acknowledged; on a plain connection, that were not sent. */
  get bufferedAmount(): number {
    return this.#client.bufferedAmount;
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

  addEventListener<K extends keyof EverwireEventMap>(
    type: K,
    listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    this.#listeners.add(type, listener as EventListener | null, options);
  }

  removeEventListener<K extends keyof EverwireEventMap>(
    type: K,
    listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null,
  ): void {
    this.#listeners.remove(type, listener as EventListener | null);
  }

  dispatchEvent(event: Event): boolean {
    this.#listeners.dispatch(this, event);
    return !event.defaultPrevented;
  }
}
