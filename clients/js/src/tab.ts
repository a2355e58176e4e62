/**
 * A session that survives the reload of its page, and is used by one tab only.
 *
 * The session storage belongs to a tab, but is copied when the tab is duplicated. So a tab holds a lock named after its session: who
 * finds the lock taken is the copy.
 */

import type { Stored } from './session.js';

export type SessionStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

export class Tab {
  /** A page that holds a lock cannot be kept for the way back. */
  release: () => void = () => {};
  private last = '';

  constructor(
    private readonly key: string,
    private readonly storage: SessionStorage,
  ) {}

  /** Returns the session that an earlier page of this tab has left. */
  async restore(): Promise<Stored | undefined> {
    try {
      const stored: Stored = JSON.parse(this.storage.getItem(this.key)!);
      if (stored[1].length && (await this.hold(stored[0]))) return stored;
    } catch {
      // Nothing is there, or nothing of ours.
    }
    return this.forget();
  }

  /** Holds the session with this id. Returns false if another tab has it. */
  async hold(id: Iterable<number>): Promise<boolean> {
    this.release();
    const { locks } = navigator as { locks?: LockManager };
    if (!locks) return true;
    return new Promise((resolve) => {
      const held = (lock: unknown) => {
        resolve(!!lock);
        return lock && new Promise<void>((release) => (this.release = release));
      };
      // Without permission for locks, nothing tells copies apart but the server.
      locks.request(`everwire ${this.key} ${[...id]}`, { ifAvailable: true }, held).catch(() => resolve(true));
    });
  }

  save(stored: Stored): void {
    const text = JSON.stringify(stored);
    if (text === this.last) return;
    try {
      this.storage.setItem(this.key, (this.last = text));
    } catch {
      // Storage is full or forbidden: the session lives as long as its page.
    }
  }

  forget(): undefined {
    this.last = '';
    this.storage.removeItem(this.key);
  }
}
