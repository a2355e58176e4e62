/** The standard WebSocket interface around a client. */

import { createClient, type Client, type Data, type State } from './client.js';
import { EVENTS, type EverwireEventMap, type Handlers } from './events.js';
import type { Options, Provided } from './options.js';
import { Target } from './target.js';

const STATES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'];
const VIEWS = ['url', 'readyState', 'protocol', 'state', 'rtt', 'bufferedAmount'] as const;

// What is defined by name below.
export interface EverwireSocket extends Handlers {
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;
  readonly url: string;
  /** OPEN from the first connection on, also while detached. */
  readonly readyState: number;
  /** The subprotocol of the connection of the moment. */
  readonly protocol: string;
  readonly state: State;
  /** The smoothed round trip in ms, once there is one. */
  readonly rtt: number | undefined;
  /** Payload bytes that the server may still need; on a plain connection, that were not sent. */
  readonly bufferedAmount: number;

  addEventListener<K extends keyof EverwireEventMap>(
    type: K,
    listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof EverwireEventMap>(
    type: K,
    listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null,
  ): void;
}

/** A WebSocket that survives its connections. */
export class EverwireSocket extends Target {
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSING: 2;
  declare static readonly CLOSED: 3;

  static {
    const { prototype } = this;
    STATES.forEach((name, value) => {
      for (const place of [this, prototype]) Object.defineProperty(place, name, { value });
    });
    for (const name of VIEWS) {
      Object.defineProperty(prototype, name, {
        get(this: EverwireSocket) {
          return this.#client[name];
        },
      });
    }
    for (const type of EVENTS) {
      Object.defineProperty(prototype, 'on' + type, {
        get(this: EverwireSocket) {
          return this.#handlers[type] ?? null;
        },
        set(this: EverwireSocket, handler: any) {
          this.removeEventListener(type, this.#handlers[type] as never);
          this.addEventListener(type, (this.#handlers[type] = typeof handler === 'function' ? handler : null) as never);
        },
      });
    }
  }

  /** How binary messages are handed out. */
  binaryType: BinaryType = 'blob';
  #handlers: Record<string, EventListener | null> = {};
  #client: Client;

  /** Connects. The second argument may be subprotocols, as the standard has them. */
  constructor(url: Provided<string | URL>, options: Options | string | string[] = {}) {
    super();
    const given = typeof options === 'string' || Array.isArray(options) ? { protocols: options } : options;
    this.#client = createClient(url, given, (type, properties = {}) => {
      const { data } = properties;
      if (data instanceof Uint8Array) {
        const bytes = data.slice() as Uint8Array<ArrayBuffer>;
        properties.data = this.binaryType === 'blob' ? new Blob([bytes]) : bytes.buffer;
      }
      return this.tell(type, properties);
    });
  }

  get extensions(): string {
    return '';
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
