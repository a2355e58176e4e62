// What a page must load.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

test('the built file has at most 6 KiB, gzipped', () => {
  const built = readFileSync(new URL('../dist/everwire.js', import.meta.url));
  expect(gzipSync(built, { level: 9 }).length).toBeLessThanOrEqual(6 * 1024);
});
