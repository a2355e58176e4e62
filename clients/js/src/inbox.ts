/** The messages that this end receives: how many, what the peer may still send, and when to say so. See docs/protocol.md §4, §6. */

import { Code, demand } from './frame.js';

/** What a message costs beyond its payload. */
const COST = 32;
const ACK_AFTER = 200;
const ACK_MESSAGES = 64;

export class Inbox {
  recv = 0;
  /** When an ACK is due. */
  due = Infinity;

  /** Messages that the application has not taken yet: number and cost. */
  #held: [number: number, cost: number][] = [];
  #cost = 0;
  /** What the peer may send beyond what was received. */
  #credit = 0;
  #stated = 0;
  #unstated = 0;

  /** In manual mode a message is done when the application has taken it, else when it was received. */
  constructor(
    readonly full: number,
    readonly manual: boolean,
  ) {}

  get done(): number {
    return (this.manual && this.#held[0] ? this.#held[0][0] - 1 : this.recv);
  }

  get window(): number {
    return Math.max(0, this.full - this.#cost);
  }

  /** Counts a reliable message in, and returns its number. */
  message(size: number, now: number): number {
    const cost = size + COST;
    demand(this.#credit > 0, Code.Window);
    demand(this.recv < Number.MAX_SAFE_INTEGER, Code.Counters);
    this.recv++;
    this.#credit -= cost;
    this.#cost += cost;
    this.#unstated += cost;
    this.#held.push([this.recv, cost]);
    this.#acknowledge(now, this.recv - this.#stated >= ACK_MESSAGES || this.#unstated >= this.full / 2);
    return this.recv;
  }

  gap(from: number, to: number, now: number): void {
    demand(from === this.recv + 1, Code.Counters);
    this.recv = to;
    this.#acknowledge(now);
  }

  /** The application has taken the message with this number. */
  release(number: number, now: number): void {
    const i = this.#held.findIndex((held) => held[0] === number);
    if (i < 0) return;
    this.#cost -= this.#held.splice(i, 1)[0]![1];
    const plenty = this.window - this.#credit >= this.full / 2;
    if (plenty || this.#credit <= 0 || (this.manual && !i)) this.#acknowledge(now, plenty);
  }

  /** The peer is being told where this end stands. */
  stated(): void {
    this.#stated = this.recv;
    this.#unstated = 0;
    this.#credit = this.window;
    this.due = Infinity;
  }

  #acknowledge(now: number, atOnce = false): void {
    this.due = Math.min(this.due, atOnce ? now : now + ACK_AFTER);
  }
}
