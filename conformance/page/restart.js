// The server is killed and started again: the page comes back to a server that has forgotten it, and says so.
const { check, ok, serve, visit } = require('./visit');

check(async () => {
  const server = await serve();
  const visitor = await visit(server.address);
  await visitor.goesOn();
  const before = (await visitor.timeline()).length;
  await server.kill();
  await visitor.happens(['detached'], before);
  await visitor.say('said to nobody');
  await serve(server.address);
  const lost = await visitor.happens(['lost'], before);
  await visitor.happens(['resumed'], before);
  await visitor.goesOn();
  await visitor.hears('said to nobody');
  await visitor.isWhole();
  ok(`${lost.text}; what was said is said again`);
});
