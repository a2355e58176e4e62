/** The messages that this end receives: how many, what the peer may still send, and when to say so. See docs/protocol.md §4, §6. */
export declare class Inbox {
    private readonly full;
    private readonly manual;
    recv: number;
    /** When an ACK is due. */
    due: number;
    /** Messages that the application has not taken yet: number and cost; and their cost in all. */
    private held;
    private heldCost;
    /** What the peer may send beyond what was received. */
    private credit;
    private stated;
    private unstated;
    /** In manual mode a message is done when the application has taken it, else when it was received. */
    constructor(full: number, manual: boolean);
    get done(): number;
    get open(): number;
    /** Counts a reliable message in, and returns what to call when the application has taken it. */
    message(size: number, now: number): (now: number) => void;
    gap(from: number, to: number, now: number): void;
    /** The peer is being told where this end stands. */
    state(): void;
    private release;
    private soon;
}
