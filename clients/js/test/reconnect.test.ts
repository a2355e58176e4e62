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

test('a GOAWAY that was due long ago is no wait, and none into the past', () => {
  const reconnect = createReconnect(() => 1_700_000_000_000);
  reconnect.closed(1012, '', 0);
  expect(reconnect.delay(false)).toBe(0);
});
