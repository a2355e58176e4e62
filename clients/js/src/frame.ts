/**
 * The frames of everwire.v1, as far as a client sends and receives them.
 *
 * A frame is one binary WebSocket message. See docs/protocol.md §2.
 */

/** The upper four bits of a frame's first byte. */
export const enum Type {
  Data = 1,
  Ack,
  Ping,
  Pong,
  Hello,
  Welcome,
  Gap,
  Goaway,
  Bye,
  Auth,
}

/** What a WELCOME says. See §2.1. */
export const enum Status {
  New,
  Resumed,
  Lost,
  Ended,
  Busy,
  Moved,
  Auth,
  Stale,
  Version,
}

/** The codes that this client closes with. See §11. */
export const enum Code {
  Normal = 1000,
  Timeout = 4408,
  Counters = 4410,
  Window = 4411,
  Malformed = 4500,
  Unauthenticated = 4501,
  TooBig = 4502,
  Version = 4505,
  Superseded = 4509,
}

/** Where the sender of a frame stands. See §4. */
export interface Counts {
  recv: number;
  done: number;
  sent: number;
  window: number;
}

/** What a client says when it attaches a socket. See §5.1. */
export interface Hello {
  attempt: number;
  recv: number;
  lo: number;
  next: number;
  window: number;
  maxMessage: number;
  ttl: number;
  token: Uint8Array;
  auth: Uint8Array;
}

/** What the server says about a session that it keeps. See §5.1. */
export interface Accepted {
  epoch: number;
  counts: Counts;
  maxMessage: number;
  ttl: number;
  heartbeat: number;
  heartbeatTimeout: number;
  firstSpread: number;
  token: Uint8Array;
  id: Uint8Array;
}

export type Welcome = { type: Type.Welcome } & (
  | ({ status: Status.New | Status.Resumed | Status.Lost } & Accepted)
  | { status: Status.Ended; code: number; recv: number; reason: string }
  | { status: Status.Busy; after: number; spread: number }
  | { status: Status.Moved; url: string }
  | { status: Status.Auth | Status.Stale }
  | { status: Status.Version; version: number }
);

/** A frame from a server. */
export type Frame =
  | { type: Type.Data; volatile: boolean; data: string | Uint8Array; size: number }
  | { type: Type.Ack; counts: Counts }
  | { type: Type.Ping | Type.Pong; token: number; counts: Counts }
  | Welcome
  | { type: Type.Gap; from: number; to: number; reason: number }
  | { type: Type.Goaway; after: number; spread: number; url: string }
  | { type: Type.Bye; reply: boolean; code: number; counts: Counts; reason: string }
  | { type: Type.Auth; accepted: boolean; expires: number };

/** The peer broke the protocol: the code says how. */
export class Violation {
  constructor(readonly code: number) {}
}

const utf8 = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Returns the text that these bytes are. Throws a Violation if they are not UTF-8. */
export function textOf(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    throw new Violation(Code.Malformed);
  }
}

/** Fails unless `condition` holds. */
export function demand(condition: unknown, code: number = Code.Malformed): asserts condition {
  if (!condition) throw new Violation(code);
}

class Reader {
  #at = 1;

  constructor(readonly bytes: Uint8Array) {}

  u8(): number {
    demand(this.#at < this.bytes.length);
    return this.bytes[this.#at++]!;
  }

  /** A number: seven bits per byte, in as few bytes as it needs. */
  n(min = 0, max: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8();
      value += (byte % 128) * scale;
      // Above the limit, the sum has lost its last bits; it is still above.
      demand(value <= Number.MAX_SAFE_INTEGER && (byte || scale === 1));
      if (byte < 128) break;
    }
    demand(value >= min && value <= max);
    return value;
  }

  take(max: number): Uint8Array {
    const end = this.n(0, max) + this.#at;
    demand(end <= this.bytes.length);
    const bytes = this.bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  text(max: number): string {
    return textOf(this.take(max));
  }

  counts(): Counts {
    const recv = this.n();
    return { recv, done: this.n(0, recv), sent: this.n(), window: this.n() };
  }

  /** The code of a BYE or ENDED. */
  code(): number {
    const code = this.n(Code.Normal, 4999);
    demand(code === Code.Normal || code >= 3000);
    return code;
  }

  end<T>(frame: T): T {
    demand(this.#at === this.bytes.length);
    return frame;
  }
}

/**
 * Reads a frame from a server. Throws a Violation if it is malformed, if only a client may send it, or if its payload is larger
 * than `maxMessage`.
 */
export function decode(bytes: Uint8Array, maxMessage = Infinity): Frame {
  const reader = new Reader(bytes);
  const first = bytes[0] ?? 0;
  const type: Type = first >> 4;
  if (type === Type.Data && first < 0x14) {
    const payload = bytes.subarray(1);
    demand(payload.length <= maxMessage, Code.TooBig);
    return { type, volatile: first > 0x11, data: first % 2 ? textOf(payload) : payload, size: payload.length };
  }
  switch (first) {
    case 0x20:
      return reader.end({ type: Type.Ack, counts: reader.counts() });
    case 0x30:
    case 0x40:
      return reader.end({ type: type as Type.Ping | Type.Pong, token: reader.n(), counts: reader.counts() });
    case 0x60:
      return reader.end({ type: Type.Welcome, ...welcome(reader, reader.u8()) } as Welcome);
    case 0x70: {
      const from = reader.n(1);
      const gap = { type: Type.Gap as const, from, to: reader.n(from), reason: reader.u8() };
      demand(gap.reason > 0 && gap.reason < 6);
      return reader.end(gap);
    }
    case 0x80:
      return reader.end({ type: Type.Goaway, after: reader.n(), spread: reader.n(), url: reader.text(1024) });
    case 0x90:
    case 0x91:
      return reader.end({
        type: Type.Bye,
        reply: first > 0x90,
        code: reader.code(),
        counts: reader.counts(),
        reason: reader.text(123),
      });
    case 0xa1:
    case 0xa2:
      return reader.end({ type: Type.Auth, accepted: first > 0xa1, expires: reader.n() });
  }
  throw new Violation(Code.Malformed);
}

function welcome(reader: Reader, status: Status): object {
  switch (status) {
    case Status.New:
    case Status.Resumed:
    case Status.Lost:
      return {
        status,
        epoch: reader.n(1),
        counts: reader.counts(),
        maxMessage: reader.n(1),
        ttl: reader.n(),
        heartbeat: reader.n(1),
        heartbeatTimeout: reader.n(1),
        firstSpread: reader.n(),
        token: reader.take(255),
        id: reader.take(64),
      };
    case Status.Ended:
      return { status, code: reader.code(), recv: reader.n(), reason: reader.text(123) };
    case Status.Busy:
      return { status, after: reader.n(), spread: reader.n() };
    case Status.Moved:
      return { status, url: reader.text(1024) };
    case Status.Version:
      return { status, version: reader.u8() };
  }
  demand(status < 9);
  return { status };
}

/** Joins numbers (as the protocol writes them) and bytes (as they are) behind a frame's first byte. */
function frame(first: number, ...parts: (number | Uint8Array)[]): Uint8Array {
  const bytes = [first];
  for (const part of parts) {
    if (typeof part === 'number') {
      let rest = part;
      for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
      bytes.push(rest);
    } else {
      bytes.push(...part);
    }
  }
  return Uint8Array.from(bytes);
}

const flat = (counts: Counts) => [counts.recv, counts.done, counts.sent, counts.window];

/** DATA. Its payload is copied. */
export function data(payload: string | Uint8Array, volatile: boolean): Uint8Array {
  const text = typeof payload === 'string';
  const body = text ? utf8.encode(payload) : payload;
  const bytes = new Uint8Array(body.length + 1);
  bytes[0] = 0x10 + +text + 2 * +volatile;
  bytes.set(body, 1);
  return bytes;
}

/** Returns what a DATA frame of our own carries. */
export function payloadOf(frame: Uint8Array): string | Uint8Array {
  const payload = frame.slice(1);
  return frame[0]! % 2 ? textOf(payload) : payload;
}

export function ack(counts: Counts): Uint8Array {
  return frame(0x20, ...flat(counts));
}

export function ping(token: number, counts: Counts): Uint8Array {
  return frame(0x30, token, ...flat(counts));
}

export function pong(token: number, counts: Counts): Uint8Array {
  return frame(0x40, token, ...flat(counts));
}

export function hello({ attempt, recv, lo, next, window, maxMessage, ttl, token, auth }: Hello): Uint8Array {
  return frame(
    0x50,
    1,
    attempt,
    recv,
    lo,
    next,
    window,
    maxMessage,
    ttl,
    token.length,
    token,
    auth.length,
    auth,
  );
}

export function gap(from: number, to: number, reason: number): Uint8Array {
  return frame(0x70, from, to, reason);
}

/** BYE, or the reply to one. */
export function bye(reply: boolean, code: number, counts: Counts, reason: string): Uint8Array {
  const text = utf8.encode(reason);
  return frame(0x90 + +reply, code, ...flat(counts), text.length, text);
}

export function auth(ticket: Uint8Array): Uint8Array {
  return frame(0xa0, ticket);
}

/** base64url without padding, for a HELLO among the subprotocols. See RFC 4648 §5. */
export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (c) => (c === '+' ? '-' : c === '/' ? '_' : ''));
}
