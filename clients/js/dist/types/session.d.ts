/**
 * A session of everwire.v1: the client's end, as a state machine without a socket, a timer or randomness, with a clock that it is given.
 *
 * Calls say what happened, links carry frames away, events say what the application learns. After each call, arm a timer for
 * `deadline` and call `tick` then. See docs/protocol.md.
 *
 * This is a closure and not a class, because a minifier shortens local names only.
 */
import type { Accepted, Goaway, Payload, Refused } from './frame.js';
import { type Liveness, type RoundTrip } from './liveness.js';
import type { Options } from './options.js';
import { type Kept, type Outbox } from './outbox.js';
/** The way to a socket. */
export interface Link {
    send(frame: Uint8Array): void;
    close(code: number): void;
}
/** What the code that opens sockets learns. */
export interface Listener {
    /** A socket carries the session, which is a new one or the same as before. */
    attached(welcome: Accepted, fresh: boolean): void;
    /** Call `taken`, which a volatile message does not have, when the application has done with it. */
    message(data: Payload, taken?: () => void): void;
    /** What the application learns as it is. */
    tell<T extends keyof Told>(type: T, event?: Told[T]): void;
    ended(code: number, byPeer: boolean, reason: string, unacknowledged: Payload[]): void;
    /** The server wants this client later, elsewhere, or with another ticket. */
    refused(welcome: Refused): void;
    advised(goaway: Goaway): void;
    /** The server wants a fresh ticket in so many ms. */
    renewal(after: number): void;
    /** Another socket should be opened beside this one. */
    suspect(): void;
}
export interface Told {
    detached: object;
    /** The socket that had fallen silent speaks. */
    resumed: {
        fresh: false;
    };
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
}
/** What survives the page. */
export type Stored = [id: number[], token: number[], attempt: number, recv: number, next: number, kept?: Kept];
export type SessionOptions = Pick<Options, 'window' | 'maxMessage' | 'ttl' | 'store'>;
export interface Session {
    /** What is known of the life of the socket, once it is attached. */
    live(): Liveness | undefined;
    /** The application believes that it is attached. */
    announced(): boolean;
    /** What the server may still need. */
    outbox(): Outbox;
    readonly roundTrip: RoundTrip;
    /** When to call `tick`. */
    deadline(): number;
    /**
     * Gives this session to a new socket and returns the HELLO for it. Whatever an older socket does has no effect from now on. A HELLO
     * that goes out at once, on an open socket, measures the round trip.
     */
    hello(link: Link, ticket: Uint8Array, atOnce: boolean): Uint8Array;
    /** A WebSocket message arrived on a socket. */
    receive(link: Link, message: string | ArrayBuffer): void;
    /** A socket was closed, with this code. */
    closed(link: Link, code: number): void;
    /** Closes the socket and keeps the session, such as before the page sleeps. */
    suspend(): void;
    /** Sends a DATA frame; a volatile one now or never. */
    send(frame: Uint8Array): void;
    /** Gives up the oldest message that is kept. */
    giveUp(): void;
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
export declare function createSession(options: SessionOptions, clock: () => number, on: Listener, stored?: Partial<Stored>): Session;
