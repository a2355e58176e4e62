/** When to connect again, and whether. Full jitter, the server's advice first. */
export declare class Reconnect {
    /** Retries since the last stable connection, and since when it fails. */
    private retries;
    private outage;
    private attached;
    private spread;
    private advice;
    /** The wait that is going on was advised. */
    private advised;
    /** When the last attempt began. */
    attempt: number;
    private warned;
    /** The server says when to come back. */
    advise(after: number, spread: number): void;
    /** A connection was closed by the peer: notes the advice in its reason. Returns whether coming back makes sense. */
    closed(code: number, reason: string): boolean;
    /** A connection can be used. `spread`: over how long clients should come back when it is lost. */
    attach(now: number, spread?: number): void;
    lost(now: number): void;
    /** Draws how long to wait before the next attempt. */
    delay(now: number): number;
    /** Something happened that makes success likely: returns when to try, instead of `at`. Advice stands. */
    wake(now: number, at: number): number;
}
