/** The messages that this end sends: their numbers, the buffer, the peer's window. See docs/protocol.md §3, §6 and §7. */

import { Code, demand, payloadOf, type Counts } from './frame.js';

/** What a message costs beyond its payload, which is a byte less than its frame. */
const COST = 31;

const RESTART = 4;
const OVERSIZE = 5;

export class Outbox {
  /** The number that the next accepted message gets, and that of the oldest that is kept. */
  next = 1;
  lo = 1;
  /** The number of the last message, or end of a gap, that was put on this socket. */
  position = 0;
  /** The highest number that the peer stated to have received, and to need no more. */
  acked = 0;
  private freed = 0;
  /** From `lo` on; null where a message became a gap. */
  private kept: (Uint8Array | null)[] = [];
  private credit = 0;
  /** The cost of what is on this socket and not acknowledged. */
  private inFlight = 0;
  /** The end of the last gap that the application knows of. */
  private announced = 0;

  /** The DATA frames that are kept. */
  get frames(): Uint8Array[] {
    return this.kept.filter((frame) => frame !== null);
  }

  /** Payload bytes that are kept. */
  bytes = 0;

  /** Keeps a DATA frame until the peer needs it no more. */
  accept(frame: Uint8Array): void {
    this.kept.push(frame);
    this.bytes += frame.length - 1;
    this.next++;
  }

  /** Begins a socket whose WELCOME says this. */
  begin(counts: Counts): void {
    this.position = this.next - 1;
    this.acknowledge(counts);
    this.position = this.acked;
    this.inFlight = 0;
  }

  /** Takes what the peer states. */
  acknowledge([recv, done, , window]: Counts): void {
    demand(recv >= this.acked && recv <= this.position && done >= this.freed, Code.Counters);
    while (this.acked < recv) this.inFlight -= this.cost(++this.acked);
    this.credit = window;
    this.freed = done;
    for (; this.lo <= done; this.lo++) this.bytes -= (this.kept.shift()?.length ?? 1) - 1;
  }

  /** Puts on the socket what the peer's window takes. The last argument of `gap` is whether the application knows of it. */
  pump(
    maxMessage: number,
    send: (frame: Uint8Array) => void,
    gap: (from: number, to: number, reason: number, known: boolean) => void,
  ): void {
    for (let from; (from = this.position + 1) < this.next; ) {
      const frame = this.at(from, maxMessage);
      if (frame) {
        if (this.inFlight >= this.credit) return;
        this.position = from;
        this.inFlight += this.cost(from);
        send(frame);
      } else {
        const restart = from < this.lo;
        let to = restart ? this.lo - 1 : from;
        while (!restart && to + 1 < this.next && !this.at(to + 1, maxMessage)) to++;
        const known = to <= this.announced;
        this.position = to;
        if (!known) this.announced = to;
        gap(from, to, restart ? RESTART : OVERSIZE, known);
      }
    }
  }

  /** Returns the messages above this number that are kept. */
  messages(above: number): (string | Uint8Array)[] {
    return this.kept.flatMap((frame, i) => (frame && this.lo + i > above ? [payloadOf(frame)] : []));
  }

  /** Returns a frame. What is larger than the peer takes becomes a gap. */
  private at(number: number, maxMessage: number): Uint8Array | null | undefined {
    const i = number - this.lo;
    const frame = this.kept[i];
    if (!frame || frame.length - 1 <= maxMessage) return frame;
    this.bytes -= frame.length - 1;
    return (this.kept[i] = null);
  }

  private cost(number: number): number {
    const frame = this.kept[number - this.lo];
    return frame ? frame.length + COST : 0;
  }
}
