/** When to connect again, and whether. Full jitter, the server's advice first. */

/** The first attempt after a loss comes within this, unless the server says otherwise. */
const FIRST_SPREAD = 1000;
const BASE = 500;
const CAP = 30_000;
/** An outage that lasts so long is met with patience. */
const SLOW_AFTER = 300_000;
/** A connection that lasted so long was no accident. */
const STABLE_AFTER = 10_000;
const ADVICE_LIMIT = 3_600_000;
/** What wakes a client comes in swarms. */
const WAKE_SPACING = 1000;

/** Close codes of a plain connection after which nobody comes back, and those after which once only. */
const NEVER = /^(1000|1008|3003|3[5-9]..|4[5-9]..)$/;
const ONCE = /^(1002|1003|1007|1010|3000|4401|4501)$/;

export function createReconnect(clock: () => number) {
  /** Retries since the last stable connection, and since when it fails. */
  let retries = 0;
  let outage: number | undefined;
  let attached = Infinity;
  let spread = FIRST_SPREAD;
  let advice: [after: number, spread: number] | undefined;
  /** The wait that is going on was advised. */
  let advised = false;
  let attempted = 0;
  let warned = false;

  const self = {
    /** The server says when to come back. */
    advise(after: number, spread: number) {
      advice = [after, spread];
    },

    /** A connection was closed by the peer: notes the advice in its reason. Returns whether coming back makes sense. */
    closed(code: number, reason: string) {
      const number = (name: string) => RegExp(name + ' *= *(\\d+)').exec(reason)?.[1];
      const after = number('retry');
      const spread = number('spread');
      if (after ?? spread) self.advise(+(after ?? 0), +(spread ?? 0));
      else if (code === 1012) self.advise(5000, 25_000);
      else if (code === 1013) self.advise(CAP, CAP);
      const once = ONCE.test(`${code}`);
      const again = once ? !warned : !NEVER.test(`${code}`);
      warned ||= once;
      return again;
    },

    attempting() {
      attempted = clock();
    },

    /** A connection can be used. `first`: over how long clients should come back when it is lost. */
    attach(first = FIRST_SPREAD) {
      attached = clock();
      spread = first;
    },

    lost() {
      if (clock() - attached >= STABLE_AFTER) {
        retries = 0;
        outage = undefined;
        warned = false;
      }
      attached = Infinity;
    },

    /** Draws how long to wait before the next attempt. */
    delay() {
      const retry = retries++;
      outage ??= clock();
      let range = [0, retry ? Math.min(CAP, BASE * 2 ** retry) : spread];
      if (clock() - outage >= SLOW_AFTER) range = [CAP, SLOW_AFTER - CAP];
      range = advice ?? range;
      advised = !!advice;
      advice = undefined;
      return Math.min(ADVICE_LIMIT, range[0]! + Math.random() * range[1]!);
    },

    /** Something happened that makes success likely: returns when to try, instead of `at`. Advice stands. */
    wake: (at: number) => (advised ? at : Math.min(at, Math.max(clock(), attempted + WAKE_SPACING))),
  };
  return self;
}
