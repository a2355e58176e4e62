/**
 * The frames of everwire.v1, as far as a client sends and receives them: a frame's first byte and its elements, in order.
 *
 * A frame is one binary WebSocket message. See docs/protocol.md §2.
 */
/** First bytes. */
export declare const enum Kind {
    Data = 16,
    Ack = 32,
    Ping = 48,
    Pong = 64,
    Hello = 80,
    Welcome = 96,
    Gap = 112,
    Goaway = 128,
    Bye = 144,
    ByeReply = 145,
    Ticket = 160,
    TicketWanted = 161,
    TicketAccepted = 162
}
/** Flags of DATA. */
export declare const enum Flag {
    Text = 1,
    Volatile = 2
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
    /** Never on the wire: nothing was closed. */
    Abnormal = 1006,
    Timeout = 4408,
    Counters = 4410,
    Window = 4411,
    Malformed = 4500,
    Unauthenticated = 4501,
    TooBig = 4502,
    Version = 4505,
    Superseded = 4509
}
/** What a message carries. */
export type Payload = string | Uint8Array;
/** Where the sender of a frame stands. See §4. */
export type Counts = [recv: number, done: number, sent: number, window: number];
/** What the server says about a session that it keeps. See §5.1. */
export type Accepted = [
    kind: Kind.Welcome,
    status: Status.New | Status.Resumed | Status.Lost,
    epoch: number,
    counts: Counts,
    maxMessage: number,
    ttl: number,
    heartbeat: number,
    heartbeatTimeout: number,
    firstSpread: number,
    token: Uint8Array,
    id: Uint8Array
];
export type Refused = [kind: Kind.Welcome, status: Status.Busy, after: number, spread: number] | [kind: Kind.Welcome, status: Status.Moved, url: string] | [kind: Kind.Welcome, status: Status.Auth];
export type Welcome = Accepted | Refused | [kind: Kind.Welcome, status: Status.Ended, code: number, recv: number, reason: string] | [kind: Kind.Welcome, status: Status.Stale] | [kind: Kind.Welcome, status: Status.Version, version: number];
export type Goaway = [kind: Kind.Goaway, after: number, spread: number, url: string];
/** A frame from a server. The first byte of DATA has its flags. */
export type Frame = [kind: Kind.Data, flags: number, data: Payload, size: number] | [kind: Kind.Ack, counts: Counts] | [kind: Kind.Ping | Kind.Pong, token: number, counts: Counts] | Welcome | [kind: Kind.Gap, from: number, to: number, reason: number] | Goaway | [kind: Kind.Bye | Kind.ByeReply, code: number, counts: Counts, reason: string] | [kind: Kind.TicketWanted | Kind.TicketAccepted, expires: number];
/** Whether an end may say this code. See §2.2. */
export declare const isEndCode: (code: number) => boolean;
/** Throws the code that says how the peer broke the protocol, unless `condition` holds. */
export declare function demand(condition: unknown, code?: number): asserts condition;
/** The largest number. See §2. */
export declare const MAX: number;
/** Bytes, however they are kept. */
export type Bytes = ArrayLike<number> & Iterable<number>;
export declare const bytesOf: (payload: Payload) => Uint8Array<ArrayBufferLike>;
/**
 * Reads a frame from a server. Throws a code if it is malformed, if only a client may send it, or if its payload is larger
 * than `maxMessage`.
 */
export declare function decode(bytes: Uint8Array, maxMessage: number): Frame;
/** Writes a frame: numbers, and bytes or text with their length before them. */
export declare function encode(kind: Kind, ...elements: (number | string | Bytes)[]): Uint8Array;
/** Writes what presents a ticket. */
export declare const encodeTicket: (ticket: Uint8Array) => Uint8Array<ArrayBuffer>;
/** Writes DATA. The payload is copied. */
export declare function encodeData(payload: Payload, volatile: boolean): Uint8Array;
/** Returns what a DATA frame of our own carries. */
export declare function payloadOf(frame: Uint8Array): Payload;
