/**
 * A session that survives the reload of its page, and is used by one tab only.
 *
 * The session storage belongs to a tab, but is copied when the tab is duplicated. So a tab holds a lock named after its session: who
 * finds the lock taken is the copy.
 */
import type { Stored } from './session.js';
import type { SessionStore } from './store.js';
export type SessionStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
/** Keeps a session in the session storage of its tab, under a name of its own for each socket of a page. */
export declare class TabStore implements SessionStore {
    #private;
    constructor(name: string, storage?: SessionStorage);
    restore(): Promise<Stored | undefined>;
    claim(id: Iterable<number>): Promise<boolean>;
    release(): void;
    save(stored: Stored): void;
    forget(): void;
}
