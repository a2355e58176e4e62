/** The messages that this end sends: their numbers, the buffer, the peer's window. See docs/protocol.md §3, §6 and §7. */

import { Code, demand, payloadOf, type Counts, type Payload } from './frame.js';

/** What a message costs beyond its payload, which is a byte less than its frame. */
const COST = 31;

/** Reasons of gaps. */
export const EVICTED = 1;
const RESTART = 4;
const OVERSIZE = 5;

/** DATA frames in their order; null where a message became a gap. */
export type Kept = (Uint8Array | null)[];

export type Outbox = ReturnType<typeof createOutbox>;

/** The next message gets the number `next`; those in `kept` have the numbers before. */
export function createOutbox(next = 1, kept: Kept = []) {
  const first = next - kept.length;
  /** What the peer needs no more. */
  let freed = 0;
  let credit = 0;
  /** The cost of what is on this socket and not acknowledged. */
  let inFlight = 0;
  /** The end of the last gap that the application knows of. */
  let announced = 0;

  /** What a frame in the buffer carries, in bytes. */
  const size = (frame: Uint8Array | null | undefined): number => (frame ? frame.length - 1 : 0);
  const cost = (number: number): number => (kept[number - self.lo]?.length ?? -COST) + COST;

  /** Returns a frame. What is larger than the peer takes becomes a gap. */
  const at = (number: number, maxMessage: number): Uint8Array | null | undefined => {
    const frame = kept[number - self.lo];
    if (size(frame) <= maxMessage) return frame;
    self.bytes -= size(frame);
    return (kept[number - self.lo] = null);
  };

  const free = (): void => {
    self.bytes -= size(kept.shift());
    self.lo++;
  };

  const self = {
    kept,
    /** The number that the next accepted message gets, and that of the oldest that is kept. */
    next,
    lo: first,
    /** The number of the last message, or end of a gap, that was put on this socket. */
    position: 0,
    /** The highest number that the peer stated to have received. */
    acked: 0,
    /** Payload bytes that are kept. */
    bytes: 0,

    /** The messages above this number that are kept. */
    payloads: (above?: number): Payload[] =>
      kept.flatMap((frame, i) => (frame && self.lo + i > (above ?? self.acked) ? [payloadOf(frame)] : [])),

    /** Keeps a DATA frame until the peer needs it no more. */
    accept(frame: Uint8Array) {
      kept.push(frame);
      self.bytes += size(frame);
      self.next++;
    },

    /** Gives up the oldest message, which the application is told. */
    giveUp() {
      announced = self.lo;
      free();
    },

    /** Begins a socket whose WELCOME says this. */
    begin(counts: Counts) {
      self.position = self.next - 1;
      self.acknowledge(counts);
      self.position = self.acked;
      inFlight = 0;
    },

    /** Takes what the peer states. */
    acknowledge([recv, done, , window]: Counts) {
      demand(recv >= self.acked && recv <= self.position && done >= freed, Code.Counters);
      while (self.acked < recv) inFlight -= cost(++self.acked);
      credit = window;
      freed = done;
      while (self.lo <= done) free();
    },

    /** Puts on the socket what the peer's window takes. The last argument of `gap` is whether the application knows of it. */
    pump(
      maxMessage: number,
      send: (frame: Uint8Array) => void,
      gap: (from: number, to: number, reason: number, known: boolean) => void,
    ) {
      for (let from: number; (from = self.position + 1) < self.next; ) {
        const frame = at(from, maxMessage);
        if (frame) {
          if (inFlight >= credit) return;
          self.position = from;
          inFlight += cost(from);
          send(frame);
        } else {
          const [to, reason] = from < first ? [first - 1, RESTART] : from < self.lo ? [self.lo - 1, EVICTED] : [from, OVERSIZE];
          const known = to <= announced;
          self.position = to;
          if (!known) announced = to;
          gap(from, to, reason, known);
        }
      }
    },
  };
  for (const frame of kept) self.bytes += size(frame);
  return self;
}
