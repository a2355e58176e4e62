/** Whether a socket lives, by the wall clock. Belongs to one socket and goes with it. See docs/protocol.md §9. */

import { Code, demand } from './frame.js';

/** After so long without an acknowledgement or anything else, the peer is asked. */
const PATIENCE = 1000;
const ANSWER_MAX = 5000;
/** After so long without an acknowledgement, although the peer lives, it is asked; after so long it is given up. */
const STALLED = 10_000;
const STUCK = 60_000;
const DELAYED_ACK = 200;

/** A smoothed round trip, as in RFC 6298. It belongs to the path and outlives a socket. */
export function createRoundTrip() {
  let deviation = 0;

  const self = {
    /** In milliseconds. */
    smoothed: undefined as number | undefined,

    sample(ms: number) {
      const before = self.smoothed ?? ms;
      deviation = self.smoothed === undefined ? ms / 2 : (deviation * 3 + Math.abs(before - ms)) / 4;
      self.smoothed = (before * 7 + ms) / 8;
    },

    /** How long an answer may take before the socket is suspect. */
    patience: () => Math.min(ANSWER_MAX, Math.max(PATIENCE, (self.smoothed ?? 0) + 4 * deviation + DELAYED_ACK)),
  };
  return self;
}

export type Liveness = ReturnType<typeof createLiveness>;

export function createLiveness(clock: () => number, roundTrip: ReturnType<typeof createRoundTrip>, silence: number) {
  let last = clock();
  /** Since when something is unacknowledged, and no more is acknowledged. */
  let waiting = Infinity;
  let progress = 0;
  let pings: [token: number, sent: number, at: number][] = [];
  let token = 0;

  const self = {
    /** No answer came to a question: another socket should be tried. */
    suspected: false,
    /** When silence makes the socket suspect. */
    suspectDue: Infinity,

    /** When the peer should be asked. */
    questionDue: () =>
      self.suspected || self.suspectDue < Infinity
        ? Infinity
        : Math.min(Math.max(waiting, last) + PATIENCE, pings.length ? Infinity : waiting + STALLED),

    /** When silence, or a peer that acknowledges nothing, makes the socket dead. */
    deadDue: () => Math.min(last + silence, waiting + STUCK),

    /** Something arrived. */
    heard() {
      last = clock();
      self.suspectDue = Infinity;
      self.suspected = false;
    },

    /** Nobody answered. */
    suspect() {
      self.suspectDue = Infinity;
      self.suspected = true;
    },

    /** So much of what was sent is acknowledged. */
    waits(position: number, acked: number) {
      waiting = position > acked ? (acked > progress ? clock() : Math.min(waiting, clock())) : Infinity;
      progress = acked;
    },

    /** Asks the peer: returns the token of a PING. `sent` is what its counts say. */
    ask(sent: number) {
      pings.push([++token, sent, clock()]);
      self.suspectDue = Math.min(self.suspectDue, clock() + roundTrip.patience());
      return token;
    },

    /** A PONG came. It must acknowledge what was sent before its PING. */
    answered(answer: number, recv: number) {
      const ping = pings.find((ping) => ping[0] === answer);
      if (!ping) return;
      demand(recv >= ping[1], Code.Counters);
      pings = pings.filter((ping) => ping[0] > answer);
      roundTrip.sample(clock() - ping[2]);
    },
  };
  return self;
}
