// Two tabs chat; one is cut off while both talk, and hears what was said, in one order.
const { check, ok, serve, visit } = require('./visit');

check(async () => {
  const { address } = await serve('127.0.0.1:0', '--threads', '2');
  const away = await visit(address, '?away=3');
  const here = await visit(address);
  await away.say('hello');
  await here.hears('hello');
  const before = (await away.timeline()).length;
  await away.click('away');
  await away.happens(['detached'], before);
  for (const n of [1, 2, 3]) {
    await here.say(`here ${n}`);
    await away.say(`away ${n}`);
  }
  const all = ['hello', 'here 1', 'here 2', 'here 3', 'away 1', 'away 2', 'away 3'];
  const heard = await Promise.all([away.hears(...all), here.hears(...all)]);
  for (const list of heard) {
    if (list.join() !== heard[0].join() || list.length !== all.length) throw new Error(`they heard ${heard.join(' and ')}`);
  }
  await away.isWhole();
  ok(`both heard ${heard[0].join(', ')}`);
});
