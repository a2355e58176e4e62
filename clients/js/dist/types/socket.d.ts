/** A WebSocket that survives its connections: the standard interface around a session. */
import type { Options, Provided } from './options.js';
export type Data = string | ArrayBufferLike | ArrayBufferView | Blob;
export type State = 'connecting' | 'attached' | 'detached' | 'plain' | 'closed';
/** Messages of one direction that will not come. */
export interface GapEvent extends Event {
    readonly direction: 'in' | 'out';
    readonly from: number;
    readonly to: number;
    readonly reason: string;
}
/** The other end has forgotten this one. What it had not acknowledged is handed back. */
export interface LostEvent extends Event {
    readonly unacknowledged: (string | Uint8Array)[];
}
/** Attached again. */
export interface ResumedEvent extends Event {
    /** The other end is a new one, that knows nothing of before. */
    readonly fresh: boolean;
}
export interface EverwireEventMap {
    open: Event;
    message: MessageEvent;
    error: Event;
    close: CloseEvent & {
        readonly unacknowledged: (string | Uint8Array)[];
    };
    detached: Event;
    resumed: ResumedEvent;
    gap: GapEvent;
    lost: LostEvent;
}
type On = {
    [K in keyof EverwireEventMap as `on${K}`]: ((event: EverwireEventMap[K]) => unknown) | null;
};
export interface EverwireSocket extends On {
}
export declare class EverwireSocket {
    #private;
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSING = 2;
    static readonly CLOSED = 3;
    readonly CONNECTING: 0;
    readonly OPEN: 1;
    readonly CLOSING: 2;
    readonly CLOSED: 3;
    /** How binary messages are handed out. */
    binaryType: BinaryType;
    readonly extensions = "";
    /** Connects. The second argument may be subprotocols, as the standard has them. */
    constructor(url: Provided<string | URL>, options?: Options | string | string[]);
    get url(): string;
    /** OPEN from the first connection on, also while detached. */
    get readyState(): number;
    get protocol(): string;
    get state(): State;
    /** The smoothed round trip in ms, once there is one. */
    get rtt(): number | undefined;
    /** Payload bytes that the server has not acknowledged; on a plain connection, that were not sent. */
    get bufferedAmount(): number;
    /**
     * Sends a message, now or when there is a connection again. Throws if it is larger than the server takes, or if what is kept would
     * exceed the buffer.
     */
    send(data: Data): void;
    /** Sends a message that may be dropped: it goes out now or never. */
    sendVolatile(data: Data): void;
    /** Ends the session when everything has been sent. The code is 1000 or 3000 to 4999. */
    close(code?: number, reason?: string): void;
    addEventListener<K extends keyof EverwireEventMap>(type: K, listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<K extends keyof EverwireEventMap>(type: K, listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null): void;
    dispatchEvent(event: Event): boolean;
}
export {};
