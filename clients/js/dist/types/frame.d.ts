/**
 * The frames of everwire.v1, as far as a client sends and receives them.
 *
 * A frame is one binary WebSocket message. See docs/protocol.md §2.
 */
/** The upper four bits of a frame's first byte. */
export declare const enum Type {
    Data = 1,
    Ack = 2,
    Ping = 3,
    Pong = 4,
    Hello = 5,
    Welcome = 6,
    Gap = 7,
    Goaway = 8,
    Bye = 9,
    Auth = 10
}
/** What a WELCOME says. See §2.1. */
export declare const enum Status {
    New = 0,
    Resumed = 1,
    Lost = 2,
    Ended = 3,
    Busy = 4,
    Moved = 5,
    Auth = 6,
    Stale = 7,
    Version = 8
}
/** The codes that this client closes with. See §11. */
export declare const enum Code {
    Normal = 1000,
    Timeout = 4408,
    Counters = 4410,
    Window = 4411,
    Malformed = 4500,
    Unauthenticated = 4501,
    TooBig = 4502,
    Version = 4505,
    Superseded = 4509
}
/** Where the sender of a frame stands. See §4. */
export interface Counts {
    recv: number;
    done: number;
    sent: number;
    window: number;
}
/** What a client says when it attaches a socket. See §5.1. */
export interface Hello {
    attempt: number;
    recv: number;
    lo: number;
    next: number;
    window: number;
    maxMessage: number;
    ttl: number;
    token: Uint8Array;
    auth: Uint8Array;
}
/** What the server says about a session that it keeps. See §5.1. */
export interface Accepted {
    epoch: number;
    counts: Counts;
    maxMessage: number;
    ttl: number;
    heartbeat: number;
    heartbeatTimeout: number;
    firstSpread: number;
    token: Uint8Array;
    id: Uint8Array;
}
export type Welcome = {
    type: Type.Welcome;
} & (({
    status: Status.New | Status.Resumed | Status.Lost;
} & Accepted) | {
    status: Status.Ended;
    code: number;
    recv: number;
    reason: string;
} | {
    status: Status.Busy;
    after: number;
    spread: number;
} | {
    status: Status.Moved;
    url: string;
} | {
    status: Status.Auth | Status.Stale;
} | {
    status: Status.Version;
    version: number;
});
/** A frame from a server. */
export type Frame = {
    type: Type.Data;
    volatile: boolean;
    data: string | Uint8Array;
    size: number;
} | {
    type: Type.Ack;
    counts: Counts;
} | {
    type: Type.Ping | Type.Pong;
    token: number;
    counts: Counts;
} | Welcome | {
    type: Type.Gap;
    from: number;
    to: number;
    reason: number;
} | {
    type: Type.Goaway;
    after: number;
    spread: number;
    url: string;
} | {
    type: Type.Bye;
    reply: boolean;
    code: number;
    counts: Counts;
    reason: string;
} | {
    type: Type.Auth;
    accepted: boolean;
    expires: number;
};
/** The peer broke the protocol: the code says how. */
export declare class Violation {
    readonly code: number;
    constructor(code: number);
}
/** Returns the text that these bytes are. Throws a Violation if they are not UTF-8. */
export declare function textOf(bytes: Uint8Array): string;
/** Fails unless `condition` holds. */
export declare function demand(condition: unknown, code?: number): asserts condition;
/**
 * Reads a frame from a server. Throws a Violation if it is malformed, if only a client may send it, or if its payload is larger
 * than `maxMessage`.
 */
export declare function decode(bytes: Uint8Array, maxMessage?: number): Frame;
/** DATA. Its payload is copied. */
export declare function data(payload: string | Uint8Array, volatile: boolean): Uint8Array;
/** Returns what a DATA frame of our own carries. */
export declare function payloadOf(frame: Uint8Array): string | Uint8Array;
export declare function ack(counts: Counts): Uint8Array;
export declare function ping(token: number, counts: Counts): Uint8Array;
export declare function pong(token: number, counts: Counts): Uint8Array;
export declare function hello({ attempt, recv, lo, next, window, maxMessage, ttl, token, auth }: Hello): Uint8Array;
export declare function gap(from: number, to: number, reason: number): Uint8Array;
/** BYE, or the reply to one. */
export declare function bye(reply: boolean, code: number, counts: Counts, reason: string): Uint8Array;
export declare function auth(ticket: Uint8Array): Uint8Array;
/** base64url without padding, for a HELLO among the subprotocols. See RFC 4648 §5. */
export declare function base64url(bytes: Uint8Array): string;
