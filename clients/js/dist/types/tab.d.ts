/**
 * A session that survives the reload of its page, and is used by one tab only.
 *
 * The session storage belongs to a tab, but is copied when the tab is duplicated. So a tab holds a lock named after its session: who
 * finds the lock taken is the copy.
 */
import type { Stored } from './session.js';
export type SessionStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
export declare class Tab {
    #private;
    readonly key: string;
    readonly storage: SessionStorage;
    readonly locks?: Pick<LockManager, "request"> | undefined;
    constructor(key: string, storage: SessionStorage, locks?: Pick<LockManager, "request"> | undefined);
    /** Returns the session that an earlier page of this tab has left. */
    restore(): Promise<Stored | undefined>;
    /** Holds the session with this id. Returns false if another tab has it. */
    hold(id: number[]): Promise<boolean>;
    /** A page that holds a lock cannot be kept for the way back. */
    release(): void;
    save(stored: Stored): void;
    forget(): void;
}
