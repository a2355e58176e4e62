/** The messages that this end receives: how many, what the peer may still send, and when to say so. See docs/protocol.md §4, §6. */
export type Inbox = ReturnType<typeof createInbox>;
/** In manual mode a message is done when the application has taken it, else when it was received. */
export declare function createInbox(clock: () => number, full: number, manual: boolean, first?: number): {
    recv: number;
    /** When an ACK is due. */
    due: number;
    done: ([oldest]?: Set<number>) => number;
    room: () => number;
    /** Counts a reliable message in, and returns what to call when the application has taken it, which calls `then`. */
    message(size: number, then: () => void): () => void;
    gap(from: number, to: number): void;
    /** The peer is being told where this end stands. */
    stating(): void;
};
