// What is sent and what must come back: the same in Node and in a page.

/** The same numbers for the same seed, from 0 to 1. */
export function randomOf(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The message `n` of a socket: a text, or the same as bytes. Most are short, some are longer than a packet. */
function message(seed, socket, n) {
  const random = randomOf(seed * 1_000_003 + socket * 10_007 + n);
  const length = random() < 0.05 ? random() * 6000 : random() * 200;
  const kind = ['text', 'text', 'text', 'bytes', 'blob'][Math.floor(random() * 5)];
  let text = `${socket} ${n} ${kind} `;
  while (text.length < length) text += 'größer als zuvor '.slice(0, 1 + random() * 16);
  return { kind, text };
}

const textOf = (data) => (typeof data === 'string' ? data : new TextDecoder().decode(data));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Sends until `enough`, then waits for the rest and closes. Returns what both applications saw.
 *
 * A server keeps a session that its client never confirmed for ten seconds only. If it is lost in these, before anything came back,
 * everything that was sent is handed back, and the application begins again.
 */
async function one(EverwireSocket, url, options, seed, number, enough, again = 0) {
  const random = randomOf(seed + number);
  const told = { again, detached: 0, resumed: 0 };
  let unconfirmed = false;
  const wrong = again > 3 ? [`begun again ${again} times`] : []; // That much bad luck is none.
  /** The numbers of the messages that came back, in their order. */
  const log = [];
  let sent = 0;
  // With so many cuts an outage may well outlast the minute that is the default.
  const socket = new EverwireSocket(url, { ...options, session: 'required', ttl: 600_000 });
  socket.binaryType = 'arraybuffer';
  const closed = new Promise((resolve) => (socket.onclose = resolve));
  for (const type of ['detached', 'resumed']) socket.addEventListener(type, () => told[type]++);
  socket.onlost = ({ unacknowledged }) => {
    unconfirmed = !log.length;
    if (!unconfirmed) wrong.push(`lost, with ${unacknowledged.length} unacknowledged after ${log.length} of ${sent}`);
  };
  for (const type of ['gap', 'error']) {
    socket.addEventListener(type, ({ direction, from, to, reason }) => wrong.push(`${type} ${direction} ${from} ${to} ${reason}`));
  }
  socket.addEventListener('message', ({ data }) => {
    const text = textOf(data);
    if (text === 'volatile') return;
    const n = Number(text.split(' ', 2)[1]);
    const expected = message(seed, number, n);
    if (text !== expected.text || (typeof data === 'string') !== (expected.kind === 'text')) wrong.push(`garbled ${text.slice(0, 60)}`);
    log.push(n);
  });
  while (!enough() && !unconfirmed) {
    const { kind, text } = message(seed, number, sent++);
    if (kind === 'text') socket.send(text);
    else if (kind === 'bytes') socket.send(new TextEncoder().encode(text));
    else socket.send(new Blob([text]));
    if (random() < 0.05) socket.sendVolatile('volatile');
    await sleep(random() * 300);
    while (socket.bufferedAmount > 500_000 && !enough()) await sleep(100);
  }
  for (let tries = 0; log.length < sent && tries < 1200 && socket.readyState < 2 && !unconfirmed; tries++) await sleep(100);
  if (unconfirmed) {
    socket.close();
    return one(EverwireSocket, url, options, seed, number, enough, again + 1);
  }
  await sleep(50); // A message too many would still come.
  socket.close();
  const { code } = await closed;
  if (code !== 1000) wrong.push(`closed with ${code}`);
  const seen = new Set(log);
  return {
    ...told,
    sent,
    lost: sent - seen.size,
    doubled: log.length - seen.size,
    reordered: log.filter((n, i) => n < log[i - 1]).length,
    wrong,
  };
}

/** Lets so many sockets talk, and adds up what they saw. */
export async function load(EverwireSocket, urls, options, { seed, sockets }, enough) {
  const runs = Array.from({ length: sockets }, (_, i) => one(EverwireSocket, urls[i % urls.length], options, seed, i + 1, enough));
  const sum = { again: 0, sent: 0, detached: 0, resumed: 0, lost: 0, doubled: 0, reordered: 0, wrong: [] };
  for (const [i, seen] of (await Promise.all(runs)).entries()) {
    for (const key of ['again', 'sent', 'detached', 'resumed', 'lost', 'doubled', 'reordered']) sum[key] += seen[key];
    sum.wrong.push(...seen.wrong.map((what) => `socket ${i + 1}: ${what}`));
  }
  return sum;
}
