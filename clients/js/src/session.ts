/**
 * A session of everwire.v1: the client's end, as a state machine without a socket, a timer or randomness, with a clock that it is given.
 *
 * Calls say what happened, links carry frames away, events say what the application learns. After each call, arm a timer for
 * `deadline` and call `tick` then. See docs/protocol.md.
 *
 * This is a closure and not a class, because a minifier shortens local names only.
 */

import { Code, Flag, Kind, MAX, Status, Violation, decode, demand, encode, encodeText } from './frame.js';
import type { Accepted, Counts, Frame, Payload, Refused, Welcome } from './frame.js';
import { createInbox } from './inbox.js';
import { createLiveness, createRoundTrip, type Liveness } from './liveness.js';
import { createOutbox } from './outbox.js';
import type { SessionStore } from './store.js';

const WELCOME_WITHIN = 10_000;
const BYE_WITHIN = 5000;
/** Of gaps. See docs/protocol.md §7. */
const REASONS = ['', 'evicted-bytes', 'evicted-age', 'conflated', 'restart', 'oversize'];

/** The way to a socket. */
export interface Link {
  send(frame: Uint8Array): void;
  close(code: number): void;
}

/** What the application, or the code that opens sockets, learns. */
export interface SessionEvents {
  /** A new session; the same one again. */
  open: Accepted;
  resumed: Accepted;
  /** Call `taken` when the application has done with it. */
  message: { data: Payload; volatile: boolean; taken: (() => void) | undefined };
  detached: object;
  /** These messages will not come. */
  gap: { direction: 'in' | 'out'; from: number; to: number; reason: string };
  /** The other end has forgotten the session. */
  lost: { unacknowledged: Payload[] };
  ended: { code: number; reason: string; byPeer: boolean; unacknowledged: Payload[] };
  /** The server wants this client later, elsewhere, or with another ticket. */
  refused: Refused;
  goaway: [kind: Kind, after: number, spread: number, url: string];
  /** The server asks for a fresh ticket. */
  ticket: object;
  /** Another socket should be opened beside this one. */
  suspect: object;
}

export type Emit = <T extends keyof SessionEvents>(type: T, event: SessionEvents[T]) => void;

/** What survives the page. */
export type Stored = [id: number[], token: number[], attempt: number, recv: number, next: number];

export interface SessionConfig {
  /** The wall clock, in ms. */
  clock: () => number;
  /** What this end takes before its application has taken it, in bytes; each message costs 32 more. */
  window: number;
  maxMessage: number;
  /** How long the server should keep the session while it is detached, in ms. */
  ttl: number;
  /** With a store, a message is done when it was taken, and not when it was received. */
  store?: Pick<SessionStore, 'save'> | undefined;
}

export interface Session {
  readonly attached: boolean;
  /** Whether a socket carries this session, attached or saying HELLO. */
  readonly linked: boolean;
  readonly suspected: boolean;
  /** What the server said last. */
  readonly welcome: Accepted | undefined;
  /** The smoothed round trip, in ms. */
  readonly measured: number | undefined;
  /** Payload bytes, messages, and their frames, that the server may still need. */
  readonly bytes: number;
  readonly count: number;
  readonly frames: Uint8Array[];
  /** When to call `tick`. */
  readonly deadline: number;
  /**
   * Gives this session to a new socket and returns the HELLO for it. Whatever an older socket does has no effect from now on. A HELLO
   * that goes out at once, on an open socket, measures the round trip.
   */
  hello(link: Link, ticket: Uint8Array, atOnce: boolean): Uint8Array;
  /** A WebSocket message arrived on a socket. */
  receive(link: Link, message: string | Uint8Array): void;
  /** A socket was closed, with this code. */
  closed(link: Link, code: number): void;
  /** Closes the socket and keeps the session, such as before the page sleeps. */
  suspend(): void;
  /** Sends a DATA frame; a volatile one now or never. */
  send(frame: Uint8Array): void;
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

export function createSession(config: SessionConfig, emit: Emit, stored?: Stored): Session {
  const { clock } = config;
  const roundTrip = createRoundTrip();
  const newInbox = (first?: number) => createInbox(clock, config.window, !!config.store, first);
  let outbox = createOutbox(stored?.[4]);
  let inbox = newInbox(stored?.[3]);
  let welcome: Accepted | undefined;
  let ended = false;
  /** The socket; and its state, from its WELCOME on. */
  let link: Link | undefined;
  let live: Liveness | undefined;
  let token = Uint8Array.from(stored?.[1] ?? []);
  let attempt = stored?.[2] ?? 0;
  let epoch = 0;
  /** The application believes that it is attached. */
  let announced = false;
  let helloRecv = 0;
  let helloAt: number | undefined;
  let helloDue = Infinity;
  let goodbye: [code: number, reason: string] | undefined;
  let goodbyeSent = false;
  let goodbyeDue = Infinity;

  // ---------------------------------------------------------------- what goes out

  const save = () => config.store?.save([[...(welcome?.[10] ?? [])], [...token], attempt, inbox.done(), outbox.next]);

  const transmit = (frame: Uint8Array) => {
    save();
    link?.send(frame);
  };

  const counts = (): Counts => {
    const counts: Counts = [inbox.recv, inbox.done(), outbox.position, inbox.room()];
    inbox.stating();
    return counts;
  };

  const acknowledge = () => transmit(encode(Kind.Ack, counts()));

  const ask = () => transmit(encode(Kind.Ping, live!.ask(outbox.position), counts()));

  const bye = (kind: Kind, code: number, reason: string) => {
    const text = encodeText(reason);
    transmit(encode(kind, code, counts(), text.length, text));
  };

  /** Sends what may be sent and acknowledges what is due. */
  const flush = () => {
    if (!live) return;
    outbox.pump(welcome![4], transmit, (from, to, reason, known) => {
      transmit(encode(Kind.Gap, from, to, reason));
      if (!known) emit('gap', { direction: 'out', from, to, reason: REASONS[reason]! });
    });
    live?.waits(outbox.position, outbox.acked);
    if (live && goodbye && !goodbyeSent && outbox.position + 1 === outbox.next) {
      goodbyeSent = true;
      goodbyeDue = clock() + BYE_WITHIN;
      bye(Kind.Bye, ...goodbye);
    }
    if (live && clock() >= inbox.due) acknowledge();
  };

  // ---------------------------------------------------------------- ends

  const unlink = () => {
    link = live = undefined;
    helloDue = Infinity;
  };

  const end = (code: number, byPeer: boolean, reason = '', received?: number) => {
    if (ended) return;
    unlink();
    goodbyeDue = Infinity;
    ended = true;
    emit('ended', { code, byPeer, reason, unacknowledged: outbox.messages(received) });
  };

  const abort = (code: number) => {
    const last = link;
    if (last && (token.length || live)) bye(Kind.Bye, code, '');
    last?.close(code);
    end(code, false);
  };

  /** The session is lost: a new one follows. */
  const forget = () => {
    const unacknowledged = outbox.messages();
    outbox = createOutbox();
    inbox = newInbox();
    inbox.stating();
    epoch = 0;
    token = new Uint8Array();
    emit('lost', { unacknowledged });
  };

  /** A goodbye does not wait longer than the server remembers the session. */
  const leaveLater = () => {
    if (goodbye && !live) goodbyeDue = clock() + (welcome?.[5] || WELCOME_WITHIN);
  };

  const detach = () => {
    if (ended) return;
    unlink();
    if (!announced) return;
    announced = false;
    leaveLater();
    emit('detached', {});
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
    else demand(!(counts[0] || counts[1] || counts[2]), Code.Counters);
    if (status === Status.Lost) forget();
    outbox.begin(counts);
    if (helloAt !== undefined) roundTrip.sample(clock() - helloAt);
    live = createLiveness(clock, roundTrip, accepted[6] + accepted[7]);
    announced = true;
    goodbyeDue = Infinity;
    goodbyeSent = false;
    welcome = accepted;
    epoch = newEpoch;
    token = Uint8Array.from(accepted[9]);
    acknowledge(); // Confirms the token, which is stored before.
    emit(status === Status.Resumed ? 'resumed' : 'open', welcome);
  };

  const welcomed = (frame: Welcome) => {
    helloDue = Infinity;
    switch (frame[1]) {
      case Status.Ended:
        return end(frame[2], true, frame[4], frame[3]);
      case Status.Stale:
        return end(Code.Superseded, true);
      case Status.Version:
        return end(Code.Version, true);
      case Status.Busy:
      case Status.Moved:
      case Status.Auth:
        detach();
        return emit('refused', frame as Refused);
    }
    accepted(frame as Accepted);
  };

  const check = (counts: Counts) => {
    demand(counts[2] === inbox.recv, Code.Counters);
    outbox.acknowledge(counts);
    live!.waits(outbox.position, outbox.acked);
  };

  const handle = (frame: Frame) => {
    switch (frame[0]) {
      case Kind.Data: {
        const volatile = frame[1] >= Flag.Volatile;
        const release = volatile ? undefined : inbox.message(frame[3]);
        const taken = release && (() => (release(), flush()));
        return emit('message', { data: frame[2], volatile, taken });
      }
      case Kind.Ack:
        return check(frame[1]);
      case Kind.Ping:
        check(frame[2]);
        return transmit(encode(Kind.Pong, frame[1], counts()));
      case Kind.Pong:
        check(frame[2]);
        return live!.answered(frame[1], frame[2][0]);
      case Kind.Gap: {
        const [, from, to, reason] = frame;
        inbox.gap(from, to);
        return emit('gap', { direction: 'in', from, to, reason: REASONS[reason]! });
      }
      case Kind.Goaway:
        return emit('goaway', frame);
      case Kind.TicketWanted:
        return emit('ticket', {});
      case Kind.TicketAccepted:
        return;
      case Kind.Welcome:
        return demand(false);
    }
    const [kind, code, theirs, reason] = frame;
    try {
      check(theirs);
    } catch {
      // The session ends anyway, with the code of the BYE.
    }
    if (kind === Kind.ByeReply) {
      demand(goodbyeSent);
      link!.close(Code.Normal);
      end(goodbye![0], false, goodbye![1]);
    } else {
      bye(Kind.ByeReply, code, '');
      end(code, true, reason);
    }
  };

  return {
    get attached() {
      return !!live;
    },
    get linked() {
      return !!link;
    },
    get suspected() {
      return !!live?.suspected;
    },
    get welcome() {
      return welcome;
    },
    get measured() {
      return roundTrip.smoothed;
    },
    get bytes() {
      return outbox.bytes;
    },
    get count() {
      return outbox.next - outbox.lo;
    },
    get frames() {
      return outbox.frames();
    },
    get deadline() {
      const due = Math.min(helloDue, goodbyeDue);
      return live ? Math.min(due, inbox.due, live.deadDue(), live.questionDue(), live.suspectDue) : due;
    },

    hello(newLink, ticket, atOnce) {
      unlink();
      link = newLink;
      helloDue = clock() + WELCOME_WITHIN;
      helloRecv = inbox.recv;
      helloAt = atOnce ? clock() : undefined;
      attempt++;
      inbox.stating();
      save();
      return encode(
        Kind.Hello,
        [1, attempt, helloRecv, outbox.lo, outbox.next, inbox.room(), config.maxMessage, config.ttl],
        token.length,
        token,
        ticket.length,
        ticket,
      );
    },

    receive(from, message) {
      if (from !== link) return;
      try {
        demand(typeof message !== 'string');
        const frame = decode(message, config.maxMessage);
        live?.heard();
        if (live) handle(frame);
        else {
          demand(frame[0] === Kind.Welcome);
          welcomed(frame);
        }
      } catch (error) {
        if (!(error instanceof Violation)) throw error;
        abort(error.code);
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
        if (outbox.next === MAX) return abort(Code.Counters);
        outbox.accept(frame);
        flush();
      } else if (live) {
        link!.send(frame);
      }
    },

    authenticate(ticket) {
      if (live) transmit(encode(Kind.Ticket, ticket));
    },

    probe() {
      if (live) ask();
    },

    close(code, reason) {
      goodbye ??= [code, reason];
      leaveLater();
      flush();
    },

    forget,
    abort,

    tick() {
      if (clock() >= goodbyeDue) {
        link?.close(Code.Normal);
        end(goodbye![0], false, goodbye![1]);
      }
      if (clock() >= helloDue || (live && clock() >= live.deadDue())) drop(Code.Timeout);
      if (!live) return;
      if (clock() >= inbox.due) acknowledge();
      if (clock() >= live.suspectDue) {
        live.suspect();
        emit('suspect', {});
      } else if (clock() >= live.questionDue()) {
        ask();
      }
    },
  };
}
