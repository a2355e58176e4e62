// The two buttons: the connection is cut, comes back, and nothing is lost. The long cut is one of 3 s here.
const { check, ok, serve, visit } = require('./visit');

check(async () => {
  const { address } = await serve();
  const visitor = await visit(address, '?away=3');
  // Another page, which nobody cuts.
  const other = await visit(address);
  await visitor.goesOn();
  for (const [button, least] of [
    ['cut', 0],
    ['away', 3000],
    ['cut', 0],
  ]) {
    const before = (await visitor.timeline()).length;
    await visitor.click(button);
    const detached = await visitor.happens(['detached'], before);
    const resumed = await visitor.happens(['resumed'], before);
    const took = resumed.at - detached.at;
    // The page's clock starts when it has the server's answer.
    if (took < least - 500) throw new Error(`back after ${took} ms: it was not refused for ${least} ms`);
    await visitor.goesOn();
    await visitor.isWhole();
    ok(`${button}: detached, resumed after ${took} ms, ${JSON.stringify(await visitor.numbers())}`);
  }
  await other.isWhole();
  const lines = (await other.timeline()).map(({ kind }) => kind);
  if (lines.join() !== 'attached') throw new Error(`the other page was cut as well: ${lines}`);
  ok('another page noticed nothing');
});
