/** The messages that this end receives: how many, what the peer may still send, and when to say so. See docs/protocol.md §4, §6. */

import { Code, MAX, demand } from './frame.js';

/** What a message costs beyond its payload. */
const COST = 32;
const ACK_AFTER = 200;
const ACK_MESSAGES = 64;

export type Inbox = ReturnType<typeof createInbox>;

/** In manual mode a message is done when the application has taken it, else when it was received. */
export function createInbox(clock: () => number, full: number, manual: boolean, first = 0) {
  /** Messages that the application has not taken yet: number and cost; and their cost in all. */
  const held: [number: number, cost: number][] = [];
  let heldCost = 0;
  /** What the peer may send beyond what was received. */
  let credit = 0;
  let stated = 0;
  let unstated = 0;

  const soon = (atOnce = false) => {
    self.due = Math.min(self.due, clock() + (atOnce ? 0 : ACK_AFTER));
  };

  const self = {
    recv: first,
    /** When an ACK is due. */
    due: Infinity,

    done: () => (manual && held[0] ? held[0][0] - 1 : self.recv),
    room: () => Math.max(0, full - heldCost),

    /** Counts a reliable message in, and returns what to call when the application has taken it. */
    message(size: number) {
      demand(credit > 0, Code.Window);
      demand(self.recv < MAX, Code.Counters);
      const cost = size + COST;
      const entry: [number, number] = [++self.recv, cost];
      credit -= cost;
      heldCost += cost;
      unstated += cost;
      held.push(entry);
      soon(self.recv - stated >= ACK_MESSAGES || unstated >= full / 2);
      return () => {
        const i = held.indexOf(entry);
        held.splice(i, 1);
        heldCost -= cost;
        const plenty = self.room() - credit >= full / 2;
        if (plenty || credit <= 0 || (manual && !i)) soon(plenty);
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
