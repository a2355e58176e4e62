/** The messages that this end receives: how many, what the peer may still send, and when to say so. See docs/protocol.md §4, §6. */
export declare class Inbox {
    #private;
    readonly full: number;
    readonly manual: boolean;
    recv: number;
    /** When an ACK is due. */
    due: number;
    /** In manual mode a message is done when the application has taken it, else when it was received. */
    constructor(full: number, manual: boolean);
    get done(): number;
    get window(): number;
    /** Counts a reliable message in, and returns its number. */
    message(size: number, now: number): number;
    gap(from: number, to: number, now: number): void;
    /** The application has taken the message with this number. */
    release(number: number, now: number): void;
    /** The peer is being told where this end stands. */
    stated(): void;
}
