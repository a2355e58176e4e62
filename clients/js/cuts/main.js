// Starts the server, the proxy and the client, and says what came of it: `run` tells how to use it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { load } from './load.js';

const [where, ...given] = process.argv.slice(2);
const wanted = { count: 10_000, sockets: 100, seed: 1 };
for (let i = 0; i < given.length; i += 2) {
  const name = given[i].replace(/^--/, '');
  if (!(name in wanted) || !(Number(given[i + 1]) >= 0)) {
    console.error(`${given[i]} ${given[i + 1] ?? ''}: expected --count, --sockets or --seed and a number`);
    process.exit(2);
  }
  wanted[name] = Number(given[i + 1]);
}
/**
 * Sockets that share a proxy. A browser opens one connection at a time to the same address (RFC 6455 §4.1), so one that is cut in
 * silence in its handshake keeps those waiting that share its address.
 */
const PER_PROXY = 4;
/** Nothing takes longer than this: a session can be cut about once a second. */
const LIMIT = 180_000 + (wanted.count / wanted.sockets) * 30_000;

const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** Starts a program and returns the lines that it prints. */
function start(program, ...args) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  child.on('error', (error) => console.error(`${program}: ${error.message}`));
  child.on('exit', (code) => {
    console.error(`${program} ended with ${code}`);
    process.exit(1);
  });
  children.push(child);
  return createInterface({ input: child.stdout })[Symbol.asyncIterator]();
}

const addressIn = (line) => /127\.0\.0\.1:\d+/.exec(line)[0];

/** What the page loads, and what it says. */
function site() {
  const files = { '/everwire.js': '../dist/everwire.js', '/load.js': './load.js', '/': './page.html' };
  const server = createServer(async (request, response) => {
    const path = request.url.split('?')[0];
    if (path === '/enough') return void over.then(() => response.end());
    if (path === '/result') {
      let body = '';
      for await (const chunk of request) body += chunk;
      response.end();
      return void server.emit('result', JSON.parse(body));
    }
    const file = files[path];
    if (!file) return void response.writeHead(404).end();
    response.setHeader('Content-Type', path === '/' ? 'text/html; charset=utf-8' : 'text/javascript; charset=utf-8');
    response.end(readFileSync(new URL(file, import.meta.url)));
  });
  server.requestTimeout = server.headersTimeout = server.timeout = 0;
  return server;
}

/** Runs the page in Chromium and returns what it posts. */
async function inChromium(server) {
  const profile = mkdtempSync(join(tmpdir(), 'everwire-cuts-'));
  process.on('exit', () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  const { port } = server.address();
  const query = new URLSearchParams({ urls, seed: wanted.seed, sockets: wanted.sockets });
  const browser = spawn(
    process.env.CHROMIUM ?? '/usr/bin/chromium',
    ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
      .concat(['--disable-component-update', '--disable-sync', '--disable-breakpad', `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/?${query}`]),
    { stdio: 'ignore', detached: true },
  );
  process.on('exit', () => {
    try {
      process.kill(-browser.pid, 'SIGKILL'); // It has started others.
    } catch {
      // It has ended by itself.
    }
  });
  return (await once(server, 'result'))[0];
}

async function inNode() {
  const { EverwireSocket } = await import('../dist/everwire.js');
  const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;
  let enough = false;
  void over.then(() => (enough = true));
  return load(EverwireSocket, urls, { WebSocket }, wanted, () => enough);
}

let calm;
/** As many connections were cut as are wanted. */
const over = new Promise((resolve) => (calm = resolve));

const began = Date.now();
const server = site().listen(0, '127.0.0.1');
await once(server, 'listening');
const origin = `http://127.0.0.1:${server.address().port}`;
const serving = start(process.env.EVERWIRE, 'serve', '--listen', '127.0.0.1:0', '--admin', 'off', '--origin', origin);
const echo = addressIn((await serving.next()).value);
const proxies = Math.ceil(wanted.sockets / PER_PROXY);
const kinds = {};
let cuts = 0;

/** Starts a proxy that cuts its share, and returns its address. */
async function startProxy(i) {
  const share = Math.floor((wanted.count * (i + 1)) / proxies) - Math.floor((wanted.count * i) / proxies);
  const lines = start(process.env.CHAOS_PROXY, echo, '--seed', `${wanted.seed * 1000 + i}`, '--cuts', `${share}`);
  const address = addressIn((await lines.next()).value);
  void (async () => {
    for await (const line of lines) {
      const kind = /^cut \d+ (\w+)/.exec(line)?.[1];
      if (!kind) continue;
      kinds[kind] = (kinds[kind] ?? 0) + 1;
      if (++cuts % 1000 === 0) console.error(`${cuts} cuts after ${Math.round((Date.now() - began) / 1000)} s`);
      if (cuts === wanted.count) calm();
    }
  })();
  return `ws://${address}/echo`;
}

const urls = await Promise.all(Array.from({ length: proxies }, (_, i) => startProxy(i)));
if (!wanted.count) calm();
setTimeout(() => {
  console.error(`${where}: not done after ${LIMIT / 1000} s and ${cuts} cuts, seed ${wanted.seed}`);
  process.exit(1);
}, LIMIT).unref();

const seen = await (where === 'node' ? inNode() : inChromium(server));
const what = where === 'node' ? `Node ${process.version.slice(1)}` : `Chromium ${seen.version}`;
const of = Object.entries(kinds)
  .sort()
  .map(([kind, count]) => `${kind} ${count}`);
for (const line of seen.wrong.slice(0, 20)) console.log(line);
console.log(
  `${what}, seed ${wanted.seed}: ${cuts} cuts (${of.join(', ')}), ${wanted.sockets} sockets, ${proxies} proxies, ${seen.sent} messages there and back, ` +
    `resumed ${seen.resumed} times, begun again ${seen.again} times: ${seen.lost} lost, ${seen.doubled} doubled, ${seen.reordered} reordered, ` +
    `${seen.wrong.length} complaints; ${Math.round((Date.now() - began) / 1000)} s`,
);
const well = cuts >= wanted.count && seen.sent > 0 && !(seen.lost || seen.doubled || seen.reordered || seen.wrong.length);
process.exit(well ? 0 : 1);
