/** Whether a socket lives, by the wall clock. Belongs to one socket and goes with it. See docs/protocol.md §9. */

import { Code, demand, type Counts } from './frame.js';

/** After so long without an acknowledgement or anything else, the peer is asked. */
const PATIENCE = 1000;
const ANSWER_MIN = 1000;
const ANSWER_MAX = 5000;
const DELAYED_ACK = 200;

/** A smoothed round trip, as in RFC 6298. It belongs to the path and outlives a socket. */
export class RoundTrip {
  /** In milliseconds. */
  smoothed: number | undefined;
  #deviation = 0;

  sample(ms: number): void {
    const smoothed = this.smoothed;
    this.#deviation = smoothed === undefined ? ms / 2 : (this.#deviation * 3 + Math.abs(smoothed - ms)) / 4;
    this.smoothed = smoothed === undefined ? ms : (smoothed * 7 + ms) / 8;
  }

  /** How long an answer may take before the socket is suspect. */
  get patience(): number {
    const expected = (this.smoothed ?? 0) + 4 * this.#deviation + DELAYED_ACK;
    return Math.min(ANSWER_MAX, Math.max(ANSWER_MIN, expected));
  }
}

export class Liveness {
  /** No answer came to a question: another socket should be tried. */
  suspected = false;

  #heard: number;
  /** Since when something is unacknowledged. */
  #waiting = Infinity;
  #pings: { token: number; sent: number; at: number }[] = [];
  #token = 0;
  /** When the answer to the last question is overdue. */
  #overdue = Infinity;

  constructor(
    readonly roundTrip: RoundTrip,
    readonly silence: number,
    now: number,
  ) {
    this.#heard = now;
  }

  /** Something arrived. */
  heard(now: number): void {
    this.#heard = now;
    this.#overdue = Infinity;
    this.suspected = false;
  }

  /** Whether something that was sent is unacknowledged. */
  waits(waiting: boolean, now: number): void {
    this.#waiting = waiting ? Math.min(this.#waiting, now) : Infinity;
  }

  /** Asks the peer: returns the token of a PING. `sent` is what its counts say. */
  ask(sent: number, now: number): number {
    this.#pings.push({ token: ++this.#token, sent, at: now });
    this.#overdue = Math.min(this.#overdue, now + this.roundTrip.patience);
    return this.#token;
  }

  /** A PONG came. It must acknowledge what was sent before its PING. */
  answered(token: number, { recv }: Counts, now: number): void {
    const ping = this.#pings.find((ping) => ping.token === token);
    if (!ping) return;
    demand(recv >= ping.sent, Code.Counters);
    this.#pings = this.#pings.filter((ping) => ping.token > token);
    this.roundTrip.sample(now - ping.at);
  }

  /** When the peer should be asked. */
  get questionDue(): number {
    return this.suspected || this.#overdue < Infinity ? Infinity : Math.max(this.#waiting, this.#heard) + PATIENCE;
  }

  /** When silence makes the socket suspect. */
  get suspectDue(): number {
    return this.suspected ? Infinity : this.#overdue;
  }

  /** When silence makes the socket dead. */
  get deadDue(): number {
    return this.#heard + this.silence;
  }
}
