// A path that is slow, and one that swallows everything: what is suspected, and what the application is told of it.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { wait, world } from './world.js';

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const LARGE = 'x'.repeat(200_000);

describe('a message that takes longer than the patience', () => {
  test('arrives on its way up', async () => {
    const { server, net, socket, log } = world();
    await wait(1000);
    net.config.rate.server = 50_000;
    socket.send(LARGE);
    await wait(40_000);
    expect(server.last.received.map(({ length }) => length)).toEqual([LARGE.length + 1]);
    expect(socket.state).toBe('attached');
    expect(log.filter((line) => !/detached|resumed$/.test(line))).toEqual(['open']);
    expect(net.sockets.length).toBeLessThan(6);
  });

  test('arrives on its way up while small ones come down', async () => {
    const { server, net, socket } = world();
    await wait(1000);
    net.config.rate.server = 50_000;
    const chatter = setInterval(() => server.last.send('tick'), 5000);
    socket.send(LARGE);
    await wait(60_000);
    clearInterval(chatter);
    expect(server.last.received.length).toBe(1);
  });

  test('arrives on its way down while small ones go up', async () => {
    const { server, net, socket, log } = world();
    await wait(1000);
    net.config.rate.client = 50_000;
    server.last.send(LARGE);
    let sent = 0;
    const chatter = setInterval(() => socket.send(`${++sent}`), 500);
    await wait(60_000);
    clearInterval(chatter);
    await wait(10_000);
    expect(log.filter((line) => line === `message ${LARGE}`).length).toBe(1);
    expect(server.last.received).toEqual(Array.from({ length: sent }, (_, i) => `t${i + 1}`));
    expect(server.sessions.length).toBe(1);
  });

  test('leaves no doubts behind, only a longer round trip: the next black hole is noticed', async () => {
    const { net, server, socket } = world();
    await wait(1000);
    net.config.rate.server = 50_000;
    socket.send(LARGE);
    await wait(40_000);
    net.config.rate.server = Infinity;
    socket.send('soon there');
    await wait(5000);
    net.last.blackhole();
    const before = net.sockets.length;
    socket.send('a');
    await wait(6500); // A second, and no patience is above five.
    expect(net.sockets.length).toBe(before + 1);
    expect(server.last.received.at(-1)).toBe('ta');
  });
});

describe('where new connections are swallowed too', () => {
  const silence = async () => {
    const it = world();
    await wait(20_000);
    it.net.silent = true;
    it.net.last.blackhole();
    it.socket.send('a');
    return it;
  };

  test('the application is told within 3 s, and nothing is closed for it', async () => {
    const { net, socket, log } = await silence();
    await wait(2500);
    expect([log, socket.state]).toEqual([['open'], 'attached']);
    await wait(500);
    expect([log, socket.state, socket.readyState]).toEqual([['open', 'detached'], 'detached', 1]);
    expect(net.sockets.map(({ closedWith }) => closedWith)).toEqual([undefined, undefined]);
  });

  test('another connection is tried on, and what was sent arrives once', async () => {
    const { net, server, socket, log } = await silence();
    await wait(8000);
    net.silent = false;
    socket.send('b');
    await wait(20_000);
    expect(log).toEqual(['open', 'detached', 'resumed']);
    expect(server.last.received).toEqual(['ta', 'tb']);
    expect(socket.state).toBe('attached');
  });

  test('the death of the socket is not told once more', async () => {
    const { net, socket, log } = await silence();
    await wait(50_000);
    expect(net.sockets[0]!.closedWith).toBe(4408);
    expect([log, socket.state]).toEqual([['open', 'detached'], 'detached']);
    net.silent = false;
    await wait(60_000);
    expect(log.slice(0, 3)).toEqual(['open', 'detached', 'resumed']);
  });

  test('a socket that speaks after all is attached again', async () => {
    const { server, net, socket, log } = world();
    await wait(20_000);
    const first = net.last;
    net.silent = true;
    first.stall(5000); // A server that stands still.
    const states: string[] = [];
    for (const type of ['detached', 'resumed'] as const) socket.addEventListener(type, () => void states.push(socket.state));
    socket.send('a');
    await wait(4000);
    expect([log, socket.state]).toEqual([['open', 'detached'], 'detached']);
    socket.sendVolatile('into it'); // It is used on.
    await wait(2000);
    expect([log, socket.state]).toEqual([['open', 'detached', 'resumed'], 'attached']);
    expect(states).toEqual(['detached', 'attached']);
    expect(server.last.received).toEqual(['ta']);
    expect(first.closedWith).toBe(undefined);
    expect(net.sockets.slice(1).every(({ closedWith }) => closedWith === 1000)).toBe(true);
    const { length } = net.sockets;
    await wait(60_000);
    expect([net.sockets.length, log.length]).toEqual([length, 3]);
  });

  test('a goodbye that nobody hears is over when it would be else', async () => {
    const { socket, log } = await silence();
    await wait(3500);
    socket.close(3456, 'bye');
    await wait(6000);
    expect(log).toEqual(['open', 'detached', 'close 3456 bye true']);
  });
});

describe('a session that the server does not keep', () => {
  const kept = (ttl: number) => {
    const it = world();
    it.server.config.ttl = ttl;
    return it;
  };

  test('suspects nobody: another socket would end it', async () => {
    const { net, socket, log } = kept(0);
    await wait(1000);
    net.last.blackhole();
    socket.send('a');
    await wait(25_000);
    expect([net.sockets.length, log]).toEqual([1, ['open']]);
    await wait(15_000);
    expect(log).toEqual(['open', 'detached', 'lost [a]', 'resumed, fresh']);
  });

  test('is lost when the server sends it to another socket', async () => {
    const { server, socket, log } = kept(0);
    await wait(1000);
    server.last.send('1');
    await wait(1000);
    server.last.wire!.send(new Uint8Array([0x80, 0, 0, 0]));
    await wait(15_000);
    expect(log).toEqual(['open', 'message 1', 'detached', 'lost []', 'resumed, fresh']);
    expect([server.sessions.length, socket.state]).toEqual([2, 'attached']);
  });
});
