/** A WebSocket that survives its connections: the standard interface around a session. */

import * as frames from './frame.js';
import { Code, Status, base64url, payloadOf } from './frame.js';
import { Listeners, makeEvent } from './listeners.js';
import type { Asked, Options, Provided, WebSocketConstructor } from './options.js';
import { isOffline, watch } from './page.js';
import { Reconnect } from './reconnect.js';
import { Session, type Ended, type Link, type SessionEvent, type Stored } from './session.js';
import { Tab } from './tab.js';

const PROTOCOL = 'everwire.v1';
const ATTEMPT_WITHIN = 10_000;
const CLOSE_WITHIN = 5000;
/** A timer that comes so late has slept. */
const LATE = 2000;
/** At least so often the wall clock is looked at. */
const LOOK_EVERY = 10_000;
/** A HELLO has 2048 bytes at most, and a token is among them. */
const MAX_TICKET = 1600;
const MANDATORY_EXTENSION = 1010;

const REASONS = ['', 'evicted-bytes', 'evicted-age', 'conflated', 'restart', 'oversize'];
const EVENTS = ['open', 'message', 'error', 'close', 'detached', 'resumed', 'gap', 'lost'] as const;

/** Which servers speak everwire.v1, by URL without query. */
const verdicts = new Map<string, boolean>();

/** One WebSocket, which may become that of the session. */
interface Attempt {
  ws?: WebSocket;
  due: number;
  link: Link;
}

export type Data = string | ArrayBufferLike | ArrayBufferView | Blob;
export type State = 'connecting' | 'attached' | 'detached' | 'plain' | 'closed';

/** Messages of one direction that will not come. */
export interface GapEvent extends Event {
  readonly direction: 'in' | 'out';
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

/** The other end has forgotten this one. What it had not acknowledged is handed back. */
export interface LostEvent extends Event {
  readonly unacknowledged: (string | Uint8Array)[];
}

/** Attached again. */
export interface ResumedEvent extends Event {
  /** The other end is a new one, that knows nothing of before. */
  readonly fresh: boolean;
}

export interface EverwireEventMap {
  open: Event;
  message: MessageEvent;
  error: Event;
  close: CloseEvent & { readonly unacknowledged: (string | Uint8Array)[] };
  detached: Event;
  resumed: ResumedEvent;
  gap: GapEvent;
  lost: LostEvent;
}

type On = { [K in keyof EverwireEventMap as `on${K}`]: ((event: EverwireEventMap[K]) => unknown) | null };

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface EverwireSocket extends On {}

export class EverwireSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSING: 2;
  declare readonly CLOSED: 3;

  /** How binary messages are handed out. */
  binaryType: BinaryType = 'blob';
  readonly extensions = '';

  #options: Options;
  #provider: Provided<string | URL>;
  #url = '';
  #readyState = 0;
  #session: Session;
  #plain = false;
  /** The WebSocket that carries messages, and the one that is being opened. */
  #current: Attempt | undefined;
  #trying: Attempt | undefined;
  #reconnect = new Reconnect();
  #retryAt = Infinity;
  #attempts = 0;
  /** Attempts that came to nothing before the first that did not. */
  #failures = 0;
  #welcomed = false;
  #refusals = 0;
  /** Where the server sent us. */
  #moved: string | undefined;
  #moveAt = Infinity;
  #closeAt = Infinity;
  #asleep = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  #listeners = new Listeners();
  #finished = new AbortController();
  #tab: Tab | undefined;
  /** What must be settled before the next attempt. */
  #ready: Promise<unknown> | undefined;
  /** Blobs are read one after the other; what is sent after one waits for it. */
  #reading: Promise<void> | undefined;
  #readingBytes = 0;

  /** Connects. The second argument may be subprotocols, as the standard has them. */
  constructor(url: Provided<string | URL>, options: Options | string | string[] = {}) {
    this.#options = typeof options === 'string' || Array.isArray(options) ? { protocols: options } : options;
    this.#provider = typeof url === 'function' ? url : absolute(url);
    if (typeof this.#provider === 'string') this.#url = this.#provider;
    this.#session = this.#begin();
    const { persist, storage = globalThis.sessionStorage } = this.#options;
    if (persist !== undefined && storage) {
      this.#tab = new Tab(persist, storage, globalThis.navigator?.locks);
      this.#ready = this.#tab.restore().then((stored) => {
        if (stored) this.#begin(stored);
      });
    }
    watch({ wake: () => this.#wake(), sleep: () => this.#sleep(), leave: () => this.#leave() }, this.#finished.signal);
    void this.#connect();
  }

  get url(): string {
    return this.#url;
  }

  /** OPEN from the first connection on, also while detached. */
  get readyState(): number {
    return this.#readyState;
  }

  get protocol(): string {
    return this.#current?.ws?.protocol ?? '';
  }

  get state(): State {
    if (this.#readyState === 3) return 'closed';
    if (this.#plain ? this.#current : this.#session.attached) return this.#plain ? 'plain' : 'attached';
    return this.#readyState ? 'detached' : 'connecting';
  }

  /** The smoothed round trip in ms, once there is one. */
  get rtt(): number | undefined {
    return this.#session.roundTrip.smoothed;
  }

  /** Payload bytes that the server has not acknowledged; on a plain connection, that were not sent. */
  get bufferedAmount(): number {
    return this.#session.bufferedAmount + this.#readingBytes + (this.#plain ? (this.#current?.ws?.bufferedAmount ?? 0) : 0);
  }

  /**
   * Sends a message, now or when there is a connection again. Throws if it is larger than the server takes, or if what is kept would
   * exceed the buffer.
   */
  send(data: Data): void {
    this.#send(data, false);
  }

  /** Sends a message that may be dropped: it goes out now or never. */
  sendVolatile(data: Data): void {
    this.#send(data, true);
  }

  /** Ends the session when everything has been sent. The code is 1000 or 3000 to 4999. */
  close(code = 1000, reason = ''): void {
    if (code !== 1000 && !(code >= 3000 && code < 5000)) throw new DOMException(`close code ${code}`, 'InvalidAccessError');
    if (new TextEncoder().encode(reason).length > 123) throw new DOMException('close reason above 123 bytes', 'SyntaxError');
    if (this.#readyState > 1) return;
    const opened = this.#readyState;
    this.#readyState = 2;
    this.#inOrder(() => {
      if (this.#plain) {
        this.#closeAt = Date.now() + (this.#current ? CLOSE_WITHIN : 0);
        this.#current?.ws?.close(code, reason);
      } else if (opened || this.#session.bufferedMessages) {
        this.#session.close(code, reason, Date.now());
      } else {
        this.#closeAt = Date.now();
      }
      this.#settle();
    });
  }

  addEventListener<K extends keyof EverwireEventMap>(
    type: K,
    listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    this.#listeners.add(type, listener as EventListener | null, options);
  }

  removeEventListener<K extends keyof EverwireEventMap>(
    type: K,
    listener: ((event: EverwireEventMap[K]) => unknown) | EventListenerObject | null,
  ): void {
    if (listener) this.#listeners.remove(type, listener as EventListener);
  }

  dispatchEvent(event: Event): boolean {
    this.#listeners.dispatch(this, event);
    return !event.defaultPrevented;
  }

  static {
    for (const type of EVENTS) {
      Object.defineProperty(this.prototype, `on${type}`, {
        get(this: EverwireSocket) {
          return this.#listeners.handler(type);
        },
        set(this: EverwireSocket, handler: unknown) {
          this.#listeners.handle(type, handler);
        },
        enumerable: true,
        configurable: true,
      });
    }
    Object.assign(this.prototype, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });
  }

  // ---------------------------------------------------------------- sending

  #send(data: Data, volatile: boolean): void {
    if (this.#readyState > 1) return; // As the standard has it.
    if (data instanceof Blob) {
      this.#admit(data.size, volatile);
      this.#readingBytes += data.size;
      this.#inOrder(async () => {
        const bytes = await data.arrayBuffer().finally(() => (this.#readingBytes -= data.size));
        this.#dispatchFrame(frames.data(new Uint8Array(bytes), volatile), volatile);
      }, true);
      return;
    }
    const frame = frames.data(payload(data), volatile); // A copy: the application may write over its own.
    const size = frame.length - 1;
    this.#admit(size, volatile);
    if (!this.#reading) return this.#dispatchFrame(frame, volatile);
    this.#readingBytes += size;
    this.#inOrder(() => {
      this.#readingBytes -= size;
      this.#dispatchFrame(frame, volatile);
    });
  }

  /** Throws if a message of this size cannot be kept. */
  #admit(size: number, volatile: boolean): void {
    const { bufferBytes = 1 << 20, bufferMessages = 4096 } = this.#options;
    const limit = this.#session.welcome?.maxMessage ?? Infinity;
    if (size > limit) throw new RangeError(`message of ${size} bytes, the server takes ${limit}`);
    const kept = this.#session.bufferedAmount + this.#readingBytes;
    if (volatile || (!kept && size <= limit && this.#session.bufferedMessages < bufferMessages)) return;
    if (kept + size > bufferBytes || this.#session.bufferedMessages >= bufferMessages) {
      throw new DOMException(`${kept} bytes are unacknowledged, the limit is ${bufferBytes}`, 'QuotaExceededError');
    }
  }

  /** Runs `action` after the blobs that are being read. */
  #inOrder(action: () => unknown, wait = false): void {
    if (!this.#reading && !wait) return void action();
    const reading: Promise<void> = (this.#reading ?? Promise.resolve())
      .then(action)
      .catch((error) => this.#dispatch('error', { error }))
      .then(() => {
        if (this.#reading === reading) this.#reading = undefined;
      });
    this.#reading = reading;
  }

  #dispatchFrame(frame: Uint8Array, volatile: boolean): void {
    if (!this.#plain || !this.#current) this.#session.send(frame, volatile, Date.now());
    else this.#current.ws!.send(payloadOf(frame) as Uint8Array<ArrayBuffer>);
    this.#settle();
  }

  // ---------------------------------------------------------------- connecting

  #begin(stored?: Stored): Session {
    const { window = 262_144, maxMessage = 1_048_576, ttl = 60_000 } = this.#options;
    const tab = () => this.#tab;
    const save = (stored: Stored) => tab()?.save(stored);
    const manual = this.#options.persist !== undefined;
    const before = this.#session as Session | undefined;
    const session: Session = new Session({ window, maxMessage, ttl, probes: true, manual, save }, (event) => {
      if (session === this.#session) this.#on(event);
    }, stored);
    this.#session = session;
    // What was sent before any server was there has no number yet.
    if (before && !this.#welcomed) for (const frame of before.drain()) session.send(frame, false, 0);
    return session;
  }

  async #connect(): Promise<void> {
    const now = Date.now();
    this.#retryAt = isOffline() ? now + LOOK_EVERY : Infinity;
    if (isOffline()) return this.#settle();
    const attempt: Attempt = (this.#trying = {
      due: now + ATTEMPT_WITHIN,
      link: {
        send: (frame) => attempt.ws!.send(frame as Uint8Array<ArrayBuffer>),
        close: (code) => this.#drop(attempt, code),
      },
    });
    this.#reconnect.attempting(now);
    this.#settle();
    try {
      await this.#ready;
      const asked = { attempt: ++this.#attempts, refresh: this.#refusals > 0 };
      const url = absolute(this.#moved ?? (await provided(this.#provider, asked)));
      const ticket = await this.#ticket(asked);
      if (attempt === this.#trying) this.#open(attempt, url, ticket);
    } catch (error) {
      if (attempt !== this.#trying) return;
      this.#dispatch('error', { error });
      this.#failed();
    }
  }

  async #ticket(asked: Asked): Promise<Uint8Array> {
    const ticket = await provided(this.#options.ticket ?? '', asked);
    const bytes = typeof ticket === 'string' ? new TextEncoder().encode(ticket) : ticket;
    if (bytes.length > MAX_TICKET) throw new RangeError(`ticket of ${bytes.length} bytes, the limit is ${MAX_TICKET}`);
    return bytes;
  }

  #open(attempt: Attempt, url: string, ticket: Uint8Array): void {
    const { protocols = [], session: mode = 'auto', early = true } = this.#options;
    this.#url = url;
    const verdict = this.#welcomed || verdicts.get(bare(url));
    // Chromium fails a connection whose offers are all ignored, and says nothing: so every other attempt is without.
    const offers = mode === 'required' || (mode === 'auto' && !this.#plain && (verdict ?? this.#failures % 2 === 0));
    const offered = [protocols].flat();
    const session = this.#session;
    if (offers) {
      if (early && this.#welcomed && !session.linked) {
        const hello = session.hello(attempt.link, ticket, Date.now(), false);
        offered.unshift(`everwire-h.${base64url(hello)}`);
        this.#current = attempt;
        this.#trying = undefined;
      }
      offered.unshift(PROTOCOL);
    }
    const WebSocket = this.#options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
    if (!WebSocket) throw new TypeError('this platform has no WebSocket: give one in the options');
    const ws = (attempt.ws = offered.length ? new WebSocket(url, offered) : new WebSocket(url));
    ws.binaryType = 'arraybuffer';
    ws.onopen = () => this.#opened(attempt, ws, ticket);
    ws.onmessage = ({ data }) => this.#received(attempt, data);
    ws.onclose = (event) => this.#lost(attempt, event);
    ws.onerror = () => {}; // A close follows.
    this.#settle();
  }

  #opened(attempt: Attempt, ws: WebSocket, ticket: Uint8Array): void {
    const speaks = ws.protocol === PROTOCOL;
    if (attempt === this.#trying) {
      const mode = this.#options.session;
      if (speaks && mode !== 'off') {
        // From here on the older socket has no effect.
        const hello = this.#session.hello(attempt.link, ticket, Date.now(), true);
        const older = this.#current;
        this.#current = attempt;
        this.#trying = undefined;
        if (older) this.#drop(older);
        ws.send(hello as Uint8Array<ArrayBuffer>);
      } else if (mode === 'required' && !this.#welcomed) {
        this.#finish(MANDATORY_EXTENSION, `the server does not speak ${PROTOCOL}`);
      } else if (this.#welcomed) {
        this.#failed();
      } else {
        this.#becomePlain(attempt, ws);
      }
    } else if (attempt === this.#current && !speaks) {
      this.#drop(attempt);
      this.#session.closed(attempt.link, 1006, Date.now());
    }
    this.#settle();
  }

  #becomePlain(attempt: Attempt, ws: WebSocket): void {
    this.#trying = undefined;
    this.#current = attempt;
    this.#plain = true;
    if (this.#options.session !== 'off') verdicts.set(bare(this.#url), false);
    this.#reconnect.attached(Date.now());
    if (this.#readyState === 1) this.#dispatch('lost', { unacknowledged: [] });
    this.#attached(true);
    const waiting = this.#session;
    this.#begin();
    for (const frame of waiting.drain()) ws.send(payloadOf(frame) as Uint8Array<ArrayBuffer>);
    if (this.#readyState === 2) ws.close(1000);
  }

  /** Forgets a WebSocket, and closes it if it is not. */
  #drop(attempt: Attempt, code = 1000): void {
    if (attempt === this.#trying) this.#trying = undefined;
    if (attempt === this.#current) this.#current = undefined;
    const { ws } = attempt;
    if (!ws) return;
    ws.onopen = ws.onmessage = ws.onclose = null;
    ws.close(code);
  }

  /** The attempt came to nothing. */
  #failed(): void {
    if (this.#trying) this.#drop(this.#trying);
    this.#moved = undefined;
    this.#failures++;
    // Perhaps it was our offer: the other way is tried at once.
    if (!this.#welcomed && !this.#plain && this.#failures % 2 && !this.#options.session?.startsWith('r')) this.#retryAt = Date.now();
    this.#settle();
  }

  #received(attempt: Attempt, data: string | ArrayBuffer): void {
    if (attempt !== this.#current) return;
    if (this.#plain) {
      this.#deliver(typeof data === 'string' ? data : new Uint8Array(data));
    } else {
      const session = this.#session;
      session.receive(attempt.link, typeof data === 'string' ? data : new Uint8Array(data), Date.now());
      // The first socket spoke before the second had said HELLO.
      if (this.#trying && session.attached && !session.suspected && this.#moveAt) this.#drop(this.#trying);
    }
    this.#settle();
  }

  #lost(attempt: Attempt, { code, reason, wasClean }: CloseEvent): void {
    if (attempt === this.#trying) return this.#failed();
    if (attempt !== this.#current) return;
    const now = Date.now();
    const again = this.#reconnect.closed(code, reason);
    this.#current = undefined;
    if (!this.#plain) {
      this.#session.closed(attempt.link, code, now);
    } else if (this.#readyState === 2 || !again) {
      return this.#finish(code, reason, wasClean);
    } else {
      this.#reconnect.lost(now);
      this.#dispatch('detached');
    }
    this.#settle();
  }

  // ---------------------------------------------------------------- what the session says

  #on(event: SessionEvent): void {
    const now = Date.now();
    switch (event.type) {
      case 'open':
      case 'resumed': {
        const { welcome } = event;
        const fresh = event.type === 'open';
        this.#welcomed = true;
        this.#refusals = 0;
        this.#moveAt = Infinity;
        verdicts.set(bare(this.#url), true);
        this.#reconnect.attached(now, welcome.firstSpread);
        if (fresh) void this.#tab?.hold([...welcome.id]);
        return this.#attached(fresh);
      }
      case 'message':
        return this.#deliver(event.data, event.taken);
      case 'detached':
        this.#reconnect.lost(now);
        break;
      case 'gap': {
        const { direction, from, to, reason } = event;
        return this.#dispatch('gap', { direction, from, to, reason: REASONS[reason] });
      }
      case 'lost':
        return this.#dispatch('lost', { unacknowledged: event.unacknowledged });
      case 'ended':
        return this.#ended(event);
      case 'refused': {
        const { welcome } = event;
        this.#forgetCurrent();
        if (welcome.status === Status.Busy) this.#reconnect.advise(welcome.after, welcome.spread);
        if (welcome.status === Status.Moved) {
          this.#moved = welcome.url;
          this.#reconnect.advise(0, 0);
        }
        if (welcome.status === Status.Auth) {
          this.#reconnect.advise(0, 0);
          if (++this.#refusals > 1 || typeof this.#options.ticket !== 'function') this.#session.abort(Code.Unauthenticated);
        }
        return;
      }
      case 'goaway':
        this.#moved = event.url || this.#moved;
        this.#moveAt = now + event.after + Math.random() * event.spread;
        return;
      case 'ticket':
        this.#ticket({ attempt: this.#attempts, refresh: true }).then(
          (ticket) => this.#session.authenticate(ticket),
          (error) => this.#dispatch('error', { error }),
        );
        return;
      case 'suspect':
        if (!this.#trying) void this.#connect();
        return;
    }
    this.#dispatch(event.type);
  }

  #ended({ code, by, reason, unacknowledged }: Ended): void {
    this.#forgetCurrent();
    this.#tab?.forget();
    const mute = !this.#welcomed && by === 'us' && this.#options.session !== 'required' && code === Code.Malformed;
    if (mute) this.#failures++; // It selects what it does not speak.
    if (mute || (code >= 3000 && code < Code.Malformed && this.#readyState < 2)) {
      this.#begin();
      if (!mute) this.#dispatch('lost', { unacknowledged });
    } else {
      this.#finish(code, reason, by === 'peer' || code === Code.Normal, unacknowledged);
    }
  }

  #forgetCurrent(): void {
    if (this.#current) this.#drop(this.#current);
  }

  #attached(fresh: boolean): void {
    if (this.#readyState) return this.#dispatch('resumed', { fresh });
    this.#readyState = 1;
    this.#dispatch('open');
  }

  #deliver(data: string | Uint8Array, taken?: (now: number) => void): void {
    const binary = (bytes: Uint8Array) => {
      const { buffer } = bytes.slice();
      return this.binaryType === 'blob' ? new Blob([buffer as ArrayBuffer]) : buffer;
    };
    const properties = { data: typeof data === 'string' ? data : binary(data), origin: origin(this.#url) };
    const pending = this.#listeners.dispatch(this, makeEvent(this, 'message', properties));
    if (!pending.length) taken?.(Date.now());
    else if (taken) {
      // The server may send more when everybody has finished with this one.
      void Promise.all(pending).then(() => {
        taken(Date.now());
        this.#settle();
      });
    }
  }

  #dispatch(type: keyof EverwireEventMap, properties: object = {}): void {
    this.#listeners.dispatch(this, makeEvent(this, type, properties));
  }

  #finish(code: number, reason = '', wasClean = false, unacknowledged: (string | Uint8Array)[] = []): void {
    if (this.#readyState === 3) return;
    this.#readyState = 3;
    for (const attempt of [this.#current, this.#trying]) if (attempt) this.#drop(attempt);
    this.#tab?.forget();
    this.#tab?.release();
    this.#finished.abort();
    this.#settle();
    if (!wasClean) this.#dispatch('error');
    this.#dispatch('close', { code, reason, wasClean, unacknowledged });
  }

  // ---------------------------------------------------------------- the page and the clock

  #wake(): void {
    const now = Date.now();
    if (this.#asleep && this.#tab && this.#session.welcome) {
      // Another tab may have taken the session while this one slept.
      const { welcome } = this.#session;
      this.#ready = this.#tab.hold([...welcome.id]).then((ours) => {
        if (!ours) this.#begin();
      });
    }
    this.#asleep = false;
    this.#tick();
    this.#session.probe(now);
    this.#settle();
    this.#retryAt = this.#reconnect.wake(now, this.#retryAt);
    this.#settle();
  }

  #sleep(): void {
    const now = Date.now();
    this.#asleep = true;
    this.#session.suspend(now);
    this.#forgetCurrent();
    if (this.#trying) this.#drop(this.#trying);
    this.#tab?.release();
    this.#settle();
  }

  #leave(): void {
    if (this.#tab) this.#sleep();
    else if (!this.#plain) this.#session.abort(Code.Normal);
  }

  #tick(): void {
    const now = Date.now();
    this.#session.tick(now);
    if (this.#trying && now >= this.#trying.due) this.#failed();
    if (now >= this.#closeAt) this.#finish(1006);
    if (now >= this.#moveAt) {
      this.#moveAt = 0; // Until it has moved.
      if (!this.#trying) void this.#connect();
    }
    if (now >= this.#retryAt) {
      this.#retryAt = Infinity;
      if (this.#wanting) void this.#connect();
    }
    this.#settle();
  }

  /** Whether another WebSocket is wanted. */
  get #wanting(): boolean {
    if (this.#trying || this.#readyState === 3) return false;
    return this.#plain ? !this.#current : !this.#session.linked || this.#session.suspected || !this.#moveAt;
  }

  /** Sees to it that what is to come will come. */
  #settle(): void {
    const now = Date.now();
    if (this.#readyState === 3 || this.#asleep) {
      clearTimeout(this.#timer);
      this.#timerAt = Infinity;
      return;
    }
    if (this.#wanting && this.#retryAt === Infinity) this.#retryAt = now + this.#reconnect.delay(now);
    const at = Math.min(
      this.#session.deadline,
      this.#retryAt,
      this.#closeAt,
      this.#moveAt || Infinity,
      this.#trying?.due ?? Infinity,
      now + LOOK_EVERY,
    );
    // A timer that comes too early looks again.
    if (this.#timerAt <= at && this.#timerAt > now) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      const late = Date.now() - at > LATE;
      this.#timerAt = Infinity;
      if (late) this.#wake();
      else this.#tick();
    }, Math.max(0, at - now));
  }
}

function absolute(url: string | URL): string {
  try {
    const { href } = new URL(url, globalThis.location?.href);
    return href.replace(/^http/, 'ws');
  } catch {
    throw new DOMException(`'${url}' is not a URL`, 'SyntaxError');
  }
}

const bare = (url: string) => url.replace(/[?#].*/, '');
const origin = (url: string) => url && new URL(url).origin;

async function provided<T>(value: Provided<T>, asked: Asked): Promise<T> {
  return typeof value === 'function' ? (value as (asked: Asked) => T | Promise<T>)(asked) : value;
}

function payload(data: Exclude<Data, Blob>): string | Uint8Array {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return typeof data === 'object' ? new Uint8Array(data) : String(data);
}
