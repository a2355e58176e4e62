/**
 * A session of everwire.v1: the client's end, as a state machine without a socket, a clock or randomness.
 *
 * Calls say what happened and when, links carry frames away, events say what the application learns. After each call, arm a timer
 * for `deadline` and call `tick` then. See docs/protocol.md.
 */
import { type Accepted, type Welcome } from './frame.js';
import { RoundTrip } from './liveness.js';
/** The way to a socket. */
export interface Link {
    send(frame: Uint8Array): void;
    close(code: number): void;
}
/** Messages that will not come, because they are not there any more. */
export interface Gap {
    direction: 'in' | 'out';
    from: number;
    to: number;
    /** See docs/protocol.md §7. */
    reason: number;
    /** The application knows of it already. */
    announced?: boolean;
}
export interface Ended {
    type: 'ended';
    code: number;
    reason: string;
    by: 'us' | 'peer';
    unacknowledged: (string | Uint8Array)[];
}
/** What the application, or the code that opens sockets, learns. */
export type SessionEvent = {
    type: 'open' | 'resumed';
    welcome: Accepted;
}
/** Call `taken` when the application has done with it. */
 | {
    type: 'message';
    data: string | Uint8Array;
    volatile: boolean;
    taken: (now: number) => void;
} | {
    type: 'detached';
} | ({
    type: 'gap';
} & Gap) | {
    type: 'lost';
    unacknowledged: (string | Uint8Array)[];
} | Ended
/** The server wants this client later, elsewhere, or with another ticket. */
 | {
    type: 'refused';
    welcome: Welcome;
} | {
    type: 'goaway';
    after: number;
    spread: number;
    url: string;
} | {
    type: 'ticket';
}
/** Another socket should be opened beside this one. */
 | {
    type: 'suspect';
};
/** What survives the process. */
export interface Stored {
    id: number[];
    token: number[];
    attempt: number;
    recv: number;
    next: number;
}
export interface SessionConfig {
    /** What this end takes before its application has taken it, in bytes; each message costs 32 more. */
    window: number;
    maxMessage: number;
    /** How long the server should keep the session while it is detached, in ms. */
    ttl: number;
    /** Ask the peer when it is silent. */
    probes: boolean;
    /** A message is done when it was released, and not when it was received. */
    manual: boolean;
    /** Called before anything is said that must not be forgotten. */
    save?: ((stored: Stored) => void) | undefined;
}
export declare class Session {
    #private;
    readonly config: SessionConfig;
    readonly emit: (event: SessionEvent) => void;
    readonly roundTrip: RoundTrip;
    /** What the server said last. */
    welcome: Accepted | undefined;
    constructor(config: SessionConfig, emit: (event: SessionEvent) => void, stored?: Stored);
    get attached(): boolean;
    /** Whether a socket carries this session, attached or saying HELLO. */
    get linked(): boolean;
    get ended(): boolean;
    get suspected(): boolean;
    /** Payload bytes that the peer has not acknowledged. */
    get bufferedAmount(): number;
    /** Messages that the peer has not acknowledged. */
    get bufferedMessages(): number;
    /** When to call `tick`. */
    get deadline(): number;
    /**
     * Gives this session to a new socket and returns the HELLO for it. Whatever an older socket does has no effect from now on. A HELLO
     * that goes out at once, on an open socket, measures the round trip.
     */
    hello(link: Link, ticket: Uint8Array, now: number, atOnce: boolean): Uint8Array;
    /** A WebSocket message arrived on a socket. */
    receive(link: Link, message: string | Uint8Array, now: number): void;
    /** A socket was closed, with this code. */
    closed(link: Link, code: number, now: number): void;
    /** Closes the socket and keeps the session, such as before the page sleeps. */
    suspend(now: number): void;
    /** Sends a DATA frame; a volatile one now or never. */
    send(frame: Uint8Array, volatile: boolean, now: number): void;
    /** Presents another ticket, in the session. */
    authenticate(ticket: Uint8Array): void;
    /** Asks whether the peer is there. */
    probe(now: number): void;
    /** Ends the session when everything has been sent. */
    close(code: number, reason: string, now: number): void;
    /** Ends the session at once. */
    abort(code: number): void;
    /** Takes the messages that no server has seen, for another session or a plain connection. */
    drain(): Uint8Array[];
    /** Does what is due. */
    tick(now: number): void;
}
