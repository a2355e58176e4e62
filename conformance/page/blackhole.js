// A path that swallows everything without a word, while the page sends: the page notices by itself, and nothing is lost. Where new
// connections work, it takes its session over to another one; where they are swallowed too, as those of a server that stands still, it
// says that it is detached, and goes on when it can.
//
//     run blackhole [HOLES]    4 unless given, of both kinds in turn
const { createServer, connect } = require('node:net');
const { once } = require('node:events');
const { check, ok, serve, visit } = require('./visit');

const holes = Number(process.argv[2] ?? 4);

/** Passes bytes on, until connections fall into the hole: then it reads and forgets. */
async function proxy(to) {
  const [host, port] = to.split(':');
  const pairs = new Set();
  let isClosed = false;
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    const pair = { isHole: isClosed };
    pairs.add(pair);
    const pass = (from, into) => {
      from.on('data', (data) => pair.isHole || into.write(data));
      from.on('end', () => pair.isHole || into.end());
      from.on('close', () => {
        pairs.delete(pair);
        into.destroy();
      });
      from.on('error', () => {});
    };
    pass(near, far);
    pass(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${server.address().port}`,
    /** Swallows what is on all connections that there are, and on new ones too if it `closes` the path. */
    hole(closes) {
      isClosed = closes;
      pairs.forEach((pair) => (pair.isHole = true));
    },
    /** New connections work again. */
    open: () => void (isClosed = false),
  };
}

const range = (times) => `${Math.min(...times)} to ${Math.max(...times)} ms`;

check(async () => {
  const server = await serve();
  const path = await proxy(server.address);
  const visitor = await visit(path.address);
  const resumedAfter = [];
  const detachedAfter = [];
  for (let n = 1; n <= holes; n++) {
    await visitor.goesOn(4 + (n % 4));
    const closes = n % 2 === 0;
    const before = (await visitor.timeline()).length;
    const start = Date.now();
    path.hole(closes);
    const noticed = await visitor.happens(['detached', 'resumed'], before);
    if (closes && noticed.kind !== 'detached') throw new Error(`nothing comes through, but the page told ${noticed.kind}`);
    path.open();
    const resumed = await visitor.happens(['resumed'], before);
    await visitor.goesOn();
    await visitor.isWhole();
    if (closes) detachedAfter.push(noticed.at - start);
    else resumedAfter.push(resumed.at - start);
    const where = closes ? 'and new connections' : 'connections that there are';
    ok(`hole ${n}, ${where}: ${noticed.kind} after ${noticed.at - start} ms, resumed after ${resumed.at - start} ms, ${JSON.stringify(await visitor.numbers())}`);
  }
  ok(`where new connections work: resumed after ${range(resumedAfter)}`);
  if (detachedAfter.length) ok(`where they are swallowed too: detached after ${range(detachedAfter)}`);
});
