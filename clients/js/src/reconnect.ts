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

/** What a close code of a plain connection means: never again, and once more at most. */
const NEVER = /^(1000|1008|3003|3[5-9]..|4[5-9]..)$/;
const ONCE = /^(1002|1003|1007|1010|3000|4401|4501)$/;

export class Reconnect {
  /** Retries since the last stable connection, and since when it fails. */
  private retries = 0;
  private outage: number | undefined;
  private attached = Infinity;
  private spread = FIRST_SPREAD;
  private advice: [after: number, spread: number] | undefined;
  /** The wait that is going on was advised. */
  private advised = false;
  /** When the last attempt began. */
  attempt = 0;
  private warned = false;

  /** The server says when to come back. */
  advise(after: number, spread: number): void {
    this.advice = [after, spread];
  }

  /** A connection was closed by the peer: notes the advice in its reason. Returns whether coming back makes sense. */
  closed(code: number, reason: string): boolean {
    const number = (name: string) => RegExp(name + ' *= *(\\d+)').exec(reason)?.[1];
    const after = number('retry');
    const spread = number('spread');
    if (after ?? spread) this.advise(+(after ?? 0), +(spread ?? 0));
    else if (code === 1012) this.advise(5000, 25_000);
    else if (code === 1013) this.advise(CAP, CAP);
    const again = ONCE.test(`${code}`) ? !this.warned : !NEVER.test(`${code}`);
    this.warned ||= ONCE.test(`${code}`);
    return again;
  }

  /** A connection can be used. `spread`: over how long clients should come back when it is lost. */
  attach(now: number, spread = FIRST_SPREAD): void {
    this.attached = now;
    this.spread = spread;
  }

  lost(now: number): void {
    if (now - this.attached >= STABLE_AFTER) {
      this.retries = 0;
      this.outage = undefined;
      this.warned = false;
    }
    this.attached = Infinity;
  }

  /** Draws how long to wait before the next attempt. */
  delay(now: number): number {
    const { advice } = this;
    const retry = this.retries++;
    this.advice = undefined;
    this.advised = !!advice;
    this.outage ??= now;
    let after = 0;
    let spread = retry ? Math.min(CAP, BASE * 2 ** retry) : this.spread;
    if (advice) [after, spread] = advice;
    else if (now - this.outage >= SLOW_AFTER) [after, spread] = [CAP, SLOW_AFTER - CAP];
    return Math.min(ADVICE_LIMIT, after + Math.random() * spread);
  }

  /** Something happened that makes success likely: returns when to try, instead of `at`. Advice stands. */
  wake(now: number, at: number): number {
    return this.advised ? at : Math.min(at, Math.max(now, this.attempt + WAKE_SPACING));
  }
}
