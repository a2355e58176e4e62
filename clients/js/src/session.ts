/**
 * A session of everwire.v1: the client's end, as a state machine without a socket, a clock or randomness.
 *
 * Calls say what happened and when, links carry frames away, events say what the application learns. After each call, arm a timer
 * for `deadline` and call `tick` then. See docs/protocol.md.
 */

import * as frames from './frame.js';
import { Code, Status, Type, Violation, demand, type Accepted, type Counts, type Frame, type Welcome } from './frame.js';
import { Inbox } from './inbox.js';
import { Liveness, RoundTrip } from './liveness.js';
import { Outbox } from './outbox.js';

const WELCOME_WITHIN = 10_000;
const BYE_WITHIN = 5000;

/** The way to a socket. */
export interface Link {
  send(frame: Uint8Array): void;
  close(code: number): void;
}

/** Messages that will not come, because they are not there any more. */
export interface Gap {
  direction: 'in' | 'out';
  from: number;
  to: number;
  /** See docs/protocol.md §7. */
  reason: number;
  /** The application knows of it already. */
  announced?: boolean;
}

export interface Ended {
  type: 'ended';
  code: number;
  reason: string;
  by: 'us' | 'peer';
  unacknowledged: (string | Uint8Array)[];
}

/** What the application, or the code that opens sockets, learns. */
export type SessionEvent =
  | { type: 'open' | 'resumed'; welcome: Accepted }
  /** Call `taken` when the application has done with it. */
  | { type: 'message'; data: string | Uint8Array; volatile: boolean; taken: (now: number) => void }
  | { type: 'detached' }
  | ({ type: 'gap' } & Gap)
  | { type: 'lost'; unacknowledged: (string | Uint8Array)[] }
  | Ended
  /** The server wants this client later, elsewhere, or with another ticket. */
  | { type: 'refused'; welcome: Welcome }
  | { type: 'goaway'; after: number; spread: number; url: string }
  | { type: 'ticket' }
  /** Another socket should be opened beside this one. */
  | { type: 'suspect' };

/** What survives the process. */
export interface Stored {
  id: number[];
  token: number[];
  attempt: number;
  recv: number;
  next: number;
}

export interface SessionConfig {
  /** What this end takes before its application has taken it, in bytes; each message costs 32 more. */
  window: number;
  maxMessage: number;
  /** How long the server should keep the session while it is detached, in ms. */
  ttl: number;
  /** Ask the peer when it is silent. */
  probes: boolean;
  /** A message is done when it was released, and not when it was received. */
  manual: boolean;
  /** Called before anything is said that must not be forgotten. */
  save?: ((stored: Stored) => void) | undefined;
}

type Phase = 'detached' | 'hello' | 'attached' | 'ended';

export class Session {
  readonly roundTrip = new RoundTrip();
  /** What the server said last. */
  welcome: Accepted | undefined;

  #phase: Phase = 'detached';
  #link: Link | undefined;
  #outbox = new Outbox();
  #inbox: Inbox;
  #live: Liveness | undefined;
  #token: Uint8Array = new Uint8Array();
  #attempt = 0;
  #epoch = 0;
  /** The application believes that it is attached. */
  #announced = false;
  #hello: { recv: number; at: number | undefined; token: Uint8Array } | undefined;
  #helloDue = Infinity;
  #goodbye: { code: number; reason: string; sent: boolean } | undefined;
  #goodbyeDue = Infinity;

  constructor(
    readonly config: SessionConfig,
    readonly emit: (event: SessionEvent) => void,
    stored?: Stored,
  ) {
    this.#inbox = new Inbox(config.window, config.manual);
    if (stored) {
      this.#token = Uint8Array.from(stored.token);
      this.#attempt = stored.attempt;
      this.#inbox.recv = stored.recv;
      this.#outbox.restore(stored.next);
    }
  }

  get attached(): boolean {
    return this.#phase === 'attached';
  }

  /** Whether a socket carries this session, attached or saying HELLO. */
  get linked(): boolean {
    return !!this.#link;
  }

  get ended(): boolean {
    return this.#phase === 'ended';
  }

  get suspected(): boolean {
    return !!this.#live?.suspected;
  }

  /** Payload bytes that the peer has not acknowledged. */
  get bufferedAmount(): number {
    return this.#outbox.bytes;
  }

  /** Messages that the peer has not acknowledged. */
  get bufferedMessages(): number {
    return this.#outbox.length;
  }

  /** When to call `tick`. */
  get deadline(): number {
    const live = this.#live;
    return Math.min(
      this.#helloDue,
      this.#goodbyeDue,
      ...(live ? [this.#inbox.due, live.deadDue] : []),
      ...(live && this.config.probes ? [live.questionDue, live.suspectDue] : []),
    );
  }

  /**
   * Gives this session to a new socket and returns the HELLO for it. Whatever an older socket does has no effect from now on. A HELLO
   * that goes out at once, on an open socket, measures the round trip.
   */
  hello(link: Link, ticket: Uint8Array, now: number, atOnce: boolean): Uint8Array {
    this.#unlink();
    const token = this.#token;
    const { recv, window } = this.#inbox;
    this.#link = link;
    this.#phase = 'hello';
    this.#helloDue = now + WELCOME_WITHIN;
    this.#hello = { recv, at: atOnce ? now : undefined, token };
    this.#attempt++;
    this.#inbox.stated();
    this.#save();
    const { lo, next } = this.#outbox;
    const { maxMessage, ttl } = this.config;
    return frames.hello({ attempt: this.#attempt, recv, lo, next, window, maxMessage, ttl, token, auth: ticket });
  }

  /** A WebSocket message arrived on a socket. */
  receive(link: Link, message: string | Uint8Array, now: number): void {
    if (link !== this.#link) return;
    try {
      demand(typeof message !== 'string');
      const frame = frames.decode(message, this.config.maxMessage);
      this.#live?.heard(now);
      if (this.#phase === 'hello') {
        demand(frame.type === Type.Welcome);
        this.#welcomed(frame, now);
      } else {
        this.#handle(frame, now);
      }
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.abort(error.code);
    }
    this.#flush(now);
  }

  /** A socket was closed, with this code. */
  closed(link: Link, code: number, now: number): void {
    if (link !== this.#link) return;
    if (code === Code.Superseded) this.#end(code, 'peer');
    else this.#detach(now);
  }

  /** Closes the socket and keeps the session, such as before the page sleeps. */
  suspend(now: number): void {
    if (this.attached && this.#inbox.due < Infinity) this.#acknowledge();
    this.#drop(Code.Normal, now);
  }

  /** Sends a DATA frame; a volatile one now or never. */
  send(frame: Uint8Array, volatile: boolean, now: number): void {
    if (!volatile) {
      this.#outbox.accept(frame);
      this.#flush(now);
    } else if (this.attached) {
      this.#link!.send(frame);
    }
  }

  /** Presents another ticket, in the session. */
  authenticate(ticket: Uint8Array): void {
    if (this.attached) this.#transmit(frames.auth(ticket));
  }

  /** Asks whether the peer is there. */
  probe(now: number): void {
    if (this.attached) this.#ask(now);
  }

  /** Ends the session when everything has been sent. */
  close(code: number, reason: string, now: number): void {
    this.#goodbye ??= { code, reason, sent: false };
    this.#leaveLater(now);
    this.#flush(now);
  }

  /** Ends the session at once. */
  abort(code: number): void {
    const link = this.#link;
    if (link) {
      if (this.#token.length || this.attached) this.#transmit(frames.bye(false, code, this.#counts(), ''));
      link.close(code);
    }
    this.#end(code, 'us');
  }

  /** Takes the messages that no server has seen, for another session or a plain connection. */
  drain(): Uint8Array[] {
    const { frames } = this.#outbox;
    this.#outbox = new Outbox();
    return frames;
  }

  /** Does what is due. */
  tick(now: number): void {
    if (now >= this.#goodbyeDue) {
      this.#link?.close(Code.Normal);
      this.#end(this.#goodbye!.code, 'us', this.#goodbye!.reason);
    }
    if (now >= this.#helloDue || (this.#live && now >= this.#live.deadDue)) this.#drop(Code.Timeout, now);
    const live = this.#live;
    if (!live) return;
    if (now >= this.#inbox.due) this.#acknowledge();
    if (!this.config.probes) return;
    if (now >= live.suspectDue) {
      live.suspected = true;
      this.emit({ type: 'suspect' });
    } else if (now >= live.questionDue) {
      this.#ask(now);
    }
  }

  #welcomed(frame: Welcome, now: number): void {
    this.#helloDue = Infinity;
    switch (frame.status) {
      case Status.New:
      case Status.Resumed:
      case Status.Lost:
        return this.#accepted(frame.status, frame, now);
      case Status.Ended:
        return this.#end(frame.code, 'peer', frame.reason, frame.recv);
      case Status.Stale:
        return this.#end(Code.Superseded, 'peer');
      case Status.Version:
        return this.#end(Code.Version, 'peer');
    }
    this.#detach(now);
    this.emit({ type: 'refused', welcome: frame });
  }

  #accepted(status: Status, welcome: Accepted, now: number): void {
    const { counts, epoch } = welcome;
    const hello = this.#hello!;
    const resumed = status === Status.Resumed;
    // NEW answers a HELLO without a token, the others one with a token.
    demand((status === Status.New) === !hello.token.length);
    if (resumed) {
      demand(counts.sent === hello.recv && epoch > this.#epoch, Code.Counters);
      this.#outbox.resume(counts);
    } else {
      demand(!(counts.recv || counts.done || counts.sent), Code.Counters);
      if (status === Status.Lost) this.#forget();
      this.#outbox.resume(counts);
    }
    if (hello.at !== undefined) this.roundTrip.sample(now - hello.at);
    this.#live = new Liveness(this.roundTrip, welcome.heartbeat + welcome.heartbeatTimeout, now);
    this.#phase = 'attached';
    this.#announced = true;
    this.#goodbyeDue = Infinity;
    if (this.#goodbye) this.#goodbye.sent = false;
    this.welcome = welcome;
    this.#epoch = epoch;
    this.#token = welcome.token.slice();
    this.#acknowledge(); // Confirms the token, which is stored before.
    this.emit({ type: resumed ? 'resumed' : 'open', welcome });
  }

  #handle(frame: Frame, now: number): void {
    switch (frame.type) {
      case Type.Data: {
        const inbox = this.#inbox; // Another one takes its place when the session is lost.
        const number = frame.volatile ? 0 : inbox.message(frame.size, now);
        const taken = (now: number) => {
          inbox.release(number, now);
          this.#flush(now);
        };
        return this.emit({ type: 'message', data: frame.data, volatile: frame.volatile, taken });
      }
      case Type.Ack:
        return this.#check(frame.counts, now);
      case Type.Ping:
        this.#check(frame.counts, now);
        return this.#transmit(frames.pong(frame.token, this.#counts()));
      case Type.Pong:
        this.#check(frame.counts, now);
        return this.#live!.answered(frame.token, frame.counts, now);
      case Type.Gap: {
        const { from, to, reason } = frame;
        this.#inbox.gap(from, to, now);
        return this.emit({ type: 'gap', direction: 'in', from, to, reason });
      }
      case Type.Goaway:
        return this.emit({ ...frame, type: 'goaway' });
      case Type.Bye:
        return this.#left(frame.reply, frame.code, frame.counts, frame.reason, now);
      case Type.Auth:
        return frame.accepted ? undefined : this.emit({ type: 'ticket' });
      case Type.Welcome:
        demand(false);
    }
  }

  /** The peer said goodbye, or answered ours. */
  #left(reply: boolean, code: number, counts: Counts, reason: string, now: number): void {
    try {
      this.#check(counts, now);
    } catch {
      // The session ends anyway, with the code of the BYE.
    }
    if (reply) {
      demand(this.#goodbye?.sent);
      this.#link!.close(Code.Normal);
      this.#end(this.#goodbye.code, 'us', this.#goodbye.reason);
    } else {
      this.#transmit(frames.bye(true, code, this.#counts(), ''));
      this.#end(code, 'peer', reason);
    }
  }

  #check(counts: Counts, now: number): void {
    demand(counts.sent === this.#inbox.recv, Code.Counters);
    this.#outbox.acknowledge(counts);
    this.#live!.waits(this.#outbox.position > this.#outbox.acked, now);
  }

  #counts(): Counts {
    const { recv, done, window } = this.#inbox;
    this.#inbox.stated();
    return { recv, done, sent: this.#outbox.position, window };
  }

  #acknowledge(): void {
    this.#transmit(frames.ack(this.#counts()));
  }

  #ask(now: number): void {
    this.#transmit(frames.ping(this.#live!.ask(this.#outbox.position, now), this.#counts()));
  }

  /** Sends what may be sent and acknowledges what is due. */
  #flush(now: number): void {
    if (!this.attached) return;
    this.#outbox.pump(
      this.welcome!.maxMessage,
      (frame) => this.#transmit(frame),
      (gap) => {
        this.#transmit(frames.gap(gap.from, gap.to, gap.reason));
        if (!gap.announced) this.emit({ type: 'gap', ...gap });
      },
    );
    const { position, acked, next } = this.#outbox;
    this.#live!.waits(position > acked, now);
    if (this.#goodbye && !this.#goodbye.sent && position + 1 === next) {
      this.#goodbye.sent = true;
      this.#goodbyeDue = now + BYE_WITHIN;
      this.#transmit(frames.bye(false, this.#goodbye.code, this.#counts(), this.#goodbye.reason));
    }
    if (now >= this.#inbox.due) this.#acknowledge();
  }

  #transmit(frame: Uint8Array): void {
    this.#save();
    this.#link!.send(frame);
  }

  #save(): void {
    this.config.save?.({
      id: [...(this.welcome?.id ?? [])],
      token: [...this.#token],
      attempt: this.#attempt,
      recv: this.#inbox.done,
      next: this.#outbox.next,
    });
  }

  #unlink(): void {
    this.#link = this.#live = undefined;
    this.#helloDue = Infinity;
  }

  #drop(code: number, now: number): void {
    this.#link?.close(code);
    this.#detach(now);
  }

  #detach(now: number): void {
    if (this.ended) return;
    this.#unlink();
    this.#phase = 'detached';
    this.#leaveLater(now);
    if (!this.#announced) return;
    this.#announced = false;
    this.emit({ type: 'detached' });
    if (!this.#token.length) this.#forget(); // The server keeps nothing.
  }

  /** A goodbye does not wait longer than the server remembers the session. */
  #leaveLater(now: number): void {
    if (this.#goodbye && !this.attached) this.#goodbyeDue = now + (this.welcome?.ttl || WELCOME_WITHIN);
  }

  /** The session is lost: a new one follows. */
  #forget(): void {
    const unacknowledged = this.#outbox.messages(this.#outbox.acked);
    this.#outbox = new Outbox();
    this.#inbox = new Inbox(this.config.window, this.config.manual);
    this.#inbox.stated();
    this.#epoch = 0;
    this.#token = new Uint8Array();
    this.emit({ type: 'lost', unacknowledged });
  }

  #end(code: number, by: 'us' | 'peer', reason = '', received = this.#outbox.acked): void {
    if (this.ended) return;
    this.#unlink();
    this.#goodbyeDue = Infinity;
    this.#phase = 'ended';
    this.emit({ type: 'ended', code, by, reason, unacknowledged: this.#outbox.messages(received) });
  }
}
