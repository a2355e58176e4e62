// What a server advised holds for the attach that it was said for, and for none after it.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createReconnect } from '../src/reconnect.js';
import { n } from './server.js';
import { wait, world, type World } from './world.js';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const goaway = ({ server }: World, after: number) => server.last.wire!.send(new Uint8Array([0x80, ...n(after), 0, 0]));

/** Cuts the connection; returns after how many ms the next attempt comes. */
async function returns({ net }: World): Promise<number> {
  const before = net.sockets.length;
  const cut = Date.now();
  net.last.cut();
  while (net.sockets.length === before && Date.now() < cut + 60_000) await wait(10);
  return Date.now() - cut;
}

describe('advice that an attach overtook', () => {
  test('of a GOAWAY that was due: a later loss is answered with jitter', async () => {
    const it = world();
    await wait(20_000);
    const first = it.net.last;
    goaway(it, 0);
    await wait(15);
    expect(it.net.sockets.length).toBe(2);
    first.cut(1012);
    await wait(20_000);
    expect(it.log).toEqual(['open', 'detached', 'resumed']);
    expect(await returns(it)).toBeGreaterThan(450);
  });

  test('of a GOAWAY that was not: a later loss does not wait for it', async () => {
    const it = world();
    await wait(20_000);
    const first = it.net.last;
    goaway(it, 2_400_000);
    await wait(100);
    it.net.config.latency = () => 50;
    it.net.last.deliver = () => {}; // Nothing comes back: it suspects.
    it.socket.send('1');
    while (it.net.sockets.length < 2) await wait(10);
    first.cut(1012);
    await wait(20_000);
    expect(it.log).toEqual(['open', 'detached', 'resumed']);
    expect(await returns(it)).toBeLessThan(1000);
  });
});

/** A server that attaches and closes after so many ms; returns how often it was asked within 10 min. */
async function asked(ms: number, code: number): Promise<number> {
  const it = world();
  const { accept } = it.server;
  it.server.accept = (wire, protocols) => {
    const take = accept.call(it.server, wire, protocols);
    return (frame) => {
      take(frame);
      if (frame[0] === 0x20) setTimeout(() => it.net.last.cut(code), ms); // Its ACK: it is attached.
    };
  };
  await wait(600_000);
  expect(it.server.sessions.length).toBe(1);
  return it.net.sockets.length;
}

describe('a server that attaches and closes', () => {
  for (const code of [1000, 1006, 4000]) {
    test(`at once, with ${code}, is asked ever more rarely`, async () => {
      expect(await asked(20, code)).toBeLessThan(55); // Each half of 30 s, once that is reached.
    });
  }

  test('after a while is come back to soon', async () => {
    expect(await asked(2000, 1006)).toBeGreaterThan(200);
  });

  test('after a long while is come back to within a second, whatever was before', async () => {
    const it = world();
    it.net.refusing = true;
    await wait(600_000);
    it.net.refusing = false;
    await wait(300_000);
    expect(it.log).toEqual(['open']);
    expect(await returns(it)).toBeLessThanOrEqual(1000);
  });
});

test('a GOAWAY that was due long ago is no wait, and none into the past', () => {
  const reconnect = createReconnect(() => 1_700_000_000_000);
  reconnect.closed(1012, '', 0);
  expect(reconnect.delay(false)).toBe(0);
});
