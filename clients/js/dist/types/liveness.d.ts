/** Whether a socket lives, by the wall clock. Belongs to one socket and goes with it. See docs/protocol.md §9. */
/** A smoothed round trip, as in RFC 6298. It belongs to the path and outlives a socket. */
export declare class RoundTrip {
    /** In milliseconds. */
    smoothed: number | undefined;
    private deviation;
    sample(ms: number): void;
    /** How long an answer may take before the socket is suspect. */
    get patience(): number;
}
export declare class Liveness {
    private readonly roundTrip;
    private readonly silence;
    private last;
    /** No answer came to a question: another socket should be tried. */
    suspected: boolean;
    /** When silence makes the socket suspect. */
    suspectDue: number;
    /** Since when something is unacknowledged. */
    private waiting;
    private pings;
    private token;
    constructor(roundTrip: RoundTrip, silence: number, last: number);
    /** Something arrived. */
    heard(now: number): void;
    /** Whether something that was sent is unacknowledged. */
    waits(waiting: boolean, now: number): void;
    /** Asks the peer: returns the token of a PING. `sent` is what its counts say. */
    ask(sent: number, now: number): number;
    /** A PONG came. It must acknowledge what was sent before its PING. */
    answered(token: number, recv: number, now: number): void;
    /** Nobody answered. */
    suspect(): void;
    /** When the peer should be asked. */
    get questionDue(): number;
    /** When silence makes the socket dead. */
    get deadDue(): number;
}
