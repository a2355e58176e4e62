// Random cuts and black holes between the client and a server: nothing is lost, doubled or reordered, and what is evicted is
// announced. Time is virtual; a failure prints its seed.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { run, type Run } from './chaos.js';
import { ReferenceServer } from './server.js';
import { EverwireSocket } from './subject.js';

const SEEDS = Number(process.env.SEEDS ?? 60);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe.each([
  ['nothing is lost, doubled or reordered', false],
  ['nor where paths stall and the page sleeps', true],
])('%s', (_, wild) => {
  const total: Run = { cuts: 0, resumed: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`seed ${seed}`, async () => {
      const { cuts, resumed } = await run(seed, { EverwireSocket, ReferenceServer }, wild);
      total.cuts += cuts;
      total.resumed += resumed;
    });
  }
  test('there were cuts, and the session went on', () => {
    expect(total.cuts).toBeGreaterThan(SEEDS);
    expect(total.resumed).toBeGreaterThan(SEEDS);
  });
});
