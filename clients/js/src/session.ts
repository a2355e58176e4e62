/**
 * A session of everwire.v1: the client's end, as a state machine without a socket, a timer or randomness, with a clock that it is given.
 *
 * Calls say what happened, links carry frames away, events say what the application learns. After each call, arm a timer for
 * `deadline` and call `tick` then. See docs/protocol.md.
 *
 * This is a closure and not a class, because a minifier shortens local names only.
 */

import { Code, Flag, Kind, Status, decode, demand, encode, encodeTicket } from './frame.js';
import type { Accepted, Counts, Frame, Goaway, Payload, Refused, Welcome } from './frame.js';
import { createInbox } from './inbox.js';
import { createLiveness, createRoundTrip, type Liveness, type RoundTrip } from './liveness.js';
import type { Options } from './options.js';
import { EVICTED, createOutbox, type Kept, type Outbox } from './outbox.js';

const WELCOME_WITHIN = 10_000;
const BYE_WITHIN = 5000;
/** What part of the patience a suspected socket has until the application is told. */
const TELL_AFTER = 0.75;
/** Before a ticket expires a fresh one is shown, but not in a hurry. */
const RENEW_MIN = 1000;
/** Of gaps. See docs/protocol.md §7. */
const REASONS = ['', 'evicted-bytes', 'evicted-age', 'conflated', 'restart', 'oversize'];

/** The way to a socket. */
export interface Link {
  send(frame: Uint8Array): void;
  close(code: number): void;
}

/** What the code that opens sockets learns. */
export interface Listener {
  /** A socket carries the session, which is a new one or the same as before. */
  attached(welcome: Accepted, fresh: boolean): void;
  /** Call `taken`, which a volatile message does not have, when the application has done with it. */
  message(data: Payload, taken?: () => void): void;
  /** What the application learns as it is. */
  tell<T extends keyof Told>(type: T, event?: Told[T]): void;
  ended(code: number, byPeer: boolean, reason: string, unacknowledged: Payload[]): void;
  /** The server wants this client later, elsewhere, or with another ticket. */
  refused(welcome: Refused): void;
  advised(goaway: Goaway): void;
  /** The server wants a fresh ticket in so many ms. */
  renewal(after: number): void;
  /** Another socket should be opened beside this one. */
  suspect(): void;
}

export interface Told {
  detached: object;
  /** The socket that had fallen silent speaks. */
  resumed: { fresh: false };
  /** These messages will not come. */
  gap: { direction: 'in' | 'out'; from: number; to: number; reason: string };
  /** The other end has forgotten the session. */
  lost: { unacknowledged: Payload[] };
}

/** What survives the page. */
export type Stored = [id: number[], token: number[], attempt: number, recv: number, next: number, kept?: Kept];

export type SessionOptions = Pick<Options, 'window' | 'maxMessage' | 'ttl' | 'store'>;

export interface Session {
  /** What is known of the life of the socket, once it is attached. */
  live(): Liveness | undefined;
  /** The application believes that it is attached. */
  announced(): boolean;
  /** What the server may still need. */
  outbox(): Outbox;
  readonly roundTrip: RoundTrip;
  /** When to call `tick`. */
  deadline(): number;
  /**
   * Gives this session to a new socket and returns the HELLO for it. Whatever an older socket does has no effect from now on. A HELLO
   * that goes out at once, on an open socket, measures the round trip.
   */
  hello(link: Link, ticket: Uint8Array, atOnce: boolean): Uint8Array;
  /** A WebSocket message arrived on a socket. */
  receive(link: Link, message: string | ArrayBuffer): void;
  /** A socket was closed, with this code. */
  closed(link: Link, code: number): void;
  /** Closes the socket and keeps the session, such as before the page sleeps. */
  suspend(): void;
  /** Sends a DATA frame; a volatile one now or never. */
  send(frame: Uint8Array): void;
  /** Gives up the oldest message that is kept. */
  giveUp(): void;
  /** Presents another ticket, in the session. */
  authenticate(ticket: Uint8Array): void;
  /** Asks whether the peer is there. */
  probe(): void;
  /** Ends the session when everything has been sent. */
  close(code: number, reason: string): void;
  /** Somebody else has the session: a new one follows. */
  forget(): void;
  /** Ends the session at once. */
  abort(code: number): void;
  /** Does what is due. */
  tick(): void;
}

export function createSession(options: SessionOptions, clock: () => number, on: Listener, stored: Partial<Stored> = []): Session {
  const { window = 1 << 18, maxMessage = 1 << 20, ttl = 60_000, store } = options;
  const sizes = [window, maxMessage, ttl];
  if (!(sizes.every(Number.isSafeInteger) && Math.min(...sizes) >= 0)) throw new RangeError(`window, maxMessage, ttl: ${sizes}`);
  const roundTrip = createRoundTrip();
  // With a store, a message is done when it was taken, and not when it was received.
  const newInbox = (first?: number) => createInbox(clock, window, !!store, first);
  let [, token = [], attempt = 0, recv, next, kept] = stored;
  let outbox = createOutbox(next, kept);
  let inbox = newInbox(recv);
  let welcome: Accepted | undefined;
  let link: Link | undefined;
  let live: Liveness | undefined;
  let epoch = 0;
  /** The application believes that it is attached; and when it is told otherwise, if nothing is heard. */
  let announced = false;
  let tellDue = Infinity;
  let helloRecv = 0;
  let helloAt = 0;
  /** Its answer measures the round trip. */
  let measuring = false;
  let goodbye: [code: number, reason: string] | undefined;
  let goodbyeSent = false;
  let goodbyeDue = Infinity;

  // ---------------------------------------------------------------- what goes out

  const save = () => store?.save([[...(welcome?.[10] ?? [])], token, attempt, inbox.done(), outbox.next, outbox.kept]);

  const transmit = (frame: Uint8Array) => {
    save();
    link?.send(frame);
  };

  const counts = (): Counts => {
    const counts: Counts = [inbox.recv, inbox.done(), outbox.position, inbox.room()];
    inbox.stating();
    return counts;
  };

  const acknowledge = () => transmit(encode(Kind.Ack, ...counts()));

  const ask = () => transmit(encode(Kind.Ping, live!.ask(outbox.position), ...counts()));

  const bye = (kind: Kind, code: number, reason = '') => transmit(encode(kind, code, ...counts(), reason));

  const tellGap = (direction: 'in' | 'out', from: number, to: number, reason: number) =>
    on.tell('gap', { direction, from, to, reason: REASONS[reason]! });

  /** Sends what may be sent and acknowledges what is due. */
  const flush = () => {
    if (!live) return;
    outbox.pump(welcome![4], transmit, (from, to, reason, known) => {
      transmit(encode(Kind.Gap, from, to, reason));
      if (!known) tellGap('out', from, to, reason);
    });
    live.waits(outbox.position, outbox.acked);
    if (goodbye && !goodbyeSent && outbox.position + 1 === outbox.next) {
      goodbyeSent = true;
      goodbyeDue = clock() + BYE_WITHIN;
      bye(Kind.Bye, ...goodbye);
    }
    if (clock() >= inbox.due) acknowledge();
  };

  // ---------------------------------------------------------------- ends

  const helloDue = () => (link && !live ? helloAt + WELCOME_WITHIN : Infinity);

  /** A goodbye does not wait longer than the server remembers the session. */
  const leaveLater = () => {
    if (goodbye) goodbyeDue = clock() + (welcome?.[5] || WELCOME_WITHIN);
  };

  const unlink = () => {
    if (live) leaveLater();
    link = live = undefined;
  };

  const end = (code: number, byPeer: boolean, reason = '', received?: number) => {
    unlink();
    announced = false;
    goodbyeDue = tellDue = Infinity;
    on.ended(code, byPeer, reason, outbox.payloads(received));
  };

  const abort = (code: number) => {
    if (link && (token.length || live)) bye(Kind.Bye, code);
    link?.close(code);
    end(code, false);
  };

  /** Everything was said, or is not waited for any more. What no server ever had was not closed. */
  const leave = () => {
    link?.close(Code.Normal);
    if (welcome) end(goodbye![0], false, goodbye![1]);
    else end(Code.Abnormal, false);
  };

  /** The session is lost: a new one follows. */
  const forget = () => {
    const unacknowledged = outbox.payloads();
    outbox = createOutbox();
    inbox = newInbox();
    inbox.stating();
    epoch = 0;
    token = [];
    on.tell('lost', { unacknowledged });
  };

  const tellDetached = () => {
    announced = false;
    tellDue = Infinity;
    on.tell('detached');
  };

  const detach = () => {
    unlink();
    if (!announced) return;
    tellDetached();
    if (!token.length) forget(); // The server keeps nothing.
  };

  const drop = (code: number) => {
    link?.close(code);
    detach();
  };

  // ---------------------------------------------------------------- what comes in

  const accepted = (accepted: Accepted) => {
    const [, status, newEpoch, counts] = accepted;
    // NEW answers a HELLO without a token, the others one with a token.
    demand((status === Status.New) === !token.length);
    if (status === Status.Resumed) demand(counts[2] === helloRecv && newEpoch > epoch, Code.Counters);
    else demand(!(counts[0] || counts[2]), Code.Counters);
    if (status === Status.Lost) forget();
    outbox.begin(counts);
    if (measuring) roundTrip.sample(clock() - helloAt);
    live = createLiveness(clock, roundTrip, accepted[6] + accepted[7], outbox.acked);
    announced = true;
    goodbyeDue = tellDue = Infinity;
    goodbyeSent = false;
    welcome = accepted;
    epoch = newEpoch;
    token = [...accepted[9]];
    acknowledge(); // Confirms the token, which is stored before.
    on.attached(welcome, status !== Status.Resumed);
  };

  const welcomed = (frame: Welcome) => {
    const [, status] = frame;
    if (status === Status.Ended) return end(frame[2], true, frame[4], frame[3]);
    if (status > Status.Auth) return end(status === Status.Stale ? Code.Superseded : Code.Version, true);
    if (status < Status.Ended) return accepted(frame as Accepted);
    detach();
    on.refused(frame as Refused);
  };

  const check = (counts: Counts) => {
    demand(counts[2] === inbox.recv, Code.Counters);
    outbox.acknowledge(counts);
  };

  const handle = (frame: Exclude<Frame, Welcome>) => {
    switch (frame[0]) {
      case Kind.Data:
        return on.message(frame[2], frame[1] < Flag.Volatile ? inbox.message(frame[3], flush) : undefined);
      case Kind.Ack:
        return check(frame[1]);
      case Kind.Ping:
        check(frame[2]);
        return transmit(encode(Kind.Pong, frame[1], ...counts()));
      case Kind.Pong:
        check(frame[2]);
        return live!.answered(frame[1], frame[2][0]);
      case Kind.Gap:
        inbox.gap(frame[1], frame[2]);
        return tellGap('in', frame[1], frame[2], frame[3]);
      case Kind.Goaway:
        return on.advised(frame);
      case Kind.TicketWanted:
        return on.renewal(0);
      case Kind.TicketAccepted:
        return frame[1] ? on.renewal(Math.max(RENEW_MIN, frame[1] * 0.75)) : undefined;
    }
    const [kind, code, theirs, reason] = frame;
    try {
      check(theirs);
    } catch {
      // The session ends anyway, with the code of the BYE.
    }
    if (kind === Kind.ByeReply) {
      demand(goodbyeSent);
      leave();
    } else {
      bye(Kind.ByeReply, code);
      end(code, true, reason);
    }
  };

  return {
    live: () => live,
    announced: () => announced,
    outbox: () => outbox,
    roundTrip,
    deadline: () =>
      Math.min(
        helloDue(),
        goodbyeDue,
        tellDue,
        ...(live ? [inbox.due, live.deadDue(), live.questionDue(), live.suspectDue || Infinity] : []),
      ),

    hello(newLink, ticket, atOnce) {
      // What the server does not keep ends with its socket.
      if (token.length) unlink();
      else detach();
      link = newLink;
      helloRecv = inbox.recv;
      helloAt = clock();
      measuring = atOnce;
      attempt++;
      inbox.stating();
      save();
      return encode(Kind.Hello, 1, attempt, helloRecv, outbox.lo, outbox.next, inbox.room(), maxMessage, ttl, token, ticket);
    },

    receive(from, message) {
      if (from !== link) return;
      try {
        demand(typeof message !== 'string');
        const frame = decode(new Uint8Array(message), maxMessage);
        if (live) {
          live.heard();
          tellDue = Infinity;
          if (!announced) {
            announced = true;
            on.tell('resumed', { fresh: false });
          }
        }
        demand(!live === (frame[0] === Kind.Welcome));
        if (live) handle(frame as Exclude<Frame, Welcome>);
        else welcomed(frame as Welcome);
      } catch (error) {
        if (typeof error !== 'number') throw error;
        abort(error);
      }
      flush();
    },

    closed(from, code) {
      if (from !== link) return;
      if (code === Code.Superseded) end(code, true);
      else detach();
    },

    suspend() {
      if (live && inbox.due < Infinity) acknowledge();
      drop(Code.Normal);
    },

    send(frame) {
      if (frame[0]! < Kind.Data + Flag.Volatile) {
        outbox.accept(frame);
        if (live) flush();
        else save();
      } else if (live) {
        link!.send(frame);
      }
    },

    giveUp() {
      const number = outbox.lo;
      outbox.giveUp();
      if (number > outbox.acked) tellGap('out', number, number, EVICTED);
    },

    authenticate(ticket) {
      if (live) transmit(encodeTicket(ticket));
    },

    probe() {
      if (live) ask();
    },

    close(code, reason) {
      goodbye = [code, reason];
      if (!live) leaveLater();
      flush();
    },

    forget,
    abort,

    tick() {
      if (clock() >= goodbyeDue) leave();
      if (clock() >= tellDue) tellDetached();
      if (clock() >= helloDue() || (live && clock() >= live.deadDue())) drop(Code.Timeout);
      if (!live) return;
      if (clock() >= inbox.due) acknowledge();
      if (live.suspectDue && clock() >= live.suspectDue) {
        live.suspectDue = Infinity;
        if (!token.length) return; // Another socket would cost it the session.
        live.suspectDue = 0;
        roundTrip.doubts++;
        tellDue = clock() + TELL_AFTER * roundTrip.patience();
        on.suspect();
      } else if (clock() >= live.questionDue()) {
        ask();
      }
    },
  };
}
