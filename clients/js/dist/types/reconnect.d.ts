/** When to connect again, and whether. Full jitter, the server's advice first. */
export declare function createReconnect(clock: () => number): {
    /** The server says when to come back. */
    advise(after: number, spread: number): void;
    /**
     * A connection was closed by the peer: notes the advice in its reason. Where it has none and the peer goes, what GOAWAY said before
     * stands, which was to come at `due`. Returns whether coming back makes sense.
     */
    closed(code: number, reason: string, due: number): boolean;
    /**
     * A connection can be used. `first`: over how long clients should come back when it is lost. Advice that came while this attempt
     * was under way is overtaken.
     */
    attach(first?: number): void;
    /** Draws until when a connection stays, whatever the server advises: it could be sent on and on. */
    patience: () => number;
    /** Draws how long to wait before the next attempt, which replaces a connection or is `beside` one. */
    delay(beside: boolean): number;
    /** Something happened that makes success likely: returns when to try, instead of `at`. Advice stands. */
    wake: (at: number) => number;
};
