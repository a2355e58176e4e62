/** Opens WebSockets for a session, or for a plain connection, and tells the application what becomes of them. */

import type { EverwireEventMap } from './events.js';
import { Code, Status, encodeData, encodeText, payloadOf, type Kind, type Payload, type Refused } from './frame.js';
import type { Asked, Options, Provided } from './options.js';
import { watch } from './page.js';
import { createReconnect } from './reconnect.js';
import { createSession, type Link, type Emit, type Session, type Stored } from './session.js';

const clock = () => Date.now();

const PROTOCOL = 'everwire.v1';
const ATTEMPT_WITHIN = 10_000;
const CLOSE_WITHIN = 5000;
/** A timer that comes so late has slept. */
const LATE = 2000;
/** At least so often the wall clock is looked at. */
const LOOK_EVERY = 10_000;
/** A HELLO has 2048 bytes at most, and a token is among them. */
const MAX_TICKET = 1600;
const ABNORMAL = 1006;
const MANDATORY_EXTENSION = 1010;

/** Which servers speak everwire.v1, by URL without query. */
const verdicts = new Map<string, boolean>();

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
}

export interface Client {
  readonly view: View;
  send(data: Data, volatile: boolean): void;
  close(code?: number, reason?: string): void;
}

/** One WebSocket, which may become that of the session. */
interface Attempt extends Link {
  ws?: WebSocket;
  due: number;
  /** Its HELLO is in the upgrade. */
  said?: boolean;
}

const absolute = (url: string | URL) => new URL(url, globalThis.location?.href).href.replace(/^http/, 'ws');
const bare = (url: string) => url.replace(/[?#].*/, '');
const bytesOf = (data: string | ArrayBuffer) => (typeof data === 'string' ? data : new Uint8Array(data));

async function provided<T>(value: Provided<T>, asked: Asked): Promise<T> {
  return typeof value === 'function' ? (value as (asked: Asked) => T | Promise<T>)(asked) : value;
}

/** base64url without padding, for a HELLO among the subprotocols. See RFC 4648 §5. */
const base64url = (bytes: Uint8Array) =>
  btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

export function createClient(source: Provided<string | URL>, options: Options, dispatch: Dispatch): Client {
  const { session: mode = 'auto', early = true, bufferBytes = 1 << 20, bufferMessages = 4096, store } = options;
  const reconnect = createReconnect(clock);
  const finished = new AbortController();
  let url = typeof source === 'function' ? '' : absolute(source);
  let readyState = 0;
  let session: Session;
  let plain = false;
  /** The WebSocket that carries messages, and the one that is being opened. */
  let current: Attempt | undefined;
  let trying: Attempt | undefined;
  let retryAt = Infinity;
  let attempts = 0;
  /** Attempts that came to nothing before the first that did not. */
  let failures = 0;
  /** A server has answered everwire.v1. */
  let welcomed = false;
  let refusals = 0;
  /** Where the server sent us, and when to go there; 0 until we are there. */
  let moved: string | undefined;
  let moveAt = Infinity;
  let closeAt = Infinity;
  let asleep = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let timerAt = Infinity;
  /** What must be settled before the next attempt. */
  let ready: Promise<unknown> | undefined;
  /** Blobs are read one after the other; what is sent after one waits for it. */
  let reading: Promise<void> | undefined;
  let readingBytes = 0;

  /** Begins a session. What was sent before any server was there has no number yet. */
  const begin = (stored?: Stored) => {
    const { window = 262_144, maxMessage = 1_048_576, ttl = 60_000 } = options;
    const before = welcomed ? [] : (session?.frames ?? []);
    const emit: Emit = (type, event) => created === session && happened(type, event);
    const created = createSession({ clock, window, maxMessage, ttl, store }, emit, stored);
    session = created;
    for (const frame of before) session.send(frame);
  };

  // ---------------------------------------------------------------- sending

  /** Throws if a message of this size cannot be kept. */
  const admit = (size: number, volatile: boolean) => {
    const limit = session.welcome?.[4];
    if (size > limit!) throw new RangeError(`${size} bytes, the server takes ${limit}`);
    const kept = session.bytes + readingBytes;
    if (!volatile && ((kept && kept + size > bufferBytes) || session.count >= bufferMessages)) {
      throw new DOMException(`${kept} bytes are unacknowledged`, 'QuotaExceededError');
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
    const last = before
      .then(action)
      .catch((error) => void dispatch('error', { error }))
      .then(() => {
        readingBytes -= size;
        if (last === reading) reading = undefined;
      });
    reading = last;
  };

  const send = (data: any, volatile: boolean) => {
    if (readyState > 1) return; // As the standard has it.
    if (data instanceof Blob) {
      const { size } = data;
      admit(size, volatile);
      const read = async () => sendFrame(encodeData(new Uint8Array(await data.arrayBuffer()), volatile));
      return inOrder(read, size, reading ?? Promise.resolve());
    }
    const payload = typeof data === 'object' ? new Uint8Array(data.buffer ?? data, data.byteOffset, data.byteLength) : `${data}`;
    const frame = encodeData(payload, volatile); // A copy: the application may write over its own.
    admit(frame.length - 1, volatile);
    inOrder(() => sendFrame(frame), frame.length - 1);
  };

  // ---------------------------------------------------------------- connecting

  /** Forgets a WebSocket, and closes it if it is not. */
  const drop = (attempt: Attempt | undefined, code: number = Code.Normal) => {
    if (attempt === trying) trying = undefined;
    if (attempt === current) current = undefined;
    const ws = attempt?.ws;
    if (!ws) return;
    ws.onopen = ws.onmessage = ws.onclose = null;
    ws.close(code);
  };

  /** The attempt came to nothing. */
  const failed = () => {
    if (trying?.said) session.closed(trying, ABNORMAL);
    drop(trying);
    moved = undefined;
    // Perhaps it was our offer: the other way is tried at once.
    if (failures++ % 2 === 0 && !welcomed && mode === 'auto' && !plain) retryAt = clock();
    settle();
  };

  const ticketFor = async (asked: Asked) => {
    const ticket = await provided(options.ticket ?? '', asked);
    const bytes = typeof ticket === 'string' ? encodeText(ticket) : ticket;
    if (bytes.length > MAX_TICKET) throw new RangeError(`ticket of ${bytes.length} bytes, at most ${MAX_TICKET}`);
    return bytes;
  };

  const connect = async () => {
    const now = clock();
    const attempt: Attempt = {
      due: now + ATTEMPT_WITHIN,
      send: (frame) => attempt.ws!.send(frame as Uint8Array<ArrayBuffer>),
      close: (code) => drop(attempt, code),
    };
    trying = attempt;
    reconnect.attempting();
    settle();
    try {
      await ready;
      const asked = { attempt: ++attempts, refresh: refusals > 0 };
      const target = absolute(moved ?? (await provided(source, asked)));
      const ticket = await ticketFor(asked);
      if (attempt === trying) open(attempt, target, ticket);
    } catch (error) {
      if (attempt !== trying) return;
      dispatch('error', { error });
      failed();
    }
  };

  const open = (attempt: Attempt, target: string, ticket: Uint8Array) => {
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    url = target;
    const verdict = welcomed || verdicts.get(bare(url));
    // Chromium fails a connection whose offers are all ignored, and says nothing: so every other attempt is without.
    const offers = mode === 'required' || (mode === 'auto' && !plain && (verdict ?? failures % 2 === 0));
    const offered = [options.protocols ?? []].flat();
    if (offers) {
      attempt.said = early && welcomed && !session.linked;
      if (attempt.said) offered.unshift('everwire-h.' + base64url(session.hello(attempt, ticket, false)));
      offered.unshift(PROTOCOL);
    }
    const ws = (attempt.ws = new WebSocket(url, offered));
    ws.binaryType = 'arraybuffer';
    ws.onopen = () => opened(attempt, ws, ticket);
    ws.onmessage = ({ data }) => received(attempt, data);
    ws.onclose = (event) => lost(attempt, event);
    ws.onerror = () => {}; // A close follows. Some implementations want to be heard.
    settle();
  };

  const opened = (attempt: Attempt, ws: WebSocket, ticket: Uint8Array) => {
    if (ws.protocol === PROTOCOL) {
      // From the HELLO on the older socket has no effect.
      if (!attempt.said) attempt.send(session.hello(attempt, ticket, true));
      drop(current);
      current = attempt;
      trying = undefined;
    } else if (welcomed) {
      failed();
    } else if (mode === 'required') {
      finish(MANDATORY_EXTENSION, `the server does not speak ${PROTOCOL}`);
    } else {
      becomePlain(attempt, ws);
    }
    settle();
  };

  const becomePlain = (attempt: Attempt, ws: WebSocket) => {
    current = attempt;
    trying = undefined;
    if (mode === 'auto') verdicts.set(bare(url), false);
    reconnect.attach();
    if (plain) dispatch('lost', { unacknowledged: [] });
    plain = true;
    attach(true);
    const { frames } = session;
    welcomed = true; // Nothing is carried over from here.
    begin();
    welcomed = false;
    for (const frame of frames) ws.send(payloadOf(frame) as string);
    if (readyState === 2) ws.close(Code.Normal);
  };

  const received = (attempt: Attempt, data: string | ArrayBuffer) => {
    if (attempt !== current) return;
    if (plain) deliver(bytesOf(data));
    else session.receive(attempt, bytesOf(data));
    // The first socket spoke before the second had said HELLO.
    if (session.attached && !session.suspected && moveAt) drop(trying);
    settle();
  };

  const lost = (attempt: Attempt, { code, reason, wasClean }: CloseEvent) => {
    if (attempt === trying) return failed();
    if (attempt !== current) return;
    const again = reconnect.closed(code, reason);
    current = undefined;
    if (!plain) {
      session.closed(attempt, code);
    } else if (readyState === 2 || !again) {
      return finish(code, reason, wasClean);
    } else {
      reconnect.lost();
      dispatch('detached');
    }
    settle();
  };

  // ---------------------------------------------------------------- what happens to the session

  const happened: Emit = (type, event: any) => {
    const now = clock();
    switch (type) {
      case 'open':
      case 'resumed': {
        const fresh = type === 'open';
        welcomed = true;
        refusals = 0;
        moveAt = Infinity;
        verdicts.set(bare(url), true);
        reconnect.attach(event[8]);
        if (fresh) void store?.claim(event[10]);
        return attach(fresh);
      }
      case 'message':
        return deliver(event.data, event.taken);
      case 'ended':
        return ended(event.code, event.byPeer, event.reason, event.unacknowledged);
      case 'refused':
        return refused(event);
      case 'goaway':
        moved = event[3] || moved;
        moveAt = now + event[1] + Math.random() * event[2];
        return;
      case 'ticket':
        return void ticketFor({ attempt: attempts, refresh: true }).then(
          (ticket) => session.authenticate(ticket),
          (error) => dispatch('error', { error }),
        );
      case 'suspect':
        return void (trying || connect());
      case 'detached':
        reconnect.lost();
    }
    dispatch(type as keyof EverwireEventMap, event);
  };

  const refused = ([, status, after, spread]: Refused | [Kind, Status, any, any]) => {
    drop(current);
    reconnect.advise(0, 0);
    if (status === Status.Busy) reconnect.advise(after, spread);
    if (status === Status.Moved) moved = after;
    if (status === Status.Auth && (refusals++ || typeof options.ticket !== 'function')) session.abort(Code.Unauthenticated);
  };

  const ended = (code: number, byPeer: boolean, reason: string, unacknowledged: Payload[]) => {
    drop(current);
    store?.forget();
    // It selects a protocol that it does not speak.
    const mute = !welcomed && !byPeer && mode === 'auto' && code === Code.Malformed;
    if (mute) failures++;
    if (!mute && (code < 3000 || code >= Code.Malformed || readyState > 1)) {
      return finish(code, reason, byPeer || code < Code.Timeout, unacknowledged);
    }
    begin();
    if (!mute) dispatch('lost', { unacknowledged });
  };

  const attach = (fresh: boolean) => {
    if (readyState) return void dispatch('resumed', { fresh });
    readyState = 1;
    dispatch('open');
  };

  const deliver = (data: Payload, taken?: () => void) =>
    dispatch('message', { data, origin: new URL(url).origin }, () => {
      taken?.(); // The server may send more.
      settle();
    });

  const finish = (code: number, reason = '', wasClean = false, unacknowledged: Payload[] = []) => {
    if (readyState > 2) return;
    readyState = 3;
    drop(current);
    drop(trying);
    store?.forget();
    store?.release();
    finished.abort();
    settle();
    if (!wasClean) dispatch('error');
    dispatch('close', { code, reason, wasClean, unacknowledged });
  };

  // ---------------------------------------------------------------- the page and the clock

  const wake = () => {
    if (asleep && store && session.welcome) {
      // Another tab may have taken the session meanwhile.
      ready = store.claim(session.welcome[10]).then((ours) => ours || session.forget());
    }
    asleep = false;
    tick();
    session.probe();
    retryAt = reconnect.wake(retryAt);
    settle();
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

  /** Whether another WebSocket is wanted. */
  const wanting = () => !trying && (plain ? !current : !session.linked || session.suspected || !moveAt);

  const tick = () => {
    const now = clock();
    session.tick();
    if (now >= trying?.due!) failed();
    if (now >= closeAt) finish(ABNORMAL);
    if (now >= moveAt) retryAt = moveAt = 0;
    if (now >= retryAt) {
      retryAt = globalThis.navigator?.onLine === false ? now + LOOK_EVERY : Infinity; // True means little.
      if (retryAt === Infinity && wanting()) void connect();
    }
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
    if (wanting() && retryAt === Infinity) retryAt = now + reconnect.delay();
    const at = Math.min(session.deadline, retryAt, closeAt, moveAt || Infinity, trying?.due ?? Infinity, now + LOOK_EVERY);
    if (timerAt <= at && timerAt > now) return; // A timer that comes too early looks again.
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(() => {
      timerAt = Infinity;
      if (clock() - at > LATE) wake();
      else tick();
    }, at - now);
  };

  begin();
  ready = store?.restore().then((stored) => stored && begin(stored));
  watch({ wake, sleep, leave }, finished.signal);
  void connect();

  return {
    view: {
      get url() {
        return url;
      },
      get readyState() {
        return readyState;
      },
      get protocol() {
        return current?.ws?.protocol ?? '';
      },
      get state() {
        if (readyState > 2) return 'closed';
        if (plain ? current : session.attached) return plain ? 'plain' : 'attached';
        return readyState ? 'detached' : 'connecting';
      },
      get rtt() {
        return session.measured;
      },
      get bufferedAmount() {
        return session.bytes + readingBytes + ((plain && current?.ws?.bufferedAmount) || 0);
      },
    },
    send,
    close(code = Code.Normal, reason = '') {
      if ((code !== 1000 && !(code > 2999 && code < 5000)) || encodeText(reason).length > 123) {
        throw new DOMException('the code must be 1000 or 3000 to 4999, the reason at most 123 bytes', 'InvalidAccessError');
      }
      if (readyState > 1) return;
      const hurry = !readyState;
      readyState = 2;
      inOrder(() => {
        if (plain) {
          closeAt = clock() + (current ? CLOSE_WITHIN : 0);
          current?.ws!.close(code, reason);
        } else if (hurry && !session.count) {
          closeAt = 0;
        } else {
          session.close(code, reason);
        }
        settle();
      });
    },
  };
}
