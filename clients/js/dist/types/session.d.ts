/**
 * A session of everwire.v1: the client's end, as a state machine without a socket, a timer or randomness, with a clock that it is given.
 *
 * Calls say what happened, links carry frames away, events say what the application learns. After each call, arm a timer for
 * `deadline` and call `tick` then. See docs/protocol.md.
 *
 * This is a closure and not a class, because a minifier shortens local names only.
 */
import { Kind } from './frame.js';
import type { Accepted, Payload, Refused } from './frame.js';
import type { SessionStore } from './store.js';
/** The way to a socket. */
export interface Link {
    send(frame: Uint8Array): void;
    close(code: number): void;
}
/** What the application, or the code that opens sockets, learns. */
export interface SessionEvents {
    /** A new session; the same one again. */
    open: Accepted;
    resumed: Accepted;
    /** Call `taken` when the application has done with it. */
    message: {
        data: Payload;
        volatile: boolean;
        taken: (() => void) | undefined;
    };
    detached: object;
    /** These messages will not come. */
    gap: {
        direction: 'in' | 'out';
        from: number;
        to: number;
        reason: string;
    };
    /** The other end has forgotten the session. */
    lost: {
        unacknowledged: Payload[];
    };
    ended: {
        code: number;
        reason: string;
        byPeer: boolean;
        unacknowledged: Payload[];
    };
    /** The server wants this client later, elsewhere, or with another ticket. */
    refused: Refused;
    goaway: [kind: Kind, after: number, spread: number, url: string];
    /** The server asks for a fresh ticket. */
    ticket: object;
    /** Another socket should be opened beside this one. */
    suspect: object;
}
export type Emit = <T extends keyof SessionEvents>(type: T, event: SessionEvents[T]) => void;
/** What survives the page. */
export type Stored = [id: number[], token: number[], attempt: number, recv: number, next: number];
export interface SessionConfig {
    /** The wall clock, in ms. */
    clock: () => number;
    /** What this end takes before its application has taken it, in bytes; each message costs 32 more. */
    window: number;
    maxMessage: number;
    /** How long the server should keep the session while it is detached, in ms. */
    ttl: number;
    /** With a store, a message is done when it was taken, and not when it was received. */
    store?: Pick<SessionStore, 'save'> | undefined;
}
export interface Session {
    readonly attached: boolean;
    /** Whether a socket carries this session, attached or saying HELLO. */
    readonly linked: boolean;
    readonly suspected: boolean;
    /** What the server said last. */
    readonly welcome: Accepted | undefined;
    /** The smoothed round trip, in ms. */
    readonly measured: number | undefined;
    /** Payload bytes, messages, and their frames, that the server may still need. */
    readonly bytes: number;
    readonly count: number;
    readonly frames: Uint8Array[];
    /** When to call `tick`. */
    readonly deadline: number;
    /**
     * Gives this session to a new socket and returns the HELLO for it. Whatever an older socket does has no effect from now on. A HELLO
     * that goes out at once, on an open socket, measures the round trip.
     */
    hello(link: Link, ticket: Uint8Array, atOnce: boolean): Uint8Array;
    /** A WebSocket message arrived on a socket. */
    receive(link: Link, message: string | Uint8Array): void;
    /** A socket was closed, with this code. */
    closed(link: Link, code: number): void;
    /** Closes the socket and keeps the session, such as before the page sleeps. */
    suspend(): void;
    /** Sends a DATA frame; a volatile one now or never. */
    send(frame: Uint8Array): void;
    /** Presents another ticket, in the session. */
    authenticate(ticket: Uint8Array): void;
    /** Asks whether the peer is there. */
    probe(): void;
    /** Ends the session when everything has been sent. */
    close(code: number, reason: string): void;
    /** Somebody else has the session: a new one follows. */
    forget(): void;
    /** Ends the session at once. */
    abort(code: number): void;
    /** Does what is due. */
    tick(): void;
}
export declare function createSession(config: SessionConfig, emit: Emit, stored?: Stored): Session;
