/** The messages that this end receives: how many, what the peer may still send, and when to say so. See docs/protocol.md §4, §6. */

import { Code, MAX, demand } from './frame.js';

/** What a message costs beyond its payload. */
const COST = 32;
const ACK_AFTER = 200;
const ACK_MESSAGES = 64;

export type Inbox = ReturnType<typeof createInbox>;

/** In manual mode a message is done when the application has taken it, else when it was received. */
export function createInbox(clock: () => number, full: number, manual: boolean, first = 0) {
  /** Messages that the application has not taken yet, in their order; and their cost in all. */
  const held = new Set<number>();
  let heldCost = 0;
  /** What the peer may send beyond what was received. */
  let credit = 0;
  let stated = 0;
  let unstated = 0;

  const soon = (atOnce?: boolean) => {
    self.due = Math.min(self.due, clock() + (atOnce ? 0 : ACK_AFTER));
  };

  const self = {
    recv: first,
    /** When an ACK is due. */
    due: Infinity,

    done: ([oldest] = held) => (manual && oldest ? oldest - 1 : self.recv),
    room: () => Math.max(0, full - heldCost),

    /** Counts a reliable message in, and returns what to call when the application has taken it, which calls `then`. */
    message(size: number, then: () => void) {
      demand(credit > 0, Code.Window);
      demand(self.recv < MAX, Code.Counters);
      const cost = size + COST;
      const number = ++self.recv;
      credit -= cost;
      heldCost += cost;
      unstated += cost;
      held.add(number);
      soon(self.recv - stated >= ACK_MESSAGES || unstated >= full / 2);
      return () => {
        held.delete(number);
        heldCost -= cost;
        const plenty = self.room() - credit >= full / 2;
        if (plenty || credit <= 0 || manual) soon(plenty);
        then();
      };
    },

    gap(from: number, to: number) {
      demand(from === self.recv + 1, Code.Counters);
      self.recv = to;
      soon();
    },

    /** The peer is being told where this end stands. */
    stating() {
      stated = self.recv;
      unstated = 0;
      credit = self.room();
      self.due = Infinity;
    },
  };
  return self;
}
