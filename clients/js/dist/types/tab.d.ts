/**
 * A session that survives the reload of its page, and is used by one tab only.
 *
 * The session storage belongs to a tab, but is copied when the tab is duplicated. So a tab holds a lock named after its session: who
 * finds that lock taken, and not given back within a second, is the copy.
 */
import type { Stored } from './session.js';
import type { SessionStore } from './store.js';
export type SessionStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
export interface TabStoreOptions {
    /** Whether messages that the server has not acknowledged survive too. Without, they are a gap after a reload. Default: false. */
    messages?: boolean;
    /** Default: the session storage of the tab. */
    storage?: SessionStorage;
}
/** Keeps a session in the session storage of its tab, under a name of its own for each socket of a page. */
export declare class TabStore implements SessionStore {
    #private;
    constructor(name: string, { messages, storage }?: TabStoreOptions);
    restore(): Promise<Stored | undefined>;
    claim(id?: Iterable<number>): Promise<boolean>;
    release(): void;
    save([id, token, attempt, recv, next, kept]: Stored): void;
    forget(): void;
}
