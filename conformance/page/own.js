// The page and the server of examples/resumable_chat, as docs/sessions.md tells to build one's own: two tabs talk, their connections
// are cut, and both have heard everything in one order.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const { browsing, check, ok, PATIENCE_MS } = require('./visit');

/** Starts the example; returns where it listens. */
async function start() {
  const server = spawn(process.env.RESUMABLE_CHAT, [], { stdio: ['ignore', 'pipe', 'inherit'] });
  process.on('exit', () => server.kill('SIGKILL'));
  let said = '';
  while (!said.includes('\n')) said += (await once(server.stdout, 'data'))[0];
  return Number(/127\.0\.0\.1:(\d+)/.exec(said)[1]);
}

/** A path to it that can be cut. */
async function path(port) {
  const open = new Set();
  const proxy = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.on('error', () => {}).on('close', () => other.destroy() && open.delete(one));
      one.pipe(other);
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return { url: `http://127.0.0.1:${proxy.address().port}/`, cut: () => open.forEach((socket) => socket.resetAndDestroy()) };
}

async function visit(url) {
  const page = await (await browsing).newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(url);
  return {
    is: (state) => page.waitForFunction((state) => document.getElementById('state').textContent === state, state),
    heard: () => page.evaluate(() => [...document.querySelectorAll('#said li')].map((line) => line.textContent)),
    hears: (n) => page.waitForFunction((n) => document.querySelectorAll('#said li').length >= n, n),
    async say(text) {
      await page.fill('#text', text);
      await page.click('#form button');
    },
  };
}

check(async () => {
  const { url, cut } = await path(await start());
  const tabs = [await visit(url), await visit(url)];
  for (const tab of tabs) await tab.is('attached');
  const said = [];
  for (let round = 1; round <= 3; round++) {
    cut();
    for (const [n, tab] of tabs.entries()) {
      said.push(`${n} says ${round}`);
      await tab.say(said.at(-1));
    }
    for (const tab of tabs) await tab.hears(said.length);
  }
  const [one, other] = await Promise.all(tabs.map((tab) => tab.heard()));
  if (one.join() !== other.join() || [...one].sort().join() !== [...said].sort().join()) {
    throw new Error(`they heard ${one} and ${other}`);
  }
  for (const tab of tabs) await tab.is('attached');
  ok(`both heard ${one.join(', ')}`);
});
