// Bundles and minifies: the same bytes from the same sources and names.
import { readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { minify } from 'terser';

/**
 * Reads the short names: of the properties of our own objects (nothing of the platform and nothing of the API may be called so), and
 * of the locals, the n-th of a scope being called the n-th of these. See names.js.
 */
export function readNames() {
  const { properties, locals } = JSON.parse(readFileSync('names.json', 'utf8'));
  return { properties, locals: locals.split(' ') };
}

export const writeNames = ({ properties, locals }) =>
  writeFileSync('names.json', `${JSON.stringify({ locals: locals.join(' '), properties }, undefined, 2)}\n`);

/** Bundles an entry point of src. `local` says what the n-th local of a scope is called. */
export async function bundle(entry, properties, local) {
  const { outputFiles } = await build({
    entryPoints: [`src/${entry}.ts`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    mangleProps: new RegExp(`^(${Object.keys(properties).join('|')})$`),
    mangleCache: properties,
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
    compress: { passes: 2, reduce_funcs: false, pure_getters: true, unsafe: true, unsafe_arrows: true, unsafe_comps: true, keep_fargs: false, ...JSON.parse(process.env.C ?? "{}") },
    mangle: { module: true, nth_identifier: { get: local } },
    format: { comments: false },
  });
  return `${code}\n`;
}
