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

export class Reconnect {
  /** Retries since the last stable connection. */
  #retries = 0;
  #outage: number | undefined;
  #attached: number | undefined;
  #spread = FIRST_SPREAD;
  #advice: [after: number, spread: number] | undefined;
  #advised = false;
  #attempted = -Infinity;
  #final = false;

  constructor(readonly random: () => number = Math.random) {}

  /** The server says when to come back. */
  advise(after: number, spread: number): void {
    this.#advice = [after, spread];
  }

  /**
   * A connection was closed by the peer: notes the advice in its reason. Returns whether coming back makes sense; a few codes are
   * given one more chance.
   */
  closed(code: number, reason: string): boolean {
    const number = (name: string) => new RegExp(`\\b${name} *= *(\\d+)`).exec(reason)?.[1];
    const after = number('retry');
    const spread = number('spread');
    if (after || spread) this.advise(+(after ?? 0), +(spread ?? 0));
    else if (code === 1012) this.advise(5000, 25_000);
    else if (code === 1013) this.advise(30_000, 30_000);
    const once = [1002, 1003, 1007, 1010, 3000, 4401, 4501].includes(code);
    const never = [1000, 1008, 3003].includes(code) || (code >= 3500 && code < 4000) || code >= 4500;
    const final = once ? this.#final : never;
    this.#final ||= once;
    return !final;
  }

  attempting(now: number): void {
    this.#attempted = now;
  }

  /** A connection can be used. `spread`: over how long clients should come back when it is lost. */
  attached(now: number, spread = FIRST_SPREAD): void {
    this.#attached = now;
    this.#spread = spread;
  }

  lost(now: number): void {
    if (this.#attached !== undefined && now - this.#attached >= STABLE_AFTER) {
      this.#retries = 0;
      this.#outage = undefined;
      this.#final = false;
    }
    this.#attached = undefined;
  }

  /** Draws how long to wait before the next attempt. */
  delay(now: number): number {
    const advice = this.#advice;
    const retry = this.#retries++;
    this.#advice = undefined;
    this.#advised = !!advice;
    this.#outage ??= now;
    const random = this.random();
    if (advice) {
      return Math.min(ADVICE_LIMIT, advice[0]) + random * Math.min(ADVICE_LIMIT, advice[1]);
    }
    if (now - this.#outage >= SLOW_AFTER) return CAP + random * (SLOW_AFTER - CAP);
    return random * (retry ? Math.min(CAP, BASE * 2 ** retry) : this.#spread);
  }

  /** Something happened that makes success likely: returns when to try, instead of `at`. Advice stands. */
  wake(now: number, at: number): number {
    return this.#advised ? at : Math.min(at, Math.max(now, this.#attempted + WAKE_SPACING));
  }
}
