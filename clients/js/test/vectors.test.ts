// docs/vectors.json: every frame that concerns a client, and every conversation of a client.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as frames from '../src/frame.js';
import { Type, Violation, decode } from '../src/frame.js';
import { Session, type Link, type SessionEvent } from '../src/session.js';
import { bytes, hex, REASONS, STATUSES } from './hex.js';

const vectors = JSON.parse(readFileSync(new URL('../../../docs/vectors.json', import.meta.url), 'utf8'));

// ------------------------------------------------------------------ frames

const counts = (c: any) => ({ recv: c.recv, done: c.done, sent: c.sent, window: c.window });

/** Writes what we have read in the words of the vectors. */
function described(bytes: Uint8Array): object {
  const frame = decode(bytes);
  switch (frame.type) {
    case Type.Data: {
      const text = typeof frame.data === 'string';
      const payload = hex(text ? new TextEncoder().encode(frame.data as string) : (frame.data as Uint8Array));
      return { type: 'data', kind: text ? 'text' : 'binary', volatile: frame.volatile, payload };
    }
    case Type.Ack:
      return { type: 'ack', counts: frame.counts };
    case Type.Ping:
      return { ...frame, type: 'ping' };
    case Type.Pong:
      return { ...frame, type: 'pong' };
    case Type.Gap:
      return { ...frame, type: 'gap', reason: REASONS[frame.reason] };
    case Type.Goaway:
      return { ...frame, type: 'goaway' };
    case Type.Bye:
      return { ...frame, type: 'bye' };
    case Type.Auth:
      return { type: frame.accepted ? 'auth-accepted' : 'auth-request', expires: frame.expires };
    case Type.Welcome: {
      const { type: _type, status, ...rest } = frame as any;
      const described: any = { type: 'welcome', status: STATUSES[status] };
      for (const [key, value] of Object.entries(rest)) {
        described[key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)] = value instanceof Uint8Array ? hex(value) : value;
      }
      return described;
    }
  }
}

/** Writes a frame of a client from the words of the vectors. */
function encoded(frame: any): Uint8Array {
  switch (frame.type) {
    case 'data': {
      const payload = bytes(frame.payload);
      return frames.data(frame.kind === 'text' ? new TextDecoder().decode(payload) : payload, frame.volatile);
    }
    case 'ack':
      return frames.ack(counts(frame.counts));
    case 'ping':
      return frames.ping(frame.token, counts(frame.counts));
    case 'pong':
      return frames.pong(frame.token, counts(frame.counts));
    case 'gap':
      return frames.gap(frame.from, frame.to, REASONS.indexOf(frame.reason));
    case 'bye':
      return frames.bye(frame.reply, frame.code, counts(frame.counts), frame.reason);
    case 'auth-ticket':
      return frames.auth(bytes(frame.ticket));
    case 'hello':
      return frames.hello({ ...frame, maxMessage: frame.max_message, token: bytes(frame.token), auth: bytes(frame.auth) });
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
    // This client has version 1 only.
    if (from !== 'server' && (frame.version ?? 1) === 1) test(name, () => expect(hex(encoded(frame))).toBe(expected));
  }
});

function verdict(bytes: Uint8Array): unknown {
  try {
    return decode(bytes);
  } catch (error) {
    return error;
  }
}

describe('a malformed frame is refused', () => {
  for (const { name, from, hex } of vectors.invalid) {
    if (from !== 'client') test(name, () => expect(verdict(bytes(hex))).toEqual(new Violation(4500)));
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
const recvOf = (output: string) => decode(bytes(output)) as { counts: { recv: number } };

class Runner {
  outputs: string[] = [];
  events: object[] = [];
  closes: number[] = [];
  now = 1_000_000;
  ticket = 'ticket';
  sockets: Socket[] = [];
  session: Session;

  constructor(config: any) {
    const sizes = { window: config.window ?? 262_144, maxMessage: config.max_message ?? 1_048_576, ttl: config.ttl ?? 60_000 };
    this.session = new Session({ ...sizes, probes: !!config.probes, manual: !!config.manual }, (event) => {
      const text = (data: string | Uint8Array) => (typeof data === 'string' ? { text: data } : { binary: hex(data) });
      if (event.type === 'message' && !config.hold) event.taken(this.now);
      this.events.push(this.#described(event, text));
    });
  }

  #described(event: SessionEvent, text: (data: string | Uint8Array) => object): object {
    switch (event.type) {
      case 'open':
        return { event: 'open', id: hex(event.welcome.id) };
      case 'resumed':
        return { event: 'resumed', epoch: event.welcome.epoch };
      case 'message':
        return { event: 'message', ...text(event.data), ...(event.volatile ? { volatile: true } : {}) };
      case 'gap':
        return { event: 'gap', direction: event.direction, from: event.from, to: event.to, reason: REASONS[event.reason] };
      case 'refused': {
        const { type: _type, status, ...rest } = event.welcome as any;
        return { event: 'refused', status: STATUSES[status], ...rest };
      }
      default: {
        const { type, ...rest } = event;
        return { event: type, ...rest };
      }
    }
  }

  /** Lets time pass, from one deadline to the next. */
  wait(ms: number): void {
    const end = this.now + ms;
    while (this.session.deadline <= end) {
      this.now = Math.max(this.now, this.session.deadline);
      this.session.tick(this.now);
    }
    this.now = end;
  }

  step(step: any): void {
    const socket = this.sockets[(step.socket ?? this.sockets.length) - 1]!;
    switch (Object.keys(step).find((key) => key in this.#steps)) {
      default:
        throw new Error(`unknown step ${JSON.stringify(step)}`);
      case 'open': {
        const link = new Socket(this);
        this.sockets.push(link);
        link.send(this.session.hello(link, new TextEncoder().encode(this.ticket), this.now, true));
        return;
      }
      case 'output': {
        let output = this.outputs.shift();
        while (output && output !== step.output && isAck(output)) {
          if (isAck(step.output)) expect(recvOf(output).counts.recv).not.toBe(recvOf(step.output).counts.recv);
          output = this.outputs.shift();
        }
        return expect(output).toBe(step.output);
      }
      case 'input':
        return this.session.receive(socket, bytes(step.input), this.now);
      case 'input_text':
        return this.session.receive(socket, step.input_text, this.now);
      case 'cut':
        return this.session.closed(socket, step.cut === true ? 1006 : step.cut, this.now);
      case 'wait':
        return this.wait(step.wait);
      case 'send':
        return this.session.send(frames.data(step.send, !!step.volatile), !!step.volatile, this.now);
      case 'close':
        return this.session.close(step.close, step.reason ?? '', this.now);
      case 'ticket':
        this.ticket = step.ticket;
        return;
      case 'event':
        return expect(this.events.shift()).toEqual(step.event);
      case 'closes':
        return expect(this.closes.shift()).toBe(step.closes);
    }
  }

  #steps = { open: 1, output: 1, input: 1, input_text: 1, cut: 1, wait: 1, send: 1, close: 1, ticket: 1, event: 1, closes: 1 };

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
