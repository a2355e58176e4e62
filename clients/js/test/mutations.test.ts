// Each rule that keeps messages from being lost or doubled, or the client from being locked out, left out of the code of one end:
// within 10,000 cuts somebody notices. Three are rules of the client; those of a server are left out of the one that it is tested with.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { run, type Ends, type Run } from './chaos.js';

const root = new URL('..', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'everwire-mutations-'));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** What stands in a file, and what takes its place. */
type Change = [file: string, from: string, to: string];

/** Builds both ends with these changes, each of which must fit exactly once. */
async function built(name: string, changes: Change[]): Promise<Ends> {
  const left = new Set(changes);
  const change = (file: string) => {
    let text = readFileSync(file, 'utf8');
    for (const each of changes.filter(([path]) => join(root, path) === file)) {
      const parts = text.split(each[1]);
      if (parts.length !== 2) throw new Error(`${each[0]} has ${parts.length - 1} times ${each[1]}`);
      text = parts.join(each[2]);
      left.delete(each);
    }
    return text;
  };
  const { outputFiles } = await build({
    stdin: {
      contents: `export { EverwireSocket } from './src/index.ts'; export { ReferenceServer } from './test/server.ts';`,
      resolveDir: root,
    },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    plugins: [
      {
        name: 'mutate',
        setup: ({ onLoad }) => onLoad({ filter: /\.ts$/ }, ({ path }) => ({ contents: change(path), loader: 'ts' })),
      },
    ],
  });
  expect([...left]).toEqual([]);
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, outputFiles[0]!.text);
  return import(/* @vite-ignore */ pathToFileURL(file).href);
}

/** Returns what goes wrong first within so many cuts. */
async function failureWith(name: string, changes: Change[], cuts = 10_000): Promise<string> {
  const ends = await built(name, changes);
  const total: Run = { cuts: 0, resumed: 0 };
  for (let seed = 1; total.cuts < cuts; seed++) {
    const failure = await run(seed, ends, true, total).then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (failure !== undefined) {
      console.log(`${name}: after ${total.cuts} cuts, seed ${seed}: ${failure.split('\n')[0]}`);
      return failure;
    }
    vi.clearAllTimers();
  }
  throw new Error(`nobody misses it: ${name}`);
}

const HEARS_FROM_ANYONE: Change[] = [
  ['src/session.ts', 'if (from !== link) return;\n      try', 'try'],
  ['src/client.ts', 'if (attempt !== current) return;\n      if (plain)', 'if (plain)'],
  ['src/client.ts', 'drop(current);\n      current = attempt;', 'current = attempt;'],
];

test('nothing is noticed where nothing is left out', async () => {
  await expect(failureWith('nothing', [], 1000)).rejects.toThrow('nobody misses it');
});

test.each<[name: string, changes: Change[]]>([
  ['the client goes on listening to the old socket', HEARS_FROM_ANYONE],
  ['the attempts of the client do not grow', [['src/session.ts', 'attempt++;\n', '']]],
  ['the client keeps its first token', [['src/session.ts', 'token = [...accepted[9]];', 'if (!token.length) token = [...accepted[9]];']]],
  ['the server goes on listening to the old socket', [['test/server.ts', 'else if (session?.wire === wire) session', 'else session?']]],
  ['attaches are ordered by their arrival', [['test/server.ts', 'if (stale(attempt! <= session.attempt)) return undefined;', '']]],
  ['the old token dies when a new one is made', [['test/server.ts', 'session.previous = token;', "session.previous = '';"]]],
])('%s', async (name, changes) => {
  expect(await failureWith(name.replaceAll(' ', '-'), changes)).not.toBe('');
});
