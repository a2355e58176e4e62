/** The messages that this end sends: their numbers, the buffer, the peer's window. See docs/protocol.md §3, §6 and §7. */

import { Code, demand, payloadOf, type Counts, type Payload } from './frame.js';

/** What a message costs beyond its payload, which is a byte less than its frame. */
const COST = 31;

const RESTART = 4;
const OVERSIZE = 5;

export type Outbox = ReturnType<typeof createOutbox>;

export function createOutbox(first = 1) {
  /** From `lo` on; null where a message became a gap. */
  const kept: (Uint8Array | null)[] = [];
  /** What the peer needs no more. */
  let freed = 0;
  let credit = 0;
  /** The cost of what is on this socket and not acknowledged. */
  let inFlight = 0;
  /** The end of the last gap that the application knows of. */
  let announced = 0;

  const cost = (number: number): number => (kept[number - self.lo]?.length ?? -COST) + COST;

  /** Returns a frame. What is larger than the peer takes becomes a gap. */
  const at = (number: number, maxMessage: number): Uint8Array | null | undefined => {
    const frame = kept[number - self.lo];
    if (!frame || frame.length - 1 <= maxMessage) return frame;
    self.bytes -= frame.length - 1;
    return (kept[number - self.lo] = null);
  };

  const self = {
    /** The number that the next accepted message gets, and that of the oldest that is kept. */
    next: first,
    lo: first,
    /** The number of the last message, or end of a gap, that was put on this socket. */
    position: 0,
    /** The highest number that the peer stated to have received. */
    acked: 0,
    /** Payload bytes that are kept. */
    bytes: 0,

    /** The DATA frames that are kept. */
    frames: (): Uint8Array[] => kept.filter((frame) => frame !== null),

    /** The messages above this number that are kept. */
    messages: (above?: number): Payload[] =>
      kept.flatMap((frame, i) => (frame && self.lo + i > (above ?? self.acked) ? [payloadOf(frame)] : [])),

    /** Keeps a DATA frame until the peer needs it no more. */
    accept(frame: Uint8Array) {
      kept.push(frame);
      self.bytes += frame.length - 1;
      self.next++;
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
      for (; self.lo <= done; self.lo++) self.bytes -= (kept.shift()?.length ?? 1) - 1;
    },

    /** Puts on the socket what the peer's window takes. The last argument of `gap` is whether the application knows of it. */
    pump(
      maxMessage: number,
      send: (frame: Uint8Array) => void,
      gap: (from: number, to: number, reason: number, known: boolean) => void,
    ) {
      for (let from; (from = self.position + 1) < self.next; ) {
        const frame = at(from, maxMessage);
        if (frame) {
          if (inFlight >= credit) return;
          self.position = from;
          inFlight += cost(from);
          send(frame);
        } else {
          const restart = from < self.lo;
          let to = restart ? self.lo - 1 : from;
          while (!restart && to + 1 < self.next && !at(to + 1, maxMessage)) to++;
          const known = to <= announced;
          self.position = to;
          if (!known) announced = to;
          gap(from, to, restart ? RESTART : OVERSIZE, known);
        }
      }
    },
  };
  return self;
}
