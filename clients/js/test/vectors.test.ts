// docs/vectors.json: every frame that concerns a client, and every conversation of a client.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Kind, MAX, decode, encode, encodeData, encodeTicket } from '../src/frame.js';
import { createSession, type Link, type Session } from '../src/session.js';
import { bytes, hex, REASONS, STATUSES } from './hex.js';

const vectors = JSON.parse(readFileSync(new URL('../../../docs/vectors.json', import.meta.url), 'utf8'));

// ------------------------------------------------------------------ frames

const WORDS = ['recv', 'done', 'sent', 'window'];
const counts = (c: any) => WORDS.map((word) => c[word]);
const named = (names: string[], values: any[]) =>
  Object.fromEntries(
    names.map((name, i) => {
      const value = values[i];
      return [name, value instanceof Uint8Array ? hex(value) : Array.isArray(value) ? named(WORDS, value) : value];
    }),
  );

const ACCEPTED = ['epoch', 'counts', 'max_message', 'ttl', 'heartbeat', 'heartbeat_timeout', 'first_spread', 'token', 'id'];
const REFUSED = [['code', 'recv', 'reason'], ['after', 'spread'], ['url'], [], [], ['version']];
const statusNames = (status: number) => (status < 3 ? ACCEPTED : REFUSED[status - 3]!);

/** Writes what we have read in the words of the vectors. */
function described(bytes: Uint8Array): object {
  const frame = decode(bytes, MAX);
  const [kind, ...rest] = frame as [number, ...any[]];
  switch (frame[0]) {
    case Kind.Data: {
      const [, flags, data] = frame;
      const payload = hex(typeof data === 'string' ? new TextEncoder().encode(data) : data);
      return { type: 'data', kind: flags % 2 ? 'text' : 'binary', volatile: flags > 1, payload };
    }
    case Kind.Ack:
      return { type: 'ack', ...named(['counts'], rest) };
    case Kind.Ping:
    case Kind.Pong:
      return { type: kind === Kind.Ping ? 'ping' : 'pong', ...named(['token', 'counts'], rest) };
    case Kind.Gap:
      return { type: 'gap', ...named(['from', 'to'], rest), reason: REASONS[frame[3]] };
    case Kind.Goaway:
      return { type: 'goaway', ...named(['after', 'spread', 'url'], rest) };
    case Kind.Bye:
    case Kind.ByeReply:
      return { type: 'bye', reply: kind === Kind.ByeReply, ...named(['code', 'counts', 'reason'], rest) };
    case Kind.TicketWanted:
    case Kind.TicketAccepted:
      return { type: kind === Kind.TicketWanted ? 'auth-request' : 'auth-accepted', expires: frame[1] };
    case Kind.Welcome:
      return { type: 'welcome', status: STATUSES[frame[1]], ...named(statusNames(frame[1]), rest.slice(1)) };
  }
}

/** Writes a frame of a client from the words of the vectors. */
function encoded(frame: any): Uint8Array {
  switch (frame.type) {
    case 'data': {
      const payload = bytes(frame.payload);
      return encodeData(frame.kind === 'text' ? new TextDecoder().decode(payload) : payload, frame.volatile);
    }
    case 'ack':
      return encode(Kind.Ack, ...counts(frame.counts));
    case 'ping':
      return encode(Kind.Ping, frame.token, ...counts(frame.counts));
    case 'pong':
      return encode(Kind.Pong, frame.token, ...counts(frame.counts));
    case 'gap':
      return encode(Kind.Gap, frame.from, frame.to, REASONS.indexOf(frame.reason));
    case 'bye':
      return encode(Kind.Bye + +frame.reply, frame.code, ...counts(frame.counts), frame.reason);
    case 'auth-ticket':
      return encodeTicket(bytes(frame.ticket));
    case 'hello': {
      const { version, attempt, recv, lo, next, window, max_message, ttl, token, auth } = frame;
      const numbers = [version, attempt, recv, lo, next, window, max_message, ttl];
      return encode(Kind.Hello, ...numbers, bytes(token), bytes(auth));
    }
  }
  throw new Error(`no client sends ${frame.type}`);
}

describe('a frame is read as it is meant', () => {
  for (const { name, from, hex, frame } of vectors.frames) {
    if (from !== 'client') test(name, () => expect(described(bytes(hex))).toEqual(frame));
  }
});

describe('a frame is written as it should be', () => {
  for (const { name, from, hex: expected, frame } of vectors.frames) {
    if (from !== 'server') test(name, () => expect(hex(encoded(frame))).toBe(expected));
  }
});

function verdict(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, MAX);
  } catch (error) {
    return error;
  }
}

describe('a malformed frame is refused', () => {
  for (const { name, from, hex } of vectors.invalid) {
    if (from !== 'client') test(name, () => expect(verdict(bytes(hex))).toBe(4500));
  }
});

// ------------------------------------------------------------------ conversations

class Socket implements Link {
  constructor(readonly runner: Runner) {}

  send(frame: Uint8Array): void {
    this.runner.outputs.push(hex(frame));
  }

  close(code: number): void {
    this.runner.closes.push(code);
  }
}

const isAck = (output: string) => output.startsWith('20');
const recvOf = (output: string) => (decode(bytes(output), MAX) as any)[1][0] as number;

class Runner {
  outputs: string[] = [];
  events: object[] = [];
  closes: number[] = [];
  now = 1_000_000;
  ticket = 'ticket';
  released = 0;
  sockets: Socket[] = [];
  held: (() => void)[] = [];
  session: Session;

  constructor(config: any) {
    const sizes = { window: config.window ?? 262_144, maxMessage: config.max_message ?? 1_048_576, ttl: config.ttl ?? 60_000 };
    const told = (event: object) => void this.events.push(event);
    this.session = createSession(sizes, () => this.now, {
      attached: (welcome, fresh) => told(fresh ? { event: 'open', id: hex(welcome[10]) } : { event: 'resumed', epoch: welcome[2] }),
      message: (data, taken) => {
        if (config.hold) this.held.push(taken!);
        else taken?.();
        const content = typeof data === 'string' ? { text: data } : { binary: hex(data) };
        told({ event: 'message', ...content, ...(!taken && { volatile: true }) });
      },
      tell: (event, properties) => told({ event, ...properties }),
      ended: (code, byPeer, reason, unacknowledged) =>
        told({ event: 'ended', by: byPeer ? 'peer' : 'us', code, reason, unacknowledged }),
      refused: ([, status, ...rest]) =>
        told({ event: 'refused', status: STATUSES[status], ...named(statusNames(status), rest) }),
      advised: ([, ...rest]) => told({ event: 'goaway', ...named(['after', 'spread', 'url'], rest) }),
      renewal: (after) => after || told({ event: 'ticket' }),
      suspect: () => {},
    });
  }

  /** Lets time pass, from one deadline to the next. */
  wait(ms: number): void {
    const end = this.now + ms;
    while (this.session.deadline() <= end) {
      this.now = Math.max(this.now, this.session.deadline());
      this.session.tick();
    }
    this.now = end;
  }

  step(step: any): void {
    const socket = this.sockets[(step.socket ?? this.sockets.length) - 1]!;
    if (!('output' in step || 'event' in step || 'closes' in step)) this.end();
    switch (Object.keys(step).find((key) => key in this.#steps)) {
      default:
        throw new Error(`unknown step ${JSON.stringify(step)}`);
      case 'open': {
        const link = new Socket(this);
        this.sockets.push(link);
        link.send(this.session.hello(link, new TextEncoder().encode(this.ticket), true));
        return;
      }
      case 'output': {
        let output = this.outputs.shift();
        while (output && output !== step.output && isAck(output)) {
          if (isAck(step.output)) expect(recvOf(output)).not.toBe(recvOf(step.output));
          output = this.outputs.shift();
        }
        return expect(output).toBe(step.output);
      }
      case 'input':
        return this.session.receive(socket, bytes(step.input).buffer as ArrayBuffer);
      case 'input_text':
        return this.session.receive(socket, step.input_text);
      case 'cut':
        return this.session.closed(socket, step.cut === true ? 1006 : step.cut);
      case 'wait':
        return this.wait(step.wait);
      case 'send':
        return this.session.send(encodeData(step.send, !!step.volatile));
      case 'close':
        return this.session.close(step.close, step.reason ?? '');
      case 'release':
        for (; this.released < step.release; this.released++) this.held.shift()!();
        return;
      case 'authenticate':
        return this.session.authenticate(new TextEncoder().encode(step.authenticate));
      case 'ticket':
        this.ticket = step.ticket;
        return;
      case 'event':
        return expect(this.events.shift()).toEqual(step.event);
      case 'closes':
        return expect(this.closes.shift()).toBe(step.closes);
    }
  }

  #steps = {
    open: 1, output: 1, input: 1, input_text: 1, cut: 1, wait: 1, send: 1, close: 1, release: 1, authenticate: 1, ticket: 1, event: 1,
    closes: 1,
  };

  /** All that was said so far has been asked for, but acknowledgements. */
  end(): void {
    expect(this.outputs.filter((output) => !isAck(output))).toEqual([]);
    expect(this.events).toEqual([]);
    expect(this.closes).toEqual([]);
  }
}

describe('a conversation', () => {
  for (const { name, config, steps } of vectors.client) {
    test(name, () => {
      const runner = new Runner(config);
      for (const step of steps) runner.step(step);
      runner.end();
    });
  }
});
