/** Whether a socket lives, by the wall clock. Belongs to one socket and goes with it. See docs/protocol.md §9. */

import { Code, demand } from './frame.js';

/** After so long without an acknowledgement or anything else, the peer is asked. */
const PATIENCE = 1000;
const ANSWER_MAX = 5000;
const DELAYED_ACK = 200;

/** A smoothed round trip, as in RFC 6298. It belongs to the path and outlives a socket. */
export class RoundTrip {
  /** In milliseconds. */
  smoothed: number | undefined;
  private deviation = 0;

  sample(ms: number): void {
    const before = this.smoothed ?? ms;
    this.deviation = this.smoothed === undefined ? ms / 2 : (this.deviation * 3 + Math.abs(before - ms)) / 4;
    this.smoothed = (before * 7 + ms) / 8;
  }

  /** How long an answer may take before the socket is suspect. */
  get patience(): number {
    return Math.min(ANSWER_MAX, Math.max(PATIENCE, (this.smoothed ?? 0) + 4 * this.deviation + DELAYED_ACK));
  }
}

export class Liveness {
  /** No answer came to a question: another socket should be tried. */
  suspected = false;
  /** When silence makes the socket suspect. */
  suspectDue = Infinity;

  /** Since when something is unacknowledged. */
  private waiting = Infinity;
  private pings: [token: number, sent: number, at: number][] = [];
  private token = 0;

  constructor(
    private readonly roundTrip: RoundTrip,
    private readonly silence: number,
    private last: number,
  ) {}

  /** Something arrived. */
  heard(now: number): void {
    this.last = now;
    this.suspectDue = Infinity;
    this.suspected = false;
  }

  /** Whether something that was sent is unacknowledged. */
  waits(waiting: boolean, now: number): void {
    this.waiting = waiting ? Math.min(this.waiting, now) : Infinity;
  }

  /** Asks the peer: returns the token of a PING. `sent` is what its counts say. */
  ask(sent: number, now: number): number {
    this.pings.push([++this.token, sent, now]);
    this.suspectDue = Math.min(this.suspectDue, now + this.roundTrip.patience);
    return this.token;
  }

  /** A PONG came. It must acknowledge what was sent before its PING. */
  answered(token: number, recv: number, now: number): void {
    const ping = this.pings.find((ping) => ping[0] === token);
    if (!ping) return;
    demand(recv >= ping[1], Code.Counters);
    this.pings = this.pings.filter((ping) => ping[0] > token);
    this.roundTrip.sample(now - ping[2]);
  }

  /** Nobody answered. */
  suspect(): void {
    this.suspected = true;
    this.suspectDue = Infinity;
  }

  /** When the peer should be asked. */
  get questionDue(): number {
    return this.suspected || this.suspectDue < Infinity ? Infinity : Math.max(this.waiting, this.last) + PATIENCE;
  }

  /** When silence makes the socket dead. */
  get deadDue(): number {
    return this.last + this.silence;
  }
}
