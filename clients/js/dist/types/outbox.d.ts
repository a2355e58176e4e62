/** The messages that this end sends: their numbers, the buffer, the peer's window. See docs/protocol.md §3, §6 and §7. */
import { type Counts } from './frame.js';
import type { Gap } from './session.js';
export declare class Outbox {
    #private;
    /** The number that the next accepted message gets. */
    next: number;
    /** The number of the oldest message that is kept. */
    lo: number;
    /** The number of the last message, or end of a gap, that was put on this socket. */
    position: number;
    /** The highest number that the peer stated to have received. */
    acked: number;
    /** The payload bytes that are kept. */
    bytes: number;
    get length(): number;
    /** Keeps a DATA frame until the peer needs it no more. */
    accept(frame: Uint8Array): void;
    /** A client that was restored has numbers, but not the messages. */
    restore(next: number): void;
    /** Begins a socket whose WELCOME says this. */
    resume({ recv, done, window }: Counts): void;
    /** Takes what the peer states. */
    acknowledge({ recv, done, window }: Counts): void;
    /** Puts on the socket what the peer's window takes. */
    pump(maxMessage: number, send: (frame: Uint8Array) => void, gap: (gap: Gap) => void): void;
    /** Returns the messages above this number that are kept. */
    messages(above: number): (string | Uint8Array)[];
    /** The frames that are kept. */
    get frames(): Uint8Array[];
}
