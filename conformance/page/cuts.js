// Many sockets of a page, whose connections are cut at random bytes: by an end, by a reset, or half open. Each sends numbered
// messages to /echo, and each must come back once and in order.
//
//     run cuts [CUTS [SEED]]    150 unless given, and a random seed
const { proxy } = require('./proxy');
const { check, ok, serve, visit } = require('./visit');

const cuts = Number(process.argv[2] ?? 150);
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 32));
const SOCKETS = 60;
/** A connection lives for as many bytes at most: about a second, its opening handshake included. */
const BYTES = 8000;

/** Mulberry32. */
function randomness(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs in the page: opens the sockets, and goes on sending until it is stopped. */
async function begin(sockets) {
  const { EverwireSocket } = await import('/everwire.js');
  const textOf = (number) => `${number} ${'x'.repeat((number * 7919) % 300)}`;
  const streams = Array.from({ length: sockets }, () => {
    const stream = { sent: 0, returned: 0, wrong: [], resumed: 0, socket: new EverwireSocket('/echo', { session: 'required' }) };
    stream.socket.onmessage = ({ data }) => {
      if (data !== textOf(++stream.returned)) stream.wrong.push(`${data.slice(0, 20)} where ${stream.returned} should be`);
    };
    stream.socket.onresumed = () => stream.resumed++;
    for (const type of ['gap', 'lost', 'close']) stream.socket.addEventListener(type, () => stream.wrong.push(type));
    return stream;
  });
  const sending = setInterval(() => {
    for (const stream of streams) {
      if (stream.sent - stream.returned < 200) stream.socket.send(textOf(++stream.sent));
    }
  }, 50);
  // Without it, who is cut every second waits ever longer.
  const waking = setInterval(() => dispatchEvent(new Event('online')), 1000);
  globalThis.cutting = { streams, stop: () => clearInterval(sending), waking };
}

const sum = () => {
  const { streams } = globalThis.cutting;
  const add = (name) => streams.reduce((sum, stream) => sum + stream[name], 0);
  return { sent: add('sent'), returned: add('returned'), resumed: add('resumed'), wrong: streams.flatMap(({ wrong }) => wrong).slice(0, 5) };
};

check(async () => {
  console.log(`seed ${seed}`);
  const random = randomness(seed);
  const server = await serve('127.0.0.1:0', '--threads', '2', '--log', 'error');
  let isOver = false;
  const plan = () => {
    if (isOver) return undefined;
    const dice = random();
    return { bytes: 1 + Math.floor(random() * BYTES), how: dice < 0.45 ? 'end' : dice < 0.9 ? 'reset' : 'hole' };
  };
  const path = await proxy(server.address, plan);
  // The page itself comes while the path is whole.
  isOver = true;
  const { page } = await visit(path.address);
  await page.evaluate(() => import('/everwire.js'));
  isOver = false;
  await page.evaluate(begin, SOCKETS);
  const total = () => path.counts.end + path.counts.reset + path.counts.hole;
  while (total() < cuts) await new Promise((resolve) => setTimeout(resolve, 200));
  isOver = true;
  path.spare();
  await page.evaluate(() => globalThis.cutting.stop());
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { sent, returned, resumed, wrong } = await page.evaluate(sum);
    if (wrong.length || returned > sent) throw new Error(`${wrong.join(', ')}; ${returned} of ${sent} returned`);
    if (sent === returned) {
      const { end, reset, hole } = path.counts;
      return ok(`${total()} cuts (${end} ends, ${reset} resets, ${hole} half open), ${resumed} resumes: ${sent} messages there and back, each once and in order`);
    }
    if (Date.now() > deadline) throw new Error(`${returned} of ${sent} messages returned`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
});
