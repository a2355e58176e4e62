/** Whether a socket lives, by the wall clock. Belongs to one socket and goes with it. See docs/protocol.md §9. */

import { Code, demand } from './frame.js';

/** After so long without an acknowledgement or anything else, the peer is asked. */
const PATIENCE = 1000;
const ANSWER_MAX = 5000;
/** However much is in doubt. */
const DOUBTFUL_MAX = 64_000;
/** After so long without an acknowledgement, although the peer lives, it is asked; after so long it is given up. */
const STALLED = 10_000;
const STUCK = 60_000;
const DELAYED_ACK = 200;

export type RoundTrip = ReturnType<typeof createRoundTrip>;

/** A smoothed round trip, as in RFC 6298. It belongs to the path and outlives a socket. */
export function createRoundTrip() {
  let deviation = 0;

  const self = {
    /** In milliseconds. */
    smoothed: undefined as number | undefined,
    /**
     * How often a socket was suspected since something last came all the way through. Each doubles the patience, for behind a large message
     * on a slow path no answer is quick.
     */
    doubts: 0,

    sample(ms: number) {
      const before = self.smoothed ?? ms;
      deviation = self.smoothed ? (deviation * 3 + Math.abs(before - ms)) / 4 : ms / 2;
      self.smoothed = (before * 7 + ms) / 8;
    },

    /** How long an answer may take before the socket is suspect, where there are no doubts. */
    patience: () => Math.min(ANSWER_MAX, Math.max(PATIENCE, (self.smoothed ?? 0) + 4 * deviation + DELAYED_ACK)),
  };
  return self;
}

export type Liveness = ReturnType<typeof createLiveness>;

/** `progress`: so much was acknowledged before. */
export function createLiveness(clock: () => number, roundTrip: RoundTrip, silence: number, progress: number) {
  let last = clock();
  /** Since when something is unacknowledged, and no more is acknowledged. */
  let waiting = Infinity;
  /** The last PING, until it is answered. Answers to older ones say nothing more. */
  let ping: [sent: number, at: number] | undefined;
  let token = 0;

  const self = {
    /** When silence makes the socket suspect. 0 when it is: no answer came to a question, and another socket should be tried. */
    suspectDue: Infinity,

    /** When the peer should be asked. */
    questionDue: () =>
      self.suspectDue < Infinity
        ? Infinity
        : Math.min(Math.max(waiting, last) + PATIENCE, ping ? Infinity : waiting + STALLED),

    /** When silence, or a peer that acknowledges nothing, makes the socket dead. */
    deadDue: () => Math.min(last + silence, waiting + STUCK),

    /** Something arrived. */
    heard() {
      last = clock();
      self.suspectDue = Infinity;
    },

    /** So much of what was sent is acknowledged. */
    waits(position: number, acked: number) {
      if (acked > progress) {
        progress = acked;
        waiting = Infinity;
        roundTrip.doubts = 0;
      }
      waiting = position > acked ? Math.min(waiting, clock()) : Infinity;
    },

    /** Asks the peer: returns the token of a PING. `sent` is what its counts say. */
    ask(sent: number) {
      ping = [sent, clock()];
      self.suspectDue = Math.min(self.suspectDue, clock() + Math.min(DOUBTFUL_MAX, roundTrip.patience() * 2 ** roundTrip.doubts));
      return ++token;
    },

    /** A PONG came. It must acknowledge what was sent before its PING. */
    answered(answer: number, recv: number) {
      if (!ping || answer !== token) return;
      demand(recv >= ping[0], Code.Counters);
      roundTrip.sample(clock() - ping[1]);
      roundTrip.doubts = 0;
      ping = undefined;
    },
  };
  return self;
}
