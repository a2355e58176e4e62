/** A small server of everwire.v1, written from docs/protocol.md to have somebody to talk to. It shares no code with the client. */

export interface Wire {
  send(frame: Uint8Array): void;
  close(code: number): void;
}

export const n = (value: number): number[] => (value < 128 ? [value] : [(value % 128) | 128, ...n(Math.floor(value / 128))]);

/** Reads numbers and bytes of a client's frame. */
export class Reader {
  at = 1;
  constructor(readonly bytes: Uint8Array) {}
  n(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
  take(): Uint8Array {
    const length = this.n();
    this.at += length;
    return this.bytes.slice(this.at - length, this.at);
  }
}

interface Config {
  window: number;
  /** Payload bytes that are kept for a detached client. */
  buffer: number;
  heartbeat: number;
  heartbeatTimeout: number;
  ttl: number;
}

export class ServerSession {
  received: string[] = [];
  gapsIn: [number, number][] = [];
  gapsOut: [number, number][] = [];
  /** Messages that were evicted, by number. */
  evicted = new Set<number>();
  ended: number | undefined;
  attempt = 0;
  epoch = 0;
  wire: Wire | undefined;
  token = '';
  previous = '';
  /** All that it ever had. */
  tokens = new Set<string>();
  /** How much the application holds back, in cost. */
  hold = 0;
  paused = false;

  next = 1;
  position = 0;
  acked = 0;
  recv = 0;
  buffer = new Map<number, Uint8Array>();
  bytes = 0;
  lo = 1;
  window = 0;
  inFlight = 0;

  constructor(
    readonly server: ReferenceServer,
    readonly id: number,
  ) {}

  counts(): number[] {
    return [...n(this.recv), ...n(this.recv), ...n(this.position), ...n(this.credit())];
  }

  credit(): number {
    return Math.max(0, this.server.config.window - this.hold);
  }

  send(text: string): void {
    const frame = new Uint8Array([0x11, ...Buffer.from(text)]);
    this.buffer.set(this.next++, frame);
    this.bytes += frame.length;
    while (!this.wire && this.bytes > this.server.config.buffer) this.#evict();
    this.pump();
  }

  #evict(): void {
    const frame = this.buffer.get(this.lo);
    if (frame) {
      this.bytes -= frame.length;
      this.buffer.delete(this.lo);
      this.evicted.add(this.lo);
    }
    this.lo++;
  }

  #cost(number: number): number {
    const frame = this.buffer.get(number);
    return frame ? frame.length + 31 : 0;
  }

  pump(): void {
    while (this.wire && this.position + 1 < this.next) {
      const from = this.position + 1;
      const frame = this.buffer.get(from);
      if (!frame) {
        let to = from;
        while (to + 1 < this.next && !this.buffer.has(to + 1)) to++;
        this.position = to;
        this.gapsOut.push([from, to]);
        this.wire.send(new Uint8Array([0x70, ...n(from), ...n(to), 1]));
      } else {
        if (this.inFlight >= this.window) return;
        this.inFlight += this.#cost(from);
        this.position = from;
        this.wire.send(frame);
      }
    }
  }

  ping(): void {
    this.wire?.send(new Uint8Array([0x30, 7, ...this.counts()]));
  }

  acknowledge(): void {
    this.wire?.send(new Uint8Array([0x20, ...this.counts()]));
  }

  #check(reader: Reader): void {
    const [recv, done, sent, window] = [reader.n(), reader.n(), reader.n(), reader.n()];
    if (sent !== this.recv) throw new Error(`the client says that it sent ${sent}, ${this.recv} came`);
    if (recv < this.acked || recv > this.position) throw new Error(`recv ${recv} is not in ${this.acked}..${this.position}`);
    while (this.acked < recv) this.inFlight -= this.#cost(++this.acked);
    this.window = window;
    this.free(done);
  }

  free(done: number): void {
    for (; this.lo <= done; this.lo++) {
      this.bytes -= this.buffer.get(this.lo)?.length ?? 0;
      this.buffer.delete(this.lo);
    }
  }

  handle(frame: Uint8Array): void {
    this.previous = '';
    const reader = new Reader(frame);
    switch (frame[0]! >> 4) {
      case 1:
        if (frame[0]! > 0x11) return this.server.onVolatile(this, frame);
        this.recv++;
        this.received.push((frame[0]! % 2 ? 't' : 'b') + Buffer.from(frame.slice(1)).toString());
        if (this.paused) this.hold += frame.length + 31;
        this.server.onMessage(this, frame);
        if (this.recv % 8 === 0) this.acknowledge();
        break;
      case 2:
        this.#check(reader);
        break;
      case 3: {
        const token = reader.n();
        this.#check(reader);
        this.wire!.send(new Uint8Array([0x40, ...n(token), ...this.counts()]));
        break;
      }
      case 4:
        reader.n();
        this.#check(reader);
        break;
      case 7: {
        const [from, to] = [reader.n(), reader.n()];
        if (from !== this.recv + 1) throw new Error(`gap from ${from}, ${this.recv} came`);
        this.recv = to;
        this.gapsIn.push([from, to]);
        break;
      }
      case 9: {
        this.ended = reader.n();
        this.wire!.send(new Uint8Array([0x91, ...n(this.ended), ...this.counts(), 0]));
        break;
      }
    }
    this.pump();
  }
}

export class ReferenceServer {
  sessions: ServerSession[] = [];
  hellos: { attempt: number; form: 'inline' | 'early'; auth: string }[] = [];
  /** Answers the next HELLO with this WELCOME instead. */
  refuse: Uint8Array[] = [];
  onMessage: (session: ServerSession, frame: Uint8Array) => void = () => {};
  onVolatile: (session: ServerSession, frame: Uint8Array) => void = () => {};
  config: Config = { window: 262_144, buffer: 262_144, heartbeat: 25_000, heartbeatTimeout: 10_000, ttl: 60_000 };
  #tokens = 0;

  get last(): ServerSession {
    return this.sessions.at(-1)!;
  }

  /** A WebSocket was accepted. Returns what takes its frames. */
  accept(wire: Wire, protocols: string[]): (frame: Uint8Array) => void {
    let session: ServerSession | undefined;
    const early = protocols.find((protocol) => protocol.startsWith('everwire-h.'));
    if (early) session = this.#hello(wire, new Uint8Array(Buffer.from(early.slice(11), 'base64url')), 'early');
    return (frame) => {
      if (frame[0] === 0x50) session = this.#hello(wire, frame, 'inline');
      else if (session?.wire === wire) session.handle(frame);
    };
  }

  /** Forgets everything, as a server does that restarts. */
  restart(): void {
    for (const session of this.sessions) {
      session.tokens.clear();
      session.wire?.close(1012);
      session.wire = undefined;
    }
  }

  #hello(wire: Wire, frame: Uint8Array, form: 'inline' | 'early'): ServerSession | undefined {
    const reader = new Reader(frame);
    reader.at = 2;
    const [attempt, recv, _lo, next, window] = [reader.n(), reader.n(), reader.n(), reader.n(), reader.n()];
    reader.n();
    reader.n();
    const token = Buffer.from(reader.take()).toString();
    const auth = Buffer.from(reader.take()).toString();
    this.hellos.push({ attempt: attempt!, form, auth });
    const refusal = this.refuse.shift();
    if (refusal) {
      wire.send(refusal);
      wire.close(4400);
      return undefined;
    }
    let session = this.sessions.find((session) => session.tokens.has(token));
    const status = session ? 1 : token ? 2 : 0;
    if (!session) this.sessions.push((session = new ServerSession(this, this.sessions.length + 1)));
    const stale = (is: boolean) => {
      if (!is) return false;
      wire.send(new Uint8Array([0x60, 7]));
      wire.close(4509);
      return true;
    };
    if (stale(attempt! <= session.attempt)) return undefined;
    if (stale(status === 1 && token !== session.token && token !== session.previous)) return undefined;
    if (status === 1 && (recv! > session.next - 1 || next! <= session.recv)) throw new Error('somebody has lost their memory');
    session.attempt = attempt!;
    session.epoch++;
    session.wire?.close(4509);
    session.wire = wire;
    session.position = session.acked = status === 1 ? recv! : 0;
    session.inFlight = 0;
    session.window = window!;
    session.previous = token;
    const { config } = this;
    session.token = config.ttl ? `token ${++this.#tokens}` : '';
    if (config.ttl) session.tokens.add(session.token);
    wire.send(
      new Uint8Array([
        0x60,
        status,
        ...n(session.epoch),
        ...session.counts(),
        ...n(1_048_576),
        ...n(config.ttl),
        ...n(config.heartbeat),
        ...n(config.heartbeatTimeout),
        ...n(1000),
        ...n(session.token.length),
        ...Buffer.from(session.token),
        1,
        session.id,
      ]),
    );
    session.pump();
    return session;
  }
}
