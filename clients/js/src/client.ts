/** Opens WebSockets for a session, or for a plain connection, and tells the application what becomes of them. */

import type { EverwireEventMap } from './events.js';
import { Code, Status, bytesOf, encodeData, isEndCode, payloadOf, type Accepted, type Payload } from './frame.js';
import type { Asked, Options, Provided } from './options.js';
import { watch } from './page.js';
import { createReconnect } from './reconnect.js';
import { createSession, type Link, type Listener, type Session, type Stored } from './session.js';
import { PROTOCOL, absolute, offers, refuse } from './standard.js';

const clock = () => Date.now();

const ATTEMPT_WITHIN = 10_000;
/** A timer that comes so late has slept. */
const LATE = 2000;
/** At least so often the wall clock is looked at. */
const LOOK_EVERY = 10_000;
/** A HELLO has 2048 bytes at most, and a token is among them. */
const MAX_TICKET = 1600;
const MANDATORY_EXTENSION = 1010;
/** A SyntaxError and a SecurityError of the platform. */
const HOPELESS = [12, 18];

/** Which servers speak everwire.v1, by what is asked of them and URL without query. */
const verdicts: Record<string, boolean | undefined> = {};

export type Data = string | ArrayBufferLike | ArrayBufferView | Blob;
export type State = 'connecting' | 'attached' | 'detached' | 'plain' | 'closed';

/** Tells the application, and calls `finished` when its listeners are. */
type Dispatch = (type: keyof EverwireEventMap, properties?: object, finished?: () => void) => void;

/** What an application sees. */
export interface View {
  readonly url: string;
  /** OPEN from the first connection on, also while detached. */
  readonly readyState: number;
  /** The subprotocol of the connection of the moment. */
  readonly protocol: string;
  readonly state: State;
  /** The smoothed round trip in ms, once there is one. */
  readonly rtt: number | undefined;
  /** Payload bytes that the server may still need; on a plain connection, that were not sent. */
  readonly bufferedAmount: number;
  /** How binary messages are handed out. */
  binaryType: BinaryType;
  readonly extensions: string;
}

export interface Client {
  /** Each is asked without an argument, and with one to set it, which is in vain where that is not possible. */
  readonly view: { [K in keyof View]: (value?: any) => View[K] };
  send(data: Data, volatile: boolean): void;
  close(code?: number, reason?: string): void;
}

/** One WebSocket, which may become that of the session. */
interface Attempt extends Link {
  ws?: WebSocket;
  due: number;
}

function limit(what: string, size: number, limit: number | undefined) {
  if (size > limit!) throw new RangeError(`${what} of ${size} bytes, limit ${limit}`);
}

const provided = <T>(value: Provided<T>, asked: Asked) =>
  typeof value === 'function' ? (value as (asked: Asked) => T | Promise<T>)(asked) : value;

/** base64url without padding, for a HELLO among the subprotocols. See RFC 4648 §5. */
const base64url = (bytes: Uint8Array) =>
  btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

export function createClient(source: Provided<string | URL>, options: Options, dispatch: Dispatch): Client {
  const { session: mode = 'auto', early = true, bufferBytes = 1 << 20, bufferMessages = 4096, evict, store } = options;
  const protocols = offers(options.protocols);
  const reconnect = createReconnect(clock);
  const finished = new AbortController();
  let url = typeof source === 'function' ? '' : absolute(source);
  let readyState = 0;
  let binaryType = 'blob' as BinaryType;
  let session: Session;
  let plain = mode === 'off';
  /** The WebSocket that carries messages, and the one that is being opened. */
  let current: Attempt | undefined;
  let trying: Attempt | undefined;
  let retryAt = Infinity;
  let attempts = 0;
  /** Attempts that came to nothing before the first that did not. */
  let failures = 0;
  /** What a server said last, once one has answered everwire.v1. */
  let welcome: Accepted | undefined;
  /** A server that must speak it has answered without. */
  let mute: boolean | undefined;
  /** The application knows that it is open. */
  let told: 1 | undefined;
  /** The last ticket was refused. */
  let refused = false;
  /** Where the server sent us, and when to go there; 0 until we are there. */
  let moved: string | undefined;
  let moveAt = Infinity;
  /** When the ticket should be renewed. */
  let renewAt = Infinity;
  let asleep: boolean | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let timerAt = Infinity;
  /** What the application closes with. */
  let goodbye: [code: number, reason: string] = [Code.Normal, ''];
  /** What must be settled before the next attempt. */
  let ready: Promise<unknown> | undefined;
  /** Blobs are read one after the other; what is sent after one waits for it. */
  let reading: Promise<void> | undefined;
  let readingBytes = 0;

  /** Begins a session with what was sent before, which has no number yet. */
  const begin = (before: Payload[] = [], stored?: Stored) => {
    session = createSession(options, clock, listener, stored);
    for (const payload of before) session.send(encodeData(payload, false));
  };

  const place = () => mode + url.split('?')[0];

  const complain = (error: unknown) => void dispatch('error', { error });

  // ---------------------------------------------------------------- sending

  /** Makes room for a message of this size. Throws if it cannot be kept. */
  const admit = (size: number, volatile: boolean) => {
    limit('message', size, welcome?.[4]);
    for (const outbox = session.outbox(); !volatile; session.giveUp()) {
      const kept = outbox.bytes + readingBytes;
      const count = outbox.kept.length;
      if ((!kept || kept + size <= bufferBytes) && count < bufferMessages) return;
      if (!evict || session.live() || !count) refuse('QuotaExceededError', `${kept} bytes unacknowledged`);
    }
  };

  const sendFrame = (frame: Uint8Array) => {
    if (plain && current) current.ws!.send(payloadOf(frame) as string);
    else session.send(frame);
    settle();
  };

  /** Runs `action` after the blobs that are being read. */
  const inOrder = (action: () => unknown, size = 0, before = reading) => {
    if (!before) return void action();
    readingBytes += size;
    const last = (reading = before
      .then(action)
      .catch(complain)
      .then(() => {
        readingBytes -= size;
        if (last === reading) reading = undefined;
      }));
  };

  const send = (data: any, volatile: boolean) => {
    if (readyState > 1) return; // As the standard has it.
    if (data instanceof Blob) {
      const { size } = data;
      admit(size, volatile);
      const read = async () => sendFrame(encodeData(new Uint8Array(await data.arrayBuffer()), volatile));
      return inOrder(read, size, Promise.resolve(reading));
    }
    const payload = data?.byteLength >= 0 ? new Uint8Array(data.buffer ?? data, data.byteOffset, data.byteLength) : `${data}`;
    const frame = encodeData(payload, volatile); // A copy: the application may write over its own.
    admit(frame.length - 1, volatile);
    inOrder(() => sendFrame(frame), frame.length - 1);
  };

  // ---------------------------------------------------------------- connecting

  /** Forgets a WebSocket, and closes it if it is not. */
  const drop = (attempt: Attempt | undefined, code: number = Code.Normal) => {
    if (attempt === trying) trying = undefined;
    if (attempt === current) {
      current = undefined;
      moveAt = Infinity;
    }
    attempt?.ws?.close(code);
  };

  /** The attempt came to nothing. */
  const failed = () => {
    const { ws } = trying!;
    session.closed(trying!, Code.Abnormal);
    drop(trying);
    moved = undefined;
    // Perhaps it was our offer, if there was one: the other way is tried at once.
    if (ws && !plain && !welcome && failures++ % 2 === 0) {
      if (mute && !verdicts[place()]) finish(MANDATORY_EXTENSION, `no ${PROTOCOL}`);
      retryAt = clock();
    }
    settle();
  };

  const ticketFor = async (asked: Asked) => {
    const bytes = bytesOf(await provided(options.ticket ?? '', asked));
    limit('ticket', bytes.length, MAX_TICKET);
    return bytes;
  };

  const connect = async () => {
    const attempt: Attempt = {
      due: clock() + ATTEMPT_WITHIN,
      send: (frame) => attempt.ws!.send(frame as Uint8Array<ArrayBuffer>),
      close: (code) => drop(attempt, code),
    };
    trying = attempt;
    settle();
    /** There once the providers have answered. */
    let ticket: Uint8Array | undefined;
    try {
      await ready;
      const asked = { attempt: ++attempts, refresh: refused };
      const given = moved ?? (await provided(source, asked));
      ticket = await ticketFor(asked);
      if (attempt !== trying) return;
      const target = absolute(given);
      if (url.startsWith('wss:') > target.startsWith('wss:')) throw new RangeError(`${target} after ${url}`);
      url = target;
      open(attempt, ticket);
    } catch (error: any) {
      if (attempt !== trying) return;
      // No other attempt mends a URL that is none, or that the platform forbids.
      if (ticket && !moved && HOPELESS.includes(error?.code)) return finish(Code.Abnormal, '', false, undefined, error);
      complain(error);
      failed();
    }
    settle();
  };

  const open = (attempt: Attempt, ticket: Uint8Array) => {
    const offered = [...protocols];
    /** Its HELLO is in the upgrade. */
    const said = early && welcome && !current;
    // Chromium fails a connection whose offers are all ignored, and says nothing: so every other attempt is without.
    if (plain || !(welcome || (verdicts[place()] ?? failures % 2 === 0))) offered.shift();
    else if (said) offered.splice(1, 0, 'everwire-h.' + base64url(session.hello(attempt, ticket, false)));
    const ws = (attempt.ws = new (options.WebSocket ?? WebSocket)(url, offered));
    ws.binaryType = 'arraybuffer';

    ws.onopen = () => {
      if (attempt !== trying) return;
      const speaks = ws.protocol === PROTOCOL;
      // Where a session is required, the end comes when the offer has failed with the server known to be up.
      if (!speaks && (welcome || (mute = mode === 'required'))) return failed();
      verdicts[place()] = speaks; // Also if the connection breaks before WELCOME.
      // From the HELLO on the older socket has no effect.
      if (speaks && !said) attempt.send(session.hello(attempt, ticket, true));
      drop(current);
      current = attempt;
      trying = undefined;
      if (!speaks) becomePlain(ws);
      settle();
    };

    ws.onmessage = ({ data }) => {
      if (attempt !== current) return;
      if (plain) deliver(data);
      else session.receive(attempt, data);
      if (content()) drop(trying); // The first socket spoke before the second had said HELLO.
      settle();
    };

    ws.onclose = ({ code, reason, wasClean }) => {
      if (attempt === trying) return failed();
      if (attempt !== current) return;
      const again = reconnect.closed(code, reason, moveAt);
      drop(attempt);
      retryAt = Infinity;
      if (!plain) session.closed(attempt, code);
      else if (readyState > 1 || !again) return finish(code, reason, wasClean);
      else dispatch('detached');
      settle();
    };

    // That of Node 22 closes a connection that came to nothing much later.
    ws.onerror = () => attempt === trying && failed();
  };

  const becomePlain = (ws: WebSocket) => {
    const before = session.outbox().payloads();
    reconnect.attach();
    if (told) dispatch('lost', { unacknowledged: [] });
    plain = true;
    attach(true);
    begin();
    for (const payload of before) ws.send(payload as string);
    if (readyState > 1 && !reading) ws.close(...goodbye);
  };

  // ---------------------------------------------------------------- what happens to the session

  const attach = (fresh: boolean) => {
    if (told) dispatch('resumed', { fresh });
    else if (!readyState) {
      told = readyState = 1;
      dispatch('open');
    } // Else it was closed before it opened.
  };

  /** What a message event has of what came. */
  const present = (data: any) => (typeof data !== 'object' ? data : binaryType === 'blob' ? new Blob([data]) : data.buffer ?? data);

  const deliver = (data: Payload | ArrayBuffer, taken?: () => void) =>
    dispatch('message', { data: present(data), origin: new URL(url).origin }, () => {
      taken?.(); // The server may send more.
      settle();
    });

  const listener: Listener = {
    attached(accepted, fresh) {
      welcome = accepted;
      refused = false;
      reconnect.attach(welcome[8]);
      if (fresh) void store?.claim(welcome[10]);
      attach(fresh);
    },

    message: deliver,
    tell: dispatch,

    ended(code, byPeer, reason, unacknowledged) {
      drop(current);
      // It selects a protocol that it does not speak.
      const pretends = !welcome && !byPeer && mode === 'auto' && code === Code.Malformed;
      if (pretends) verdicts[place()] = false;
      if (!pretends && (code < 3000 || code >= Code.Malformed || readyState > 1)) {
        return finish(code, reason, byPeer || code === goodbye[0], unacknowledged);
      }
      store?.forget();
      begin(pretends ? unacknowledged : []);
      if (readyState > 1) session.close(...goodbye);
      if (!pretends) dispatch('lost', { unacknowledged, code, reason });
    },

    refused([, status, after, spread]) {
      drop(current);
      reconnect.advise(0, 0);
      if (status === Status.Busy) reconnect.advise(after, spread);
      if (status === Status.Moved) moved = after;
      if (status === Status.Auth) {
        if (refused || typeof options.ticket !== 'function') session.abort(Code.Unauthenticated);
        refused = true;
      }
    },

    advised([, after, spread, elsewhere]) {
      moved = elsewhere || moved;
      moveAt = Math.max(clock() + after + Math.random() * spread, reconnect.patience());
    },

    renewal(after) {
      renewAt = clock() + after;
    },

    suspect() {
      if (!trying) void connect();
    },
  };

  const finish = (code: number, reason = '', wasClean = false, unacknowledged = session.outbox().payloads(), error?: unknown) => {
    if (readyState > 2) return;
    readyState = 3;
    drop(current);
    drop(trying);
    store?.forget();
    finished.abort();
    settle();
    if (!wasClean) complain(error);
    dispatch('close', { code, reason, wasClean, unacknowledged });
  };

  // ---------------------------------------------------------------- the page and the clock

  const wake = () => {
    // Another tab may have taken the session meanwhile.
    if (asleep) ready = ready?.then(() => store!.claim()).then((ours) => ours || session.forget());
    asleep = false;
    session.probe();
    retryAt = reconnect.wake(retryAt);
    tick();
  };

  /** Without a socket and a lock, the page may be kept for the way back. */
  const sleep = () => {
    asleep = true;
    session.suspend();
    drop(current);
    drop(trying);
    store?.release();
    settle();
  };

  const leave = () => (store || plain ? sleep() : session.abort(Code.Normal));

  const renew = () => {
    renewAt = Infinity;
    ticketFor({ attempt: attempts, refresh: true }).then(session.authenticate, complain);
  };

  /** Whether the WebSocket that is there will do. */
  const content = () => current && session.live()?.suspectDue !== 0 && moveAt;

  /** Whether another WebSocket is wanted. */
  const wanting = () => !trying && !content();

  const tick = () => {
    const now = clock();
    session.tick();
    if (now >= trying?.due!) failed();
    if (now >= moveAt) retryAt = moveAt = 0;
    if (now >= renewAt) renew();
    if (now >= retryAt && wanting()) void connect();
    settle();
  };

  /** Sees to it that what is to come will come. */
  const settle = () => {
    const now = clock();
    if (readyState > 2 || asleep) {
      clearTimeout(timer);
      timerAt = Infinity;
      return;
    }
    if (!wanting()) retryAt = Infinity;
    else if (retryAt === Infinity) retryAt = now + reconnect.delay(!!current);
    const at = Math.min(session.deadline(), renewAt, moveAt || Infinity, retryAt, trying?.due ?? Infinity, now + LOOK_EVERY);
    if (at >= timerAt) return; // Then it looks again.
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(() => {
      timerAt = Infinity;
      if (clock() - at > LATE) wake();
      else tick();
    }, at - now);
  };

  begin();
  ready = store?.restore().then((stored) => stored && begin(session.outbox().payloads(), stored));
  watch(wake, sleep, leave, finished.signal);
  void connect();

  return {
    view: {
      extensions: () => '',
      url: () => url,
      readyState: () => readyState,
      protocol: () => current?.ws!.protocol ?? '',
      rtt: () => session.roundTrip.smoothed,
      bufferedAmount: () => session.outbox().bytes + readingBytes + (plain && current ? current.ws!.bufferedAmount : 0),
      binaryType(type) {
        if (/^(blob|arraybuffer)$/.test(type)) binaryType = type;
        return binaryType;
      },
      state() {
        if (readyState > 2) return 'closed';
        if (plain ? current : session.announced()) return plain ? 'plain' : 'attached';
        return told ? 'detached' : 'connecting';
      },
    },
    send,
    close(code: number = Code.Normal, reason = '') {
      if (!isEndCode(code)) refuse('InvalidAccessError', `code ${code}`);
      if (bytesOf(reason).length > 123) refuse('SyntaxError', 'reason above 123 bytes');
      if (readyState > 1) return;
      readyState = 2;
      goodbye = [code, reason];
      inOrder(() => {
        if (plain && current) {
          current.ws!.close(...goodbye); // Platforms do not wait for ever.
        } else if (!welcome && !session.outbox().kept.length) {
          setTimeout(finish, 0, Code.Abnormal);
        } else {
          session.close(...goodbye);
        }
        settle();
      });
    },
  };
}
