/** The messages that this end receives: how many, what the peer may still send, and when to say so. See docs/protocol.md §4, §6. */

import { Code, MAX, demand } from './frame.js';

/** What a message costs beyond its payload. */
const COST = 32;
const ACK_AFTER = 200;
const ACK_MESSAGES = 64;

export class Inbox {
  recv = 0;
  /** When an ACK is due. */
  due = Infinity;

  /** Messages that the application has not taken yet: number and cost; and their cost in all. */
  private held: [number: number, cost: number][] = [];
  private heldCost = 0;
  /** What the peer may send beyond what was received. */
  private credit = 0;
  private stated = 0;
  private unstated = 0;

  /** In manual mode a message is done when the application has taken it, else when it was received. */
  constructor(
    private readonly full: number,
    private readonly manual: boolean,
  ) {}

  get done(): number {
    return this.manual && this.held[0] ? this.held[0][0] - 1 : this.recv;
  }

  get open(): number {
    return Math.max(0, this.full - this.heldCost);
  }

  /** Counts a reliable message in, and returns what to call when the application has taken it. */
  message(size: number, now: number): (now: number) => void {
    demand(this.credit > 0, Code.Window);
    demand(this.recv < MAX, Code.Counters);
    const held: [number, number] = [++this.recv, size + COST];
    this.credit -= held[1];
    this.heldCost += held[1];
    this.unstated += held[1];
    this.held.push(held);
    this.soon(now, this.recv - this.stated >= ACK_MESSAGES || this.unstated >= this.full / 2);
    return (now) => this.release(held, now);
  }

  gap(from: number, to: number, now: number): void {
    demand(from === this.recv + 1, Code.Counters);
    this.recv = to;
    this.soon(now);
  }

  /** The peer is being told where this end stands. */
  state(): void {
    this.stated = this.recv;
    this.unstated = 0;
    this.credit = this.open;
    this.due = Infinity;
  }

  private release(held: [number, number], now: number): void {
    const i = this.held.indexOf(held);
    this.held.splice(i, 1);
    this.heldCost -= held[1];
    const plenty = this.open - this.credit >= this.full / 2;
    if (plenty || this.credit <= 0 || (this.manual && !i)) this.soon(now, plenty);
  }

  private soon(now: number, atOnce = false): void {
    this.due = Math.min(this.due, atOnce ? now : now + ACK_AFTER);
  }
}
