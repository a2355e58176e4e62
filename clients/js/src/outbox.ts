/** The messages that this end sends: their numbers, the buffer, the peer's window. See docs/protocol.md §3, §6 and §7. */

import { Code, demand, payloadOf, type Counts } from './frame.js';
import type { Gap } from './session.js';

/** What a message costs beyond its payload. A frame has one byte that its payload has not. */
const COST = 31;

const RESTART = 4;
const OVERSIZE = 5;

export class Outbox {
  /** The number that the next accepted message gets. */
  next = 1;
  /** The number of the oldest message that is kept. */
  lo = 1;
  /** The number of the last message, or end of a gap, that was put on this socket. */
  position = 0;
  /** The highest number that the peer stated to have received. */
  acked = 0;
  /** The payload bytes that are kept. */
  bytes = 0;

  /** From `lo` on; null where a message became a gap. */
  #frames: (Uint8Array | null)[] = [];
  #window = 0;
  /** The cost of what is on this socket and not acknowledged. */
  #inFlight = 0;
  #freed = 0;
  /** The end of the last gap that the application knows of. */
  #announced = 0;

  get length(): number {
    return this.#frames.length;
  }

  /** Keeps a DATA frame until the peer needs it no more. */
  accept(frame: Uint8Array): void {
    this.#frames.push(frame);
    this.bytes += frame.length - 1;
    this.next++;
  }

  /** A client that was restored has numbers, but not the messages. */
  restore(next: number): void {
    this.next = this.lo = next;
  }

  /** Begins a socket whose WELCOME says this. */
  resume({ recv, done, window }: Counts): void {
    demand(recv >= this.acked && recv < this.next && done <= recv && done >= this.#freed, Code.Counters);
    this.acked = this.position = recv;
    this.#inFlight = 0;
    this.#window = window;
    this.#free(done);
  }

  /** Takes what the peer states. */
  acknowledge({ recv, done, window }: Counts): void {
    demand(recv >= this.acked && recv <= this.position && done >= this.#freed, Code.Counters);
    while (this.acked < recv) this.#inFlight -= this.#cost(++this.acked);
    this.#window = window;
    this.#free(done);
  }

  /** Puts on the socket what the peer's window takes. */
  pump(maxMessage: number, send: (frame: Uint8Array) => void, gap: (gap: Gap) => void): void {
    while (this.position + 1 < this.next) {
      const from = this.position + 1;
      const frame = this.#at(from, maxMessage);
      if (frame) {
        if (this.#inFlight >= this.#window) return;
        this.position = from;
        this.#inFlight += this.#cost(from);
        send(frame);
      } else {
        const reason = from < this.lo ? RESTART : OVERSIZE;
        let to = from < this.lo ? this.lo - 1 : from;
        while (reason === OVERSIZE && to + 1 < this.next && !this.#at(to + 1, maxMessage)) to++;
        this.position = to;
        const announced = to <= this.#announced;
        this.#announced = Math.max(this.#announced, to);
        gap({ direction: 'out', from, to, reason, announced });
      }
    }
  }

  /** Returns the messages above this number that are kept. */
  messages(above: number): (string | Uint8Array)[] {
    return this.#frames.flatMap((frame, i) => (frame && this.lo + i > above ? [payloadOf(frame)] : []));
  }

  /** The frames that are kept. */
  get frames(): Uint8Array[] {
    return this.#frames.filter((frame) => frame !== null);
  }

  #at(number: number, maxMessage: number): Uint8Array | null | undefined {
    const frame = this.#frames[number - this.lo];
    if (frame && frame.length - 1 > maxMessage) {
      this.bytes -= frame.length - 1;
      return (this.#frames[number - this.lo] = null);
    }
    return frame;
  }

  #cost(number: number): number {
    const frame = this.#frames[number - this.lo];
    return frame ? frame.length + COST : 0;
  }

  #free(done: number): void {
    this.#freed = done;
    for (; this.lo <= done; this.lo++) this.bytes -= (this.#frames.shift()?.length ?? 1) - 1;
  }
}
