/**
 * A session that survives the reload of its page, and is used by one tab only.
 *
 * The session storage belongs to a tab, but is copied when the tab is duplicated. So a tab holds a lock named after its session: who
 * finds that lock taken, and not given back within a second, is the copy.
 */

import type { Kept } from './outbox.js';
import type { Stored } from './session.js';
import type { SessionStore } from './store.js';

/** A page that is reloaded may find the lock of the one before, which goes soon; a copy finds that of a page that stays. */
const CLAIM_WITHIN = 1000;

export type SessionStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

export interface TabStoreOptions {
  /** Whether messages that the server has not acknowledged survive too. Without, they are a gap after a reload. Default: false. */
  messages?: boolean;
  /** Default: the session storage of the tab. */
  storage?: SessionStorage;
}

/** Keeps a session in the session storage of its tab, under a name of its own for each socket of a page. */
export class TabStore implements SessionStore {
  /** A page that holds a lock cannot be kept for the way back. */
  #release = () => {};
  /** Ends the waiting for a page to wake that slept while it waited for its lock. */
  #waking = new AbortController();
  /** The session whose lock this page holds. */
  #claimed = '';
  #last = '';
  /** The name of the session, which a resumed one learns again when it is attached. */
  #id: number[] = [];
  #key: string;
  #name: string;
  #storage: SessionStorage;
  #messages: boolean;
  /** The messages that are stored: from this number on, and up to that one. */
  #lo = 1;
  #next = 1;

  constructor(name: string, { messages = false, storage = sessionStorage }: TabStoreOptions = {}) {
    this.#name = name;
    this.#key = `everwire ${name}`;
    this.#storage = storage;
    this.#messages = messages;
  }

  async restore(): Promise<Stored | undefined> {
    try {
      const stored: Stored = JSON.parse(this.#storage.getItem(this.#key)!);
      const [id, token, , , next] = stored;
      // Read before anything else happens to them.
      const kept = this.#restoreMessages(next);
      const ours = token.length > 0 && (await this.#request(id));
      // Others may have stored something while we slept.
      if (ours === undefined) return await this.restore();
      if (ours) {
        this.#id = id;
        return [id, token, stored[2], stored[3], next, kept];
      }
    } catch {
      // Nothing is there, or nothing of ours.
    }
    this.forget();
    return undefined;
  }

  async claim(id: Iterable<number> = this.#id): Promise<boolean> {
    const name = `${[...id]}`;
    // Between giving it back and asking for it again a copy might take it.
    if (!name || name === this.#claimed) return true;
    return (await this.#request(id)) ?? this.claim(id);
  }

  /** Asks for a lock. Resolves to nothing if the page slept meanwhile, once it has woken: that is none of another page's doing. */
  async #request(id: Iterable<number>): Promise<boolean | undefined> {
    this.#leave();
    const locks = globalThis.navigator?.locks as LockManager | undefined;
    if (!locks) return true;
    const waiting = new AbortController();
    const { signal } = waiting;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        resolve(false);
        waiting.abort();
      }, CLAIM_WITHIN);
      this.#release = () => {
        clearTimeout(timer);
        waiting.abort();
        const waking = (this.#waking = new AbortController());
        const woken = () => {
          waking.abort();
          resolve(undefined);
        };
        for (const type of ['pageshow', 'resume']) globalThis.addEventListener?.(type, woken, { signal: waking.signal });
        this.#release = () => {};
      };
      const held = () => {
        if (signal.aborted) return undefined; // It came while the wait was given up.
        clearTimeout(timer);
        resolve(true);
        this.#claimed = `${[...id]}`;
        return new Promise<void>((release) => {
          this.#release = () => {
            this.#claimed = '';
            release();
          };
        });
      };
      // Where locks are forbidden, nothing tells copies apart but the server.
      const failed = () => {
        if (signal.aborted) return;
        clearTimeout(timer);
        resolve(true);
      };
      locks.request(`${this.#key} ${[...id]}`, { signal }, held).catch(failed);
    });
  }

  release(): void {
    this.#release();
  }

  /** Gives the claim back for good. */
  #leave(): void {
    this.#release();
    this.#waking.abort();
  }

  save([id, token, attempt, recv, next, kept = []]: Stored): void {
    if (!token.length) return; // Nobody could go on with it.
    if (id.length && `${id}` !== `${this.#id}`) {
      this.#forgetMessages();
      this.#id = id;
    }
    try {
      if (this.#messages) this.#saveMessages(next, kept);
      const text = JSON.stringify([this.#id, token, attempt, recv, next]);
      if (text !== this.#last) this.#storage.setItem(this.#key, (this.#last = text));
    } catch {
      // Storage is full or forbidden. What is stored must not be older than what is done, so nothing is.
      this.#messages = false;
      this.#forgetAll();
    }
  }

  forget(): void {
    this.#leave();
    this.#forgetAll();
  }

  #forgetAll(): void {
    this.#last = '';
    this.#id = [];
    this.#forgetMessages();
    this.#storage.removeItem(this.#key);
  }

  // Messages have entries of their own, so that each is written once.

  #saveMessages(next: number, kept: Kept): void {
    const lo = next - kept.length;
    for (; this.#lo < Math.min(lo, this.#next); this.#lo++) this.#storage.removeItem(this.#keyOf(this.#lo));
    this.#lo = lo;
    for (this.#next = Math.max(this.#next, lo); this.#next < next; this.#next++) {
      let text = '';
      for (const byte of kept[this.#next - lo] ?? []) text += String.fromCharCode(byte);
      this.#storage.setItem(this.#keyOf(this.#next), text);
    }
  }

  #restoreMessages(next: number): Kept {
    const kept: Kept = [];
    this.#lo = this.#next = next;
    for (let text; (text = this.#storage.getItem(this.#keyOf(this.#lo - 1))) !== null; this.#lo--) {
      kept.unshift(text ? Uint8Array.from(text, (character) => character.charCodeAt(0)) : null);
    }
    return kept;
  }

  #forgetMessages(): void {
    for (; this.#lo < this.#next; this.#lo++) this.#storage.removeItem(this.#keyOf(this.#lo));
    this.#lo = this.#next = 1;
  }

  #keyOf(number: number): string {
    // No session can be called so, whatever its name.
    return `everwire#${number} ${this.#name}`;
  }
}
