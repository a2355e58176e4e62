/** One run of random cuts, black holes and delays between the client and a server. Time is vitest's; what differs follows from a seed. */

import { expect, vi } from 'vitest';
import { Net } from './net.js';
import type { ReferenceServer } from './server.js';
import type { EverwireSocket } from './subject.js';

/** What talks to each other. */
export interface Ends {
  EverwireSocket: typeof EverwireSocket;
  ReferenceServer: typeof ReferenceServer;
}

function randomOf(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A blob that takes its time, which is virtual too. */
class SlowBlob extends Blob {
  constructor(
    readonly content: string,
    readonly delay: number,
  ) {
    super([content]);
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    const { buffer } = new TextEncoder().encode(this.content);
    return new Promise((resolve) => setTimeout(() => resolve(buffer as ArrayBuffer), this.delay));
  }
}

export interface Run {
  cuts: number;
  resumed: number;
}

/** `wild`: paths also stall, and then what was on them arrives; and the page sleeps for a moment. */
export async function run(seed: number, { EverwireSocket, ReferenceServer }: Ends, wild: boolean, counted?: Run): Promise<Run> {
  const random = randomOf(seed);
  vi.spyOn(Math, 'random').mockImplementation(random);
  const server = new ReferenceServer();
  const evicting = seed % 3 === 0;
  server.config.window = seed % 4 === 1 ? 200 : 262_144;
  if (evicting) server.config.buffer = 400;
  const net = new Net(server);
  setInterval(() => server.sessions[0]?.ping(), server.config.heartbeat);
  net.config.latency = () => 1 + random() * 60;
  const page = new EventTarget();
  if (wild) {
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    net.config.stall = () => (random() < 0.3 ? random() * 500 : 0);
  }
  const window = seed % 4 === 2 ? 150 : 262_144;
  const socket = new EverwireSocket('ws://server/', { WebSocket: net.WebSocket, window, early: seed % 2 === 0 });
  const fromServer: string[] = [];
  const received: string[] = [];
  const gaps: [number, number][] = [];
  const unexpected: string[] = [];
  let opened = 0;
  let resumed = 0;
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => opened++;
  socket.addEventListener('message', async ({ data }) => {
    received.push(data);
    if (window < 1000) await new Promise((resolve) => setTimeout(resolve, random() * 50));
  });
  socket.addEventListener('gap', ({ from, to, direction }) => {
    if (direction === 'out') unexpected.push('gap out');
    received.push(`gap ${from}-${to}`);
    gaps.push([from, to]);
  });
  socket.onresumed = ({ fresh }) => void (fresh ? unexpected.push('fresh') : resumed++);
  for (const type of ['lost', 'close', 'error'] as const) socket.addEventListener(type, () => unexpected.push(type));

  const accepted: string[] = [];
  let cuts = 0;
  const push = () => {
    const text = `s${fromServer.length + 1}`;
    fromServer.push(text);
    server.sessions[0]!.send(text);
  };
  const { stall } = net.config;
  net.config.stall = () => 0;
  await vi.advanceTimersByTimeAsync(1000); // A HELLO without a token that is not answered makes a session of its own.
  net.config.stall = stall;
  for (let step = 0; step < 150; step++) {
    const dice = random();
    if (wild && random() < 0.1) {
      for (const open of net.open) open.stall(random() * 8000);
    } else if (wild && random() < 0.1) {
      page.dispatchEvent(new Event('freeze'));
      if (random() < 0.5) await vi.advanceTimersByTimeAsync(random() * 200);
      page.dispatchEvent(new Event('resume'));
    } else if (dice < 0.4) {
      accepted.push(`tc${accepted.length + 1}`);
      socket.send(accepted.at(-1)!.slice(1));
    } else if (dice < 0.45) {
      accepted.push(`bblob${accepted.length + 1}`);
      socket.send(new SlowBlob(accepted.at(-1)!.slice(1), random() * 50));
    } else if (dice < 0.8 && server.sessions[0]) {
      push();
    } else if (dice < 0.86) {
      for (const open of net.open) {
        cuts++;
        if (counted) counted.cuts++;
        if (random() < 0.5) open.cut();
        else open.blackhole();
      }
    } else if (dice < 0.9) {
      net.refusing = random() < 0.5;
      net.silent = random() < 0.2;
    }
    // The server learns of a cut late, or never.
    if (evicting && random() < 0.1 && server.sessions[0]) server.sessions[0].wire = undefined;
    await vi.advanceTimersByTimeAsync(random() < 0.9 ? random() * 100 : random() * 8000);
  }
  net.refusing = net.silent = false;
  await vi.advanceTimersByTimeAsync(400_000);
  const session = server.sessions[0]!;

  expect(unexpected).toEqual([]);
  expect(opened).toBe(1);
  expect(server.sessions.length).toBe(1);
  expect(session.received).toEqual(accepted);
  expect(socket.bufferedAmount).toBe(0);
  expect(socket.state).toBe('attached');
  // What came is what was sent, but for what was evicted; each hole was announced in its place.
  const rebuilt: string[] = [];
  for (const entry of received) {
    const gap = /^gap (\d+)-(\d+)$/.exec(entry);
    if (!gap) rebuilt.push(entry);
    else for (let number = +gap[1]!; number <= +gap[2]!; number++) rebuilt.push(`s${number}`);
  }
  expect(rebuilt).toEqual(fromServer);
  if (!evicting) expect(gaps).toEqual([]);
  const closed = new Promise((resolve) => (socket.onclose = ({ code }) => resolve(code)));
  unexpected.length = 0;
  socket.close();
  await vi.advanceTimersByTimeAsync(1000);
  expect(await closed).toBe(1000);
  expect(session.ended).toBe(1000);
  return { cuts, resumed };
}

