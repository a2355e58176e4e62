/**
 * The frames of everwire.v1, as far as a client sends and receives them: a frame's first byte and its elements, in order.
 *
 * A frame is one binary WebSocket message. See docs/protocol.md §2.
 */

/** First bytes. */
export const enum Kind {
  Data = 0x10,
  Ack = 0x20,
  Ping = 0x30,
  Pong = 0x40,
  Hello = 0x50,
  Welcome = 0x60,
  Gap = 0x70,
  Goaway = 0x80,
  Bye = 0x90,
  ByeReply = 0x91,
  Ticket = 0xa0,
  TicketWanted = 0xa1,
  TicketAccepted = 0xa2,
}

/** Flags of DATA. */
export const enum Flag {
  Text = 1,
  Volatile = 2,
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
  /** Never on the wire: nothing was closed. */
  Abnormal = 1006,
  Timeout = 4408,
  Counters = 4410,
  Window = 4411,
  Malformed = 4500,
  Unauthenticated = 4501,
  TooBig = 4502,
  Version = 4505,
  Superseded = 4509,
}

/** What a message carries. */
export type Payload = string | Uint8Array;

/** Where the sender of a frame stands. See §4. */
export type Counts = [recv: number, done: number, sent: number, window: number];

/** What the server says about a session that it keeps. See §5.1. */
export type Accepted = [
  kind: Kind.Welcome,
  status: Status.New | Status.Resumed | Status.Lost,
  epoch: number,
  counts: Counts,
  maxMessage: number,
  ttl: number,
  heartbeat: number,
  heartbeatTimeout: number,
  firstSpread: number,
  token: Uint8Array,
  id: Uint8Array,
];

export type Refused =
  | [kind: Kind.Welcome, status: Status.Busy, after: number, spread: number]
  | [kind: Kind.Welcome, status: Status.Moved, url: string]
  | [kind: Kind.Welcome, status: Status.Auth];

export type Welcome =
  | Accepted
  | Refused
  | [kind: Kind.Welcome, status: Status.Ended, code: number, recv: number, reason: string]
  | [kind: Kind.Welcome, status: Status.Stale]
  | [kind: Kind.Welcome, status: Status.Version, version: number];

export type Goaway = [kind: Kind.Goaway, after: number, spread: number, url: string];

/** A frame from a server. The first byte of DATA has its flags. */
export type Frame =
  | [kind: Kind.Data, flags: number, data: Payload, size: number]
  | [kind: Kind.Ack, counts: Counts]
  | [kind: Kind.Ping | Kind.Pong, token: number, counts: Counts]
  | Welcome
  | [kind: Kind.Gap, from: number, to: number, reason: number]
  | Goaway
  | [kind: Kind.Bye | Kind.ByeReply, code: number, counts: Counts, reason: string]
  | [kind: Kind.TicketWanted | Kind.TicketAccepted, expires: number];

/** Whether an end may say this code. See §2.2. */
export const isEndCode = (code: number) => code === Code.Normal || (code > 2999 && code < 5000);

/** Throws the code that says how the peer broke the protocol, unless `condition` holds. */
export function demand(condition: unknown, code: number = Code.Malformed): asserts condition {
  if (!condition) throw code;
}

/** The largest number. See §2. */
export const MAX = 2 ** 53 - 1;

const utf8 = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes, however they are kept. */
export type Bytes = ArrayLike<number> & Iterable<number>;

export const bytesOf = (payload: Payload) => (typeof payload === 'string' ? utf8.encode(payload) : payload);

/** Returns the text that these bytes are. Throws a code if they are not UTF-8. */
function textOf(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    throw Code.Malformed;
  }
}

/**
 * The elements of bodies, a letter for each: `n` a number, `p` one that is at least 1, `g` the reason of a gap, `c` counts, `k` the
 * code of an end, `t` a token, `i` an id, `l` a URL, `r` a reason. A byte is read as a number: all that are known are below 128.
 */
const BODIES: Partial<Record<Kind, string>> = {
  [Kind.Ack]: 'c',
  [Kind.Ping]: 'nc',
  [Kind.Pong]: 'nc',
  [Kind.Welcome]: 'n',
  [Kind.Gap]: 'png',
  [Kind.Goaway]: 'nnl',
  [Kind.Bye]: 'kcr',
  [Kind.ByeReply]: 'kcr',
  [Kind.TicketWanted]: 'n',
  [Kind.TicketAccepted]: 'n',
};

/** What follows the status of a WELCOME. */
const ACCEPTED = 'pcpnppnti';
const WELCOMES = [ACCEPTED, ACCEPTED, ACCEPTED, 'knr', 'nn', 'l', '', '', 'n'];

/**
 * Reads a frame from a server. Throws a code if it is malformed, if only a client may send it, or if its payload is larger
 * than `maxMessage`.
 */
export function decode(bytes: Uint8Array, maxMessage: number): Frame {
  let at = 1;
  const kind: Kind = bytes[0]!;
  if (kind >> 2 === Kind.Data >> 2) {
    const size = bytes.length - 1;
    demand(size <= maxMessage, Code.TooBig);
    return [Kind.Data, kind % 16, payloadOf(bytes), size];
  }

  const number = (min = 0, max = MAX) => {
    let value = 0;
    for (let scale = 1, next = 128; next > 127; scale *= 128) {
      next = bytes[at++]!;
      value += (next % 128) * scale;
      // As few bytes as it needs. Above the limit the sum has lost its last bits, and is still above. Behind the end it is no number.
      demand(value <= MAX && (next || scale === 1));
    }
    demand(value >= min && value <= max);
    return value;
  };
  const part = (max: number) => {
    const length = number(0, max); // If that is behind the end, it is so at the end.
    return bytes.subarray(at, (at += length));
  };
  const readers: Record<string, () => unknown> = {
    n: number,
    p: () => number(1),
    g: () => number(1, 5),
    c: () => {
      const recv = number();
      return [recv, number(0, recv), number(), number()];
    },
    k: () => {
      const code = number();
      demand(isEndCode(code));
      return code;
    },
    t: () => part(255),
    i: () => part(64),
    l: () => textOf(part(1024)),
    r: () => textOf(part(123)),
  };
  const read = (body: string | undefined) => {
    demand(body !== undefined);
    return Array.from(body, (element) => readers[element]!());
  };

  const frame: any[] = [kind, ...read(BODIES[kind])];
  if (kind === Kind.Welcome) frame.push(...read(WELCOMES[frame[1]]));
  if (kind === Kind.Gap) demand(frame[2] >= frame[1]);
  demand(at === bytes.length);
  return frame as Frame;
}

/** Writes a frame: numbers, and bytes or text with their length before them. */
export function encode(kind: Kind, ...elements: (number | string | Bytes)[]): Uint8Array {
  const number = (value: number): number[] => (value > 127 ? [(value % 128) + 128, ...number(Math.floor(value / 128))] : [value]);
  const write = (element: number | string | Bytes) => {
    if (typeof element === 'number') return number(element);
    const body = bytesOf(element as Payload);
    return [...number(body.length), ...body];
  };
  return Uint8Array.from([kind, ...elements.flatMap(write)]);
}

/** Writes what presents a ticket. */
export const encodeTicket = (ticket: Uint8Array) => Uint8Array.of(Kind.Ticket, ...ticket);

/** Writes DATA. The payload is copied. */
export function encodeData(payload: Payload, volatile: boolean): Uint8Array {
  const body = bytesOf(payload);
  const bytes = new Uint8Array(body.length + 1);
  bytes[0] = Kind.Data + +(typeof payload === 'string') + Flag.Volatile * +volatile;
  bytes.set(body, 1);
  return bytes;
}

/** Returns what a DATA frame of our own carries. */
export function payloadOf(frame: Uint8Array): Payload {
  const payload = frame.slice(1);
  return frame[0]! & Flag.Text ? textOf(payload) : payload;
}
