/** The standard WebSocket interface around a client. */
import { type Data, type View } from './client.js';
import { type EverwireEventMap, type Handlers } from './events.js';
import type { Options, Provided } from './options.js';
import { Target } from './target.js';
export interface EverwireSocket extends Handlers, View {
    readonly CONNECTING: 0;
    readonly OPEN: 1;
    readonly CLOSING: 2;
    readonly CLOSED: 3;
    addEventListener<K extends keyof EverwireEventMap>(type: K, listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<K extends keyof EverwireEventMap>(type: K, listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null, options?: boolean | EventListenerOptions): void;
    removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}
/** A WebSocket that survives its connections. */
export declare class EverwireSocket extends Target {
    #private;
    static readonly CONNECTING: 0;
    static readonly OPEN: 1;
    static readonly CLOSING: 2;
    static readonly CLOSED: 3;
    /** Connects. The second argument may be subprotocols, as the standard has them. */
    constructor(url: Provided<string | URL>, options?: Options | string | string[]);
    /**
     * Sends a message, now or when there is a connection again. Throws if it is larger than the server takes, or if what is kept would
     * exceed the buffer.
     */
    send(data: Data): void;
    /** Sends a message that may be dropped: it goes out now or never. */
    sendVolatile(data: Data): void;
    /** Ends the session when everything has been sent. The code is 1000 or 3000 to 4999. */
    close(code?: number, reason?: string): void;
}
