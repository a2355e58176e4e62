/** When to connect again, and whether. Full jitter, the server's advice first. */

/** The first attempt after a loss comes within this, unless the server says otherwise. */
const FIRST_SPREAD = 1000;
const BASE = 250;
const CAP = 30_000;
/** An outage of so many attempts, which is one of some five minutes, is met with patience. */
const SLOW_AFTER = 24;
const SLOW = [CAP, 270_000];
/** A connection that lasted so long was no accident, and makes up for all retries; a shorter one for some. */
const STABLE_AFTER = 10_000;
const MADE_UP = 10;
const ADVICE_LIMIT = 3_600_000;

const GOING = 1001;
/** Or 1013, try again later. */
const RESTARTING = 1012;
/** Close codes of a plain connection after which nobody comes back. */
const NEVER = /^(100[08]|3003|[34][5-9]..)$/;

export function createReconnect(clock: () => number) {
  /** Retries since the last stable connection, less what shorter ones made up for. */
  let retries = 0;
  let attached = Infinity;
  let spread = FIRST_SPREAD;
  let advice: [after: number, spread: number] | undefined;
  /** What the wait that is going on was advised by. */
  let advised: typeof advice;

  return {
    /** The server says when to come back. */
    advise(...it: [after: number, spread: number]) {
      advice = it;
    },

    /**
     * A connection was closed by the peer: notes the advice in its reason. Where it has none and the peer goes, what GOAWAY said before
     * stands, which was to come at `due`. Returns whether coming back makes sense.
     */
    closed(code: number, reason: string, due: number) {
      const [, after, spread = 0] = /retry=(\d+)(?:;spread=(\d+))?/.exec(reason) ?? [];
      if (after) advice = [+after, +spread];
      else if (due < Infinity && (code === GOING || code === RESTARTING)) advice = [Math.max(0, due - clock()), 0];
      else if (code >> 1 === RESTARTING >> 1) advice = [5000, 25_000];
      return !NEVER.test(code as any);
    },

    /**
     * A connection can be used. `first`: over how long clients should come back when it is lost. Advice that came while this attempt
     * was under way is overtaken.
     */
    attach(first = spread) {
      advice = undefined;
      retries = Math.min(retries, MADE_UP); // It is no outage.
      attached = clock();
      spread = first;
    },

    /** Draws until when a connection stays, whatever the server advises: it could be sent on and on. */
    patience: () => attached + Math.random() * STABLE_AFTER,

    /** Draws how long to wait before the next attempt, which replaces a connection or is `beside` one. */
    delay(beside: boolean) {
      if (!beside) {
        // So a server that attaches and closes at once is asked ever more rarely.
        retries = Math.max(0, retries - Math.max(0, clock() - attached) / (STABLE_AFTER / MADE_UP));
        attached = Infinity;
      }
      advised = advice;
      advice = undefined;
      const [after, over] = advised ?? (++retries > SLOW_AFTER ? SLOW : [0, retries < 2 ? spread : Math.min(CAP, BASE * 2 ** retries)]);
      return Math.min(ADVICE_LIMIT, after! + Math.random() * over!);
    },

    /** Something happened that makes success likely: returns when to try, instead of `at`. Advice stands. */
    wake: (at: number) => (advised ? at : Math.min(at, clock())),
  };
}
