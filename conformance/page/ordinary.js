// Without sessions, the page's counter sees the loss: it is no zero that cannot change.
const { check, ok, serve, visit } = require('./visit');

async function losesNumbers(visitor) {
  const before = (await visitor.timeline()).length;
  await visitor.click('away');
  await visitor.happens(['detached'], before);
  await visitor.happens(['plain'], before);
  const { lost } = await visitor.goesOn();
  if (!lost) throw new Error('nothing was lost without a session');
  ok(`${lost} lost`);
}

check(async () => {
  const [with_, without] = [await serve(), await serve('127.0.0.1:0', '--no-sessions')];
  const visitor = await visit(with_.address, '?away=2');
  await visitor.goesOn();
  await visitor.click('ordinary');
  await visitor.happens(['plain'], 1);
  await visitor.goesOn();
  await losesNumbers(visitor);
  const other = await visit(without.address, '?away=2');
  await other.goesOn();
  // Such a server has nothing to show by it, and cuts nobody.
  await other.click('away');
  await other.happens(['failed'], 1);
  const { lost } = await other.goesOn();
  if (lost) throw new Error(`${lost} lost, and nothing was cut`);
  ok('a server without sessions cuts nobody');
});
