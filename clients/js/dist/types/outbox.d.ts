/** The messages that this end sends: their numbers, the buffer, the peer's window. See docs/protocol.md §3, §6 and §7. */
import { type Counts } from './frame.js';
export declare class Outbox {
    /** The number that the next accepted message gets, and that of the oldest that is kept. */
    next: number;
    lo: number;
    /** The number of the last message, or end of a gap, that was put on this socket. */
    position: number;
    /** The highest number that the peer stated to have received, and to need no more. */
    acked: number;
    private freed;
    /** From `lo` on; null where a message became a gap. */
    private kept;
    private credit;
    /** The cost of what is on this socket and not acknowledged. */
    private inFlight;
    /** The end of the last gap that the application knows of. */
    private announced;
    /** The DATA frames that are kept. */
    get frames(): Uint8Array[];
    /** Payload bytes that are kept. */
    bytes: number;
    /** Keeps a DATA frame until the peer needs it no more. */
    accept(frame: Uint8Array): void;
    /** Begins a socket whose WELCOME says this. */
    begin(counts: Counts): void;
    /** Takes what the peer states. */
    acknowledge([recv, done, , window]: Counts): void;
    /** Puts on the socket what the peer's window takes. The last argument of `gap` is whether the application knows of it. */
    pump(maxMessage: number, send: (frame: Uint8Array) => void, gap: (from: number, to: number, reason: number, known: boolean) => void): void;
    /** Returns the messages above this number that are kept. */
    messages(above: number): (string | Uint8Array)[];
    /** Returns a frame. What is larger than the peer takes becomes a gap. */
    private at;
    private cost;
}
