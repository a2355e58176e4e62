/** A real browser, and a site for it that speaks everwire.v1 by the reference server. Pages drive themselves and report here. */

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocketServer, type RawData } from 'ws';
import { ReferenceServer } from './server.js';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const missing = !existsSync(CHROMIUM);

export interface Site {
  readonly url: string;
  readonly server: ReferenceServer;
  /** What pages reported by `say`, in the order of its arrival. */
  readonly said: string[];
  /** Cuts every WebSocket. */
  cut(): void;
  /** Opens a page in a browser of its own, with this script in it. */
  visit(script: string): void;
  close(): Promise<void>;
}

/** What every page starts with: the client, a log of what a socket tells, and `say`. */
const PRELUDE = `
  import { EverwireSocket } from '/everwire.js';
  import { TabStore } from '/tab.js';
  const who = new URLSearchParams(location.search).get('who') ?? 'page';
  const say = (what) => fetch('/say', { method: 'POST', body: who + ': ' + what, keepalive: true });
  const watch = (socket) => {
    for (const type of ['open', 'message', 'detached', 'resumed', 'gap', 'lost', 'close'])
      socket.addEventListener(type, ({ data, fresh }) => say(type + (data ? ' ' + data : fresh ? ', fresh' : '')));
    return socket;
  };
  addEventListener('pageshow', ({ persisted }) => persisted && say('is back'));
`;

export async function site(plain = false): Promise<Site> {
  const server = new ReferenceServer();
  const said: string[] = [];
  let script = '';
  const http = createServer(async (request, response) => {
    const path = request.url!.split('?')[0]!;
    let body = '';
    for await (const chunk of request) body += chunk;
    if (path === '/say') said.push(body);
    const type = path.endsWith('.js') ? 'text/javascript' : 'text/html';
    response.setHeader('Content-Type', `${type}; charset=utf-8`);
    if (path.endsWith('.js')) response.end(readFileSync(new URL(`../dist${path}`, import.meta.url)));
    else if (path === '/away') response.end(`<script>setTimeout(() => history.back(), 500)</script>`);
    else response.end(`<!doctype html><title>${path}</title><script type="module">${PRELUDE}${script}</script>`);
  });
  const handleProtocols = (protocols: Set<string>) => (!plain && protocols.has('everwire.v1') ? 'everwire.v1' : false);
  const sockets = new WebSocketServer({ server: http, handleProtocols });
  sockets.on('connection', (ws, { headers }) => {
    ws.on('error', () => {});
    if (plain) return void ws.on('message', (data, binary) => ws.send(data, { binary }));
    const wire = { send: (frame: Uint8Array) => ws.send(frame), close: (code: number) => ws.close(code) };
    const take = server.accept(wire, headers['sec-websocket-protocol']!.split(/, */));
    ws.on('message', (data: RawData) => take(new Uint8Array(data as Buffer)));
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/`;
  const ends: (() => Promise<void>)[] = [];

  return {
    url,
    server,
    said,
    cut: () => sockets.clients.forEach((ws) => ws.terminate()),
    visit(source) {
      script = source;
      const profile = mkdtempSync(join(tmpdir(), 'everwire-chromium-'));
      const args = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'].concat([
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-breakpad',
        '--disable-popup-blocking',
        `--user-data-dir=${profile}`,
        url,
      ]);
      const browser = spawn(CHROMIUM, args, { stdio: 'ignore', detached: true });
      const exited = new Promise((resolve) => browser.once('exit', resolve));
      ends.push(async () => {
        process.kill(-browser.pid!, 'SIGKILL'); // It has started others.
        await exited;
        rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
      });
    },
    async close() {
      for (const end of ends) await end();
      sockets.clients.forEach((ws) => ws.terminate());
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
