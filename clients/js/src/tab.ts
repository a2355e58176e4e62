/**
 * A session that survives the reload of its page, and is used by one tab only.
 *
 * The session storage belongs to a tab, but is copied when the tab is duplicated. So a tab holds a lock named after its session: who
 * finds the lock taken is the copy.
 */

import type { Stored } from './session.js';

export type SessionStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

export class Tab {
  #release: (() => void) | undefined;
  #last = '';

  constructor(
    readonly key: string,
    readonly storage: SessionStorage,
    readonly locks?: Pick<LockManager, 'request'>,
  ) {}

  /** Returns the session that an earlier page of this tab has left. */
  async restore(): Promise<Stored | undefined> {
    try {
      const stored: Stored = JSON.parse(this.storage.getItem(this.key) ?? '');
      if (stored.token.length && (await this.hold(stored.id))) return stored;
    } catch {
      // Nothing is there, or not of ours.
    }
    this.forget();
    return undefined;
  }

  /** Holds the session with this id. Returns false if another tab has it. */
  hold(id: number[]): Promise<boolean> {
    this.release();
    return new Promise((resolve) => {
      if (!this.locks) return resolve(true);
      const held = (lock: unknown) => {
        resolve(!!lock);
        return lock ? new Promise<void>((release) => (this.#release = release)) : undefined;
      };
      // Without permission for locks, nothing tells copies apart but the server.
      this.locks.request(`everwire ${this.key} ${id}`, { ifAvailable: true }, held).catch(() => resolve(true));
    });
  }

  /** A page that holds a lock cannot be kept for the way back. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
  }

  save(stored: Stored): void {
    const text = JSON.stringify(stored);
    if (text === this.#last) return;
    this.#last = text;
    try {
      this.storage.setItem(this.key, text);
    } catch {
      // Storage is full or forbidden: the session lives as long as its page.
    }
  }

  forget(): void {
    this.#last = '';
    this.storage.removeItem(this.key);
  }
}
