// The short names of dist: two properties may share one only where no object has both.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { neighboursOf } from '../owned.js';

const names: { locals: string; properties: Record<string, string> } = JSON.parse(
  readFileSync(new URL('../names.json', import.meta.url), 'utf8'),
);

test('no object has two properties with one short name', () => {
  const neighbours = neighboursOf(Object.keys(names.properties));
  expect([...neighbours.position!]).toContain('acked'); // It looks at all objects.
  const clashes = Object.entries(neighbours).flatMap(([name, others]) =>
    [...others].filter((other) => names.properties[other] === names.properties[name]).map((other) => `${name} ${other}`),
  );
  expect(clashes).toEqual([]);
});

test('no two locals of a scope have one short name', () => {
  const locals = names.locals.split(' ');
  expect(new Set(locals).size).toBe(locals.length);
});
