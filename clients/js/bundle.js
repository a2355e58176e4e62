// Bundles and minifies: the same bytes from the same sources, names and orders.
import { readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { minify } from 'terser';
import { arrange } from './arrange.js';

/**
 * Reads the short names: of the properties of our own objects (nothing of the platform and nothing of the API may be called so), and
 * of the locals, the n-th of a scope being called the n-th of these; and in which order each group stands. See names.js.
 */
export function readNames() {
  const { properties, locals, orders } = JSON.parse(readFileSync('names.json', 'utf8'));
  return { properties, locals: locals.split(' '), orders: orders.map((order) => order.split(' ').map(Number)) };
}

export function writeNames({ properties, locals, orders }) {
  const lines = { locals: locals.join(' '), orders: orders.map((order) => order.join(' ')), properties };
  writeFileSync('names.json', `${JSON.stringify(lines, undefined, 2)}\n`);
}

/** Stands for a short name: in its place any other may be put. */
const MARK = /\$([pl]\d+)\$/;

/** Bundles an entry point of src, with marks for all short names. `owned` has the properties of our own objects. */
export async function bundle(entry, owned) {
  const { outputFiles } = await build({
    entryPoints: [`src/${entry}.ts`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    mangleProps: new RegExp(`^(${owned.join('|')})$`),
    mangleCache: Object.fromEntries(owned.map((name, n) => [name, `$p${n}$`])),
    minifySyntax: true,
    write: false,
  });
  const text = outputFiles[0].text
    .replace(/^function (\w+)\((.*)\) \{$/gm, 'let $1 = ($2) => {')
    .replace(/\b(const|var)\b/g, 'let')
    .replace(/([=!])==/g, '$1='); // The same for all that src compares: test/comparisons.test.ts.
  const { code } = await minify(text, {
    module: true,
    ecma: 2022,
    compress: { passes: 2, reduce_funcs: false, pure_getters: true, unsafe: true, unsafe_arrows: true, keep_fargs: false },
    mangle: { module: true, nth_identifier: { get: (n) => `$l${n}$` } },
    format: { comments: false },
  });
  return `${code}\n`;
}

/** Returns the pieces of code with marks: what stands as it is, and at every other place the name of a mark. */
export const piecesOf = (code) => code.split(MARK);

/** Returns the code with names in the place of marks, and in the order that they were found for. */
export function spell(code, { properties, locals, orders }) {
  const names = { p: Object.values(properties), l: locals };
  return piecesOf(arrange(code, orders))
    .map((piece, i) => (i % 2 ? names[piece[0]][piece.slice(1)] : piece))
    .join('');
}
