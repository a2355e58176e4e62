/** The messages that this end sends: their numbers, the buffer, the peer's window. See docs/protocol.md §3, §6 and §7. */
import { type Counts, type Payload } from './frame.js';
/** Reasons of gaps. */
export declare const EVICTED = 1;
/** DATA frames in their order; null where a message became a gap. */
export type Kept = (Uint8Array | null)[];
export type Outbox = ReturnType<typeof createOutbox>;
/** The next message gets the number `next`; those in `kept` have the numbers before. */
export declare function createOutbox(next?: number, kept?: Kept): {
    kept: Kept;
    /** The number that the next accepted message gets, and that of the oldest that is kept. */
    next: number;
    lo: number;
    /** The number of the last message, or end of a gap, that was put on this socket. */
    position: number;
    /** The highest number that the peer stated to have received. */
    acked: number;
    /** Payload bytes that are kept. */
    bytes: number;
    /** The messages above this number that are kept. */
    payloads: (above?: number) => Payload[];
    /** Keeps a DATA frame until the peer needs it no more. */
    accept(frame: Uint8Array): void;
    /** Gives up the oldest message, which the application is told. */
    giveUp(): void;
    /** Begins a socket whose WELCOME says this. */
    begin(counts: Counts): void;
    /** Takes what the peer states. */
    acknowledge([recv, done, , window]: Counts): void;
    /** Puts on the socket what the peer's window takes. The last argument of `gap` is whether the application knows of it. */
    pump(maxMessage: number, send: (frame: Uint8Array) => void, gap: (from: number, to: number, reason: number, known: boolean) => void): void;
};
