// The page behind proxies that cut its connections, at bytes and in ways that a seed decides: closed, reset, or in silence at either
// end, at both or in one direction. Its own counters must stay at 0, and all pages must have heard the same, said by all.
//
//     run cuts [CUTS [PAGES [SEED]]]    60 and 6 and 1 unless given
const { spawn } = require('node:child_process');
const { createInterface } = require('node:readline');
const { once } = require('node:events');
const { browsing, check, ok, serve, visit } = require('./visit');

const [count, pages, seed] = [60, 6, 1].map((usual, i) => Number(process.argv[2 + i] ?? usual));
/** Chromium opens one connection at a time to the same address: RFC 6455 §4.1. */
const PAGES_PER_PROXY = 2;
/** What a page says altogether; all show the last 300 lines. */
const SAYS = Math.max(1, Math.floor(Math.min(8, 250 / pages)));
/** A page has two connections, and each may be attached once a second; most outages take some seconds. `run` ends us soon after. */
const LIMIT_MS = Math.min(120_000 + (count / pages) * 20_000, (Number(process.env.LIMIT_S ?? 3600) - 5) * 1000);

const started = [];
process.on('exit', () => started.forEach((proxy) => proxy.kill('SIGKILL')));
let cuts = 0;
const kinds = {};
/** How often a page was opened again, all together: usually as often as there are pages at most. */
let again = 0;
const AGAIN_LIMIT = 3 * pages;

/** Starts a proxy that makes so many cuts; returns its address. */
async function startProxy(to, number, share) {
  const proxy = spawn(process.env.CHAOS_PROXY, [to, '--seed', `${seed * 1000 + number}`, '--cuts', `${share}`, '--hush', '6000'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  started.push(proxy);
  const lines = createInterface({ input: proxy.stdout });
  lines.on('line', (line) => {
    const kind = /^cut \d+ (\w+)/.exec(line)?.[1];
    if (!kind) return;
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    if (++cuts % 1000 === 0) console.log(`        ${cuts} cuts after ${Math.round(performance.now() / 1000)} s`);
  });
  const [first] = await once(lines, 'line');
  return first.trim();
}

/** Counts the lines of the timeline by their kind from now on, however many it keeps. */
const watch = () => {
  const seen = (window.seen = {});
  new MutationObserver((records) => {
    for (const { addedNodes } of records) for (const { className } of addedNodes) seen[className] = (seen[className] ?? 0) + 1;
  }).observe(document.getElementById('timeline'), { childList: true });
};

/**
 * Opens the page at the address of a proxy. What it is made of comes from the server itself: only its WebSockets are cut.
 *
 * Who is cut in the very first handshake cannot tell that from a server without sessions, and is content without; and a session that
 * its client never confirmed is kept for 10 s. A page to which one of these happens at its beginning is opened again; where that
 * happens far too often the server is at fault, such as one that loses every session at its beginning.
 */
async function open(proxy, server) {
  for (;;) {
    const fetched = async (route) => route.fulfill({ response: await route.fetch({ url: route.request().url().replace(proxy, server) }) });
    const visitor = await visit(proxy, '', async (page) => {
      await page.setViewportSize({ width: 320, height: 240 }); // Drawing takes more time than all else.
      await page.route('**/*', fetched);
    });
    await visitor.page.evaluate(watch);
    await visitor.goesOn(4);
    // Who is plain stays so, and one that is cut just now does not say what it is.
    const known = await visitor.page.waitForFunction(() => {
      const states = ['count', 'chat'].map((id) => document.getElementById(id).dataset.state);
      return states.every((state) => state === 'attached' || state === 'plain') && states;
    });
    const isPlain = (await known.jsonValue()).includes('plain');
    if (!isPlain && !(await visitor.timeline()).some(({ kind }) => kind === 'lost')) return visitor;
    if (++again > AGAIN_LIMIT) throw new Error(`${again} times a page of ${pages} began ${isPlain ? 'without a session' : 'by losing it'}`);
    await visitor.page.close();
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Has a page say its lines while cuts are made, the last when all are made. */
async function talk(visitor, i) {
  for (let n = 1; n <= SAYS; n++) {
    while (cuts < Math.min(count, (count * n) / SAYS)) await sleep(200);
    await visitor.say(`${i} says ${n}`);
  }
}

check(async () => {
  setTimeout(() => {
    console.log(`FAILED  not done after ${LIMIT_MS / 1000} s and ${cuts} cuts`);
    process.exit(1);
  }, LIMIT_MS).unref();
  const { address } = await serve();
  const n = Math.ceil(pages / PAGES_PER_PROXY);
  const shares = Array.from({ length: n }, (_, i) => Math.floor((count * (i + 1)) / n) - Math.floor((count * i) / n));
  const proxies = await Promise.all(shares.map((share, i) => startProxy(address, i, share)));
  const visitors = [];
  while (visitors.length < pages) {
    const some = Array.from({ length: Math.min(4, pages - visitors.length) }, (_, i) => open(proxies[(visitors.length + i) % n], address));
    visitors.push(...(await Promise.all(some)));
  }
  await Promise.all(visitors.map(talk));
  const said = visitors.flatMap((_, i) => Array.from({ length: SAYS }, (_, n) => `${i} says ${n + 1}`));
  const sum = { received: 0, returned: 0, lost: 0, duplicated: 0 };
  const told = {};
  let first;
  for (const [i, visitor] of visitors.entries()) {
    await visitor.goesOn();
    await visitor.isWhole().catch(async (error) => {
      const seen = JSON.stringify(await visitor.page.evaluate(() => window.seen));
      throw new Error(`page ${i}: ${error.message}; its timeline told ${seen}, and ends ${JSON.stringify(await visitor.timeline())}`);
    });
    const heard = (await visitor.hears(...said)).join();
    first ??= heard;
    if (heard !== first || heard.split(',').length !== said.length) throw new Error(`page ${i} heard ${heard}, and page 0 ${first}`);
    const numbers = await visitor.numbers();
    for (const name in sum) sum[name] += numbers[name];
    for (const [kind, lines] of Object.entries(await visitor.page.evaluate(() => window.seen))) told[kind] = (told[kind] ?? 0) + lines;
  }
  for (const kind of ['gap', 'lost', 'closed', 'plain']) if (told[kind]) throw new Error(`${told[kind]} times ${kind}`);
  const of = Object.entries(kinds).sort().map(([kind, n]) => `${kind} ${n}`);
  ok(
    `Chromium ${(await browsing).version()}, seed ${seed}: ${cuts} cuts (${of.join(', ')}), ${pages} pages, opened again ${again}; detached ${told.detached ?? 0}, ` +
      `resumed ${told.resumed ?? 0}; ${sum.received} numbers received, ${sum.returned} returned, ${said.length} lines heard by each; ` +
      `${sum.lost} lost, ${sum.duplicated} duplicated; ${Math.round(performance.now() / 1000)} s`,
  );
});
