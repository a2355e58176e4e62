/** Where a session is kept that outlives its page. */
import type { Stored } from './session.js';
export interface SessionStore {
    /** Returns what an earlier page has left, if no other page uses it. */
    restore(): Promise<Stored | undefined>;
    /**
     * Claims the session with this id for this page; without an id, the one that was restored or claimed last, if there is one. Returns
     * false if another page has it.
     */
    claim(id?: Iterable<number>): Promise<boolean>;
    /** Gives the claim back, for as long as the page sleeps. */
    release(): void;
    /** Stores, at once. The list of messages stays the client's and goes on changing. */
    save(stored: Stored): void;
    /** There is nothing to go on with. Gives the claim back too. */
    forget(): void;
}
