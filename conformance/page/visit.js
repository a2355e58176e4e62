// What the checks have in common: the real server, the real browser, and how to read the page.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { chromium } = require('playwright-core');

// Nothing waits longer than this, however busy the machine is.
const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 40_000);

// So that what was started is ended as well.
process.on('SIGTERM', () => process.exit(1));

// Nothing here may reach beyond loopback.
const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // What a check fetches for a page would count as from elsewhere, and might not connect to this machine.
  '--disable-features=LocalNetworkAccessChecks',
];

/** Starts the server; returns its address, and what ends it. */
async function serve(listen = '127.0.0.1:0', ...options) {
  const server = spawn(process.env.EVERWIRE, ['serve', '--listen', listen, '--admin', 'off', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.on('exit', () => server.kill('SIGKILL'));
  let said = '';
  while (!said.includes('\n')) said += (await once(server.stdout, 'data'))[0];
  server.stdout.resume();
  return {
    address: /127\.0\.0\.1:\d+/.exec(said)[0],
    async kill() {
      server.kill('SIGKILL');
      await once(server, 'exit');
    },
  };
}

const browsing = chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });

/** Opens the page, once `prepare` has been done to it; returns what a visitor can do and see. */
async function visit(address, query = '', prepare = async () => {}) {
  const page = await (await browsing).newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await prepare(page);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.text().includes('Content Security Policy') && complaints.push(message.text()));
  await page.goto(`http://${address}/${query}`);
  const visitor = {
    page,
    complaints,
    click: (id) => page.click(`#${id}`),

    numbers: () =>
      page.evaluate(() =>
        Object.fromEntries(
          ['received', 'returned', 'lost', 'duplicated'].map((id) => [id, Number(document.getElementById(id).textContent)]),
        ),
      ),

    /** What the timeline says: the kind, and when. */
    timeline: () =>
      page.evaluate(() =>
        [...document.querySelectorAll('#timeline li')].map((line) => ({
          kind: line.className,
          at: Date.parse(line.querySelector('time').dateTime),
          text: line.textContent,
        })),
      ),

    /** Waits until the timeline has a line of one of these kinds after the first `after`. */
    async happens(kinds, after) {
      const found = ([kinds, after]) => [...document.querySelectorAll('#timeline li')].slice(after).some((line) => kinds.includes(line.className));
      await page.waitForFunction(found, [kinds, after]).catch(async () => {
        throw new Error(`the page should have told ${kinds}, but told: ${(await visitor.timeline()).map(({ text }) => text).join(' | ')}`);
      });
      const lines = (await visitor.timeline()).slice(after);
      return lines.find(({ kind }) => kinds.includes(kind));
    },

    /** Waits until both streams have gone on by so many numbers. */
    async goesOn(by = 8) {
      const before = await visitor.numbers();
      const wanted = [before.received + by, before.returned + by];
      const went = ([received, returned]) =>
        Number(document.getElementById('received').textContent) >= received &&
        Number(document.getElementById('returned').textContent) >= returned;
      await page.waitForFunction(went, wanted).catch(async () => {
        throw new Error(`the numbers should go on from ${JSON.stringify(before)}, but are ${JSON.stringify(await visitor.numbers())}`);
      });
      return visitor.numbers();
    },

    async isWhole() {
      const { lost, duplicated } = await visitor.numbers();
      if (lost || duplicated) throw new Error(`${lost} lost, ${duplicated} duplicated`);
      if (complaints.length) throw new Error(complaints.join(' | '));
    },

    async say(text) {
      await page.fill('#message', text);
      await page.click('#form button');
    },

    /** Waits until these texts have been said, in this order, and returns all that were. */
    async hears(...texts) {
      const said = () => [...document.querySelectorAll('#said li:not(.waiting)')].map((line) => line.lastChild.textContent.replace(/^[^:]*: /, ''));
      const deadline = Date.now() + PATIENCE_MS;
      for (;;) {
        const heard = await page.evaluate(said);
        if (texts.every((text) => heard.includes(text))) return heard;
        if (Date.now() > deadline) throw new Error(`should have heard ${texts}, but heard ${heard}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
  };
  await visitor.happens(['attached', 'plain'], 0);
  return visitor;
}

/** Runs a check to its end, and says how it went. */
function check(run) {
  run().then(
    () => process.exit(0),
    (error) => {
      console.log(`FAILED  ${error.message}`);
      process.exit(1);
    },
  );
}

const ok = (text) => console.log(`ok      ${text}`);

module.exports = { browsing, check, ok, PATIENCE_MS, serve, visit };
