// Once with real sockets and real time: the client of this package with the WebSocket of `ws`, and with the platform's where it has
// one, against the server of `ws`; and on a slow path to `everwire serve`, where that has been built.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import * as ws from 'ws';
import type { RawData } from 'ws';
import { ReferenceServer } from './server.js';
import { EverwireSocket } from './subject.js';

const soon = { timeout: 20_000, interval: 5 };

async function listen(handleProtocols?: (protocols: Set<string>) => string | false): Promise<ws.WebSocketServer> {
  const server = new ws.WebSocketServer({ port: 0, host: '127.0.0.1', ...(handleProtocols && { handleProtocols }) });
  await once(server, 'listening');
  return server;
}

const program = process.env.EVERWIRE ?? fileURLToPath(new URL('../../../target/release/everwire', import.meta.url));

/** Starts `everwire serve`; returns its port, and what ends it. */
async function serve(): Promise<[port: number, end: () => void]> {
  const server = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--admin', 'off'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  let port: RegExpExecArray | null = null;
  while (!(port = /127\.0\.0\.1:(\d+)/.exec(said))) said += (await once(server.stdout, 'data'))[0];
  server.stdout.resume();
  return [Number(port[1]), () => void server.kill()];
}

/** Passes so many bytes per second on to a port, of each connection. What comes back is not held up. */
async function slow(port: number, rate: number): Promise<Server> {
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    far.pipe(near);
    const pass = async () => {
      for await (const data of near) {
        for (let at = 0; at < data.length; at += rate / 20) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          far.write(data.subarray(at, at + rate / 20));
        }
      }
    };
    pass().then(
      () => far.end(),
      () => far.destroy(),
    );
    far.on('error', () => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const urlOf = (server: ws.WebSocketServer) => `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;

// Before Node 22 there is none, in which `check` runs this too.
const platforms = { ws: { WebSocket: ws.WebSocket as any }, ...(globalThis.WebSocket && { 'the platform': {} }) };

describe.each(Object.entries(platforms))('with the WebSocket of %s', (_, options) => {
  test('messages of both ends survive sockets that are cut', { timeout: 60_000 }, async () => {
    const reference = new ReferenceServer();
    const server = await listen((protocols) => (protocols.has('everwire.v1') ? 'everwire.v1' : false));
    server.on('connection', (ws, { headers }) => {
      const wire = { send: (frame: Uint8Array) => ws.send(frame), close: (code: number) => ws.close(code) };
      const take = reference.accept(wire, headers['sec-websocket-protocol']!.split(/, */));
      ws.on('message', (data: RawData) => take(new Uint8Array(data as Buffer)));
      ws.on('error', () => {});
    });
    const socket = new EverwireSocket(urlOf(server), options);
    const received: string[] = [];
    const told: string[] = [];
    socket.onmessage = ({ data }) => void received.push(data);
    for (const type of ['open', 'resumed', 'lost', 'gap', 'close'] as const) socket.addEventListener(type, () => void told.push(type));
    await vi.waitFor(() => expect(socket.readyState).toBe(1), soon);

    const session = reference.last;
    const sent: string[] = [];
    const accepted: string[] = [];
    for (let cut = 1; cut <= 3; cut++) {
      for (let i = 0; i < 500; i++) {
        sent.push(`s${sent.length}`);
        session.send(sent.at(-1)!);
        accepted.push(`tc${accepted.length}`);
        socket.send(accepted.at(-1)!.slice(1));
        if (i === 250) for (const ws of server.clients) ws.terminate();
      }
      await vi.waitFor(() => expect(told.filter((type) => type === 'resumed').length).toBe(cut), soon);
    }
    await vi.waitFor(() => expect([received.length, session.received.length]).toEqual([sent.length, accepted.length]), soon);
    expect(received).toEqual(sent);
    expect(session.received).toEqual(accepted);
    socket.close();
    await vi.waitFor(() => expect(socket.readyState).toBe(3), soon);
    expect(told).toEqual(['open', 'resumed', 'resumed', 'resumed', 'close']);
    server.close();
  });

  test('a plain server that selects nothing is talked to plainly', { timeout: 60_000 }, async () => {
    const server = await listen(() => false);
    server.on('connection', (ws) => ws.on('message', (data, binary) => ws.send(data, { binary })));
    const socket = new EverwireSocket(urlOf(server), options);
    const received: string[] = [];
    socket.onmessage = ({ data }) => void received.push(data);
    socket.send('größer');
    await vi.waitFor(() => expect(received).toEqual(['größer']), soon);
    expect(socket.state).toBe('plain');
    socket.close();
    await vi.waitFor(() => expect(socket.readyState).toBe(3), soon);
    server.close();
  });

  test('where a session is required, a plain server is the end', { timeout: 60_000 }, async () => {
    const server = await listen(() => false);
    const socket = new EverwireSocket(urlOf(server), { ...options, session: 'required' });
    const ends: number[] = [];
    socket.onclose = ({ code }) => void ends.push(code);
    await vi.waitFor(() => expect(ends).toEqual([1010]), soon);
    server.close();
  });

  test.skipIf(!existsSync(program))('a message that takes longer than the patience arrives', { timeout: 60_000 }, async () => {
    const [port, end] = await serve();
    const path = await slow(port, 20_000);
    const socket = new EverwireSocket(`ws://127.0.0.1:${(path.address() as AddressInfo).port}/echo`, options);
    const received: string[] = [];
    const told: string[] = [];
    socket.onmessage = ({ data }) => void received.push(data);
    for (const type of ['lost', 'gap', 'close'] as const) socket.addEventListener(type, () => void told.push(type));
    await vi.waitFor(() => expect(socket.readyState).toBe(1), soon);
    const large = 'x'.repeat(80_000); // Four seconds.
    socket.send(large);
    socket.send('and then');
    await vi.waitFor(() => expect(received.length).toBe(2), { timeout: 50_000, interval: 50 });
    expect(received).toEqual([large, 'and then']);
    expect(told).toEqual([]);
    socket.close();
    await vi.waitFor(() => expect(socket.readyState).toBe(3), soon);
    path.close();
    end();
  });
});
