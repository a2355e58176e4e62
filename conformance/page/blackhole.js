// A path that swallows everything without a word, while the page sends: the page notices by itself, takes its session over to
// another connection, and nothing is lost.
//
//     run blackhole [HOLES]    3 unless given
const { createServer, connect } = require('node:net');
const { once } = require('node:events');
const { check, ok, serve, visit } = require('./visit');

const holes = Number(process.argv[2] ?? 3);

/** Passes bytes on, until connections fall into the hole: then it reads and forgets. */
async function proxy(to) {
  const [host, port] = to.split(':');
  const pairs = new Set();
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    const pair = { isHole: false };
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
    /** Swallows what is on all connections that there are. New ones work. */
    hole: () => pairs.forEach((pair) => (pair.isHole = true)),
  };
}

check(async () => {
  const server = await serve();
  const path = await proxy(server.address);
  const visitor = await visit(path.address);
  const times = [];
  for (let n = 1; n <= holes; n++) {
    await visitor.goesOn(4 + (n % 4));
    const before = (await visitor.timeline()).length;
    const start = Date.now();
    path.hole();
    const noticed = await visitor.happens(['detached', 'resumed'], before);
    const resumed = await visitor.happens(['resumed'], before);
    await visitor.goesOn();
    await visitor.isWhole();
    times.push(resumed.at - start);
    ok(`hole ${n}: ${noticed.kind} after ${noticed.at - start} ms, resumed after ${resumed.at - start} ms, ${JSON.stringify(await visitor.numbers())}`);
  }
  ok(`resumed after ${Math.min(...times)} to ${Math.max(...times)} ms`);
});
