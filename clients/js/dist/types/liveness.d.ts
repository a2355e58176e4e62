/** Whether a socket lives, by the wall clock. Belongs to one socket and goes with it. See docs/protocol.md §9. */
export type RoundTrip = ReturnType<typeof createRoundTrip>;
/** A smoothed round trip, as in RFC 6298. It belongs to the path and outlives a socket. */
export declare function createRoundTrip(): {
    /** In milliseconds. */
    smoothed: number | undefined;
    /**
     * How often a socket was suspected since something last came all the way through. Each doubles the patience, for behind a large message
     * on a slow path no answer is quick.
     */
    doubts: number;
    sample(ms: number): void;
    /** How long an answer may take before the socket is suspect, where there are no doubts. */
    patience: () => number;
};
export type Liveness = ReturnType<typeof createLiveness>;
/** `progress`: so much was acknowledged before. */
export declare function createLiveness(clock: () => number, roundTrip: RoundTrip, silence: number, progress: number): {
    /** When silence makes the socket suspect. 0 when it is: no answer came to a question, and another socket should be tried. */
    suspectDue: number;
    /** When the peer should be asked. */
    questionDue: () => number;
    /** When silence, or a peer that acknowledges nothing, makes the socket dead. */
    deadDue: () => number;
    /** Something arrived. */
    heard(): void;
    /** So much of what was sent is acknowledged. */
    waits(position: number, acked: number): void;
    /** Asks the peer: returns the token of a PING. `sent` is what its counts say. */
    ask(sent: number): number;
    /** A PONG came. It must acknowledge what was sent before its PING. */
    answered(answer: number, recv: number): void;
};
