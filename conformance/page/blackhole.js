// A path that swallows everything without a word, while the page sends: the page notices by itself, takes its session over to
// another connection, and nothing is lost.
//
//     run blackhole [HOLES]    3 unless given
const { proxy } = require('./proxy');
const { check, ok, serve, visit } = require('./visit');

const holes = Number(process.argv[2] ?? 3);

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
