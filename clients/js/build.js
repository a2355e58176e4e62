// Builds dist/everwire.js and its types: the same bytes from the same sources.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

const out = process.argv[2] ?? 'dist';
rmSync(`${out}/types`, { recursive: true, force: true });
await build({
  entryPoints: ['src/index.ts'],
  outfile: `${out}/everwire.js`,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  legalComments: 'none',
  banner: { js: '/* everwire: MIT OR Apache-2.0. Built from clients/js/src. */' },
});
const declarations = ['--declaration', '--emitDeclarationOnly', '--noEmit', 'false', '--rootDir', 'src', '--outDir', `${out}/types`];
execFileSync('node', ['node_modules/typescript/bin/tsc', ...declarations], { stdio: 'inherit' });
