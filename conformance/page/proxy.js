// A TCP proxy that breaks connections: at a byte, by an end, by a reset, or by saying nothing any more.
const { createServer, connect } = require('node:net');
const { once } = require('node:events');

/** Breaks one connection: both ends see an end, a reset, or nothing more. */
function sever(pair, how) {
  pair.isHole = true;
  for (const socket of [pair.near, pair.far]) {
    if (how === 'end') socket.end();
    if (how === 'reset') socket.resetAndDestroy();
  }
}

/**
 * Passes bytes on. `plan()` is asked for each connection: `{ bytes, how }` breaks it after so many bytes of both directions together,
 * nothing lets it live.
 */
async function proxy(to, plan = () => undefined) {
  const [host, port] = to.split(':');
  const pairs = new Set();
  const counts = { end: 0, reset: 0, hole: 0 };
  const server = createServer((near) => {
    const pair = { near, far: connect(Number(port), host), isHole: false, passed: 0, plan: plan() };
    pairs.add(pair);
    const pass = (from, into) => {
      from.on('data', (data) => {
        if (pair.isHole) return;
        const left = (pair.plan?.bytes ?? Infinity) - pair.passed;
        pair.passed += data.length;
        if (data.length < left) return into.write(data);
        into.write(data.subarray(0, left));
        counts[pair.plan.how]++;
        sever(pair, pair.plan.how);
      });
      from.on('end', () => pair.isHole || into.end());
      from.on('close', () => {
        pairs.delete(pair);
        into.destroy();
      });
      from.on('error', () => {});
    };
    pass(near, pair.far);
    pass(pair.far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${server.address().port}`,
    counts,
    /** Swallows what is on all connections that there are. New ones work. */
    hole: () => pairs.forEach((pair) => sever(pair, 'hole')),
    /** Lets all connections live from now on. */
    spare: () => pairs.forEach((pair) => (pair.plan = undefined)),
  };
}

module.exports = { proxy };
