/** WebSockets on a wire of our own: latency, cuts, black holes. Time is vitest's. */

import type { ReferenceServer } from './server.js';

export interface NetConfig {
  /** Milliseconds, one way. */
  latency: () => number;
  /** Milliseconds for which nothing comes through a new socket; then all of it does. */
  stall: () => number;
  /** Bytes per second that a socket carries, each way. */
  rate: { server: number; client: number };
  /** Which protocol the server selects of those offered; undefined fails the connection. */
  select: (protocols: string[]) => string | undefined;
}

export class Net {
  sockets: FakeSocket[] = [];
  /** New connections are refused, or never answered. */
  refusing = false;
  silent = false;
  /** What fails says `error` at once, and is closed when it is told to, as in Node 22. */
  hesitating = false;
  config: NetConfig = {
    latency: () => 10,
    stall: () => 0,
    rate: { server: Infinity, client: Infinity },
    select: (protocols) => (protocols.includes('everwire.v1') ? 'everwire.v1' : ''),
  };
  /** What a plain server does with a message. */
  plain: (socket: FakeSocket, data: string | Uint8Array) => void = (socket, data) => socket.deliver(data);

  constructor(readonly server: ReferenceServer) {}

  get WebSocket(): any {
    const net = this;
    return class extends FakeSocket {
      constructor(url: string, protocols: string[] = []) {
        super(net, url, protocols);
      }
    };
  }

  get last(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  get open(): FakeSocket[] {
    return this.sockets.filter((socket) => socket.readyState === 1);
  }
}

export class FakeSocket {
  onopen: ((event: unknown) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null = null;
  onerror: (() => void) | null = null;
  binaryType = 'blob';
  readyState = 0;
  protocol = '';
  bufferedAmount = 0;
  closedWith: number | undefined;
  sent: (string | Uint8Array)[] = [];

  #net: Net;
  #take: ((frame: Uint8Array) => void) | undefined;
  #toServer = 0;
  #toClient = 0;
  /** Nothing comes through any more, and nobody is told. */
  #lost = false;
  /** Nothing that is sent comes through before this. */
  #stalled = 0;

  constructor(net: Net, readonly url: string, readonly protocols: string[]) {
    this.#net = net;
    net.sockets.push(this);
    this.stall(net.config.stall());
    if (net.silent) return;
    this.#later('server', () => {
      const selected = net.refusing ? undefined : net.config.select(protocols);
      if (selected === undefined) {
        return this.#later('client', () => (net.hesitating ? this.onerror?.() : this.#closed(1006, '', false)));
      }
      this.#later('client', () => {
        if (this.readyState) return;
        this.readyState = 1;
        this.protocol = selected;
        this.onopen?.({});
      });
      if (selected === 'everwire.v1') this.#take = net.server.accept(this.#wire, protocols);
    });
  }

  send(data: string | Uint8Array): void {
    if (this.readyState === 0) throw new DOMException('still connecting', 'InvalidStateError');
    if (this.readyState > 1) return;
    this.sent.push(data);
    this.#later('server', () => {
      if (this.#take) this.#take(data as Uint8Array);
      else this.#net.plain(this, data);
    }, data.length);
  }

  close(code = 1000, reason = ''): void {
    if (this.readyState > 1) return;
    this.closedWith = code;
    const connecting = this.readyState === 0;
    this.readyState = 2;
    this.#later('server', () => this.#later('client', () => this.#closed(connecting ? 1006 : code, reason, !connecting)));
  }

  /** The server sends. */
  deliver(data: string | Uint8Array): void {
    this.#later('client', () => {
      if (this.readyState !== 1) return;
      const bytes = typeof data === 'string' ? data : data.slice().buffer;
      this.onmessage?.({ data: bytes });
    }, data.length);
  }

  /** The path breaks, and both ends learn it. */
  cut(code = 1006, reason = ''): void {
    this.#lost = true;
    setTimeout(() => this.#closed(code, reason, code !== 1006), 1);
  }

  /** What is sent from now on comes through in so many ms. */
  stall(ms: number): void {
    this.#stalled = Date.now() + ms;
  }

  /** The path breaks, and nobody learns it. */
  blackhole(): void {
    this.#lost = true;
  }

  #wire = {
    send: (frame: Uint8Array) => this.deliver(frame),
    close: (code: number) => this.#later('client', () => this.#closed(code, '', true)),
  };

  #closed(code: number, reason: string, wasClean: boolean): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason, wasClean });
  }

  /** Each direction keeps its order. */
  #later(to: 'server' | 'client', action: () => void, bytes = 0): void {
    const now = Date.now();
    const before = Math.max(now + this.#net.config.latency(), this.#stalled, to === 'server' ? this.#toServer : this.#toClient);
    const at = before + (bytes * 1000) / this.#net.config.rate[to];
    if (to === 'server') this.#toServer = at;
    else this.#toClient = at;
    setTimeout(() => this.#lost || action(), at - now);
  }
}
