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
export class TabStore implements SessionStore {
  /** A page that holds a lock cannot be kept for the way back. */
  #release = () => {};
  #last = '';
  #key: string;
  #storage: SessionStorage;

  constructor(name: string, storage: SessionStorage = sessionStorage) {
    this.#key = `everwire ${name}`;
    this.#storage = storage;
  }

  async restore(): Promise<Stored | undefined> {
    try {
      const stored: Stored = JSON.parse(this.#storage.getItem(this.#key)!);
      if (stored[1].length && (await this.claim(stored[0]))) return stored;
    } catch {
      // Nothing is there, or nothing of ours.
    }
    this.forget();
    return undefined;
  }

  async claim(id: Iterable<number>): Promise<boolean> {
    this.release();
    const locks = globalThis.navigator?.locks as LockManager | undefined;
    if (!locks) return true;
    return new Promise((resolve) => {
      const held = (lock: Lock | null) => {
        resolve(!!lock);
        return lock && new Promise<void>((release) => (this.#release = release));
      };
      // Where locks are forbidden, nothing tells copies apart but the server.
      locks.request(`${this.#key} ${[...id]}`, { ifAvailable: true }, held).catch(() => resolve(true));
    });
  }

  release(): void {
    this.#release();
  }

  save(stored: Stored): void {
    const text = JSON.stringify(stored);
    if (text === this.#last) return;
    try {
      this.#storage.setItem(this.#key, (this.#last = text));
    } catch {
      // Storage is full or forbidden: the session lives as long as its page.
    }
  }

  forget(): void {
    this.#last = '';
    this.#storage.removeItem(this.#key);
  }
}
