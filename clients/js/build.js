// Builds dist: the same bytes from the same sources. `build.js DIR` builds into another folder.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const out = process.argv[2] ?? 'dist';

// Properties of our own objects, whose names are shortened. Nothing of the platform and nothing of the API may be called so.
const OURS = [
  'accept acked acknowledge advise advised answered ask attach attached attempting authenticate begin bytes closed deadDue deadline',
  'delay done due ended giveUp heard hello kept leave link live lo next outbox patience payloads pending position probe pump questionDue',
  'receive recv refused renewal room roundTrip said sample sleep smoothed stating suspect suspectDue suspected suspend tell tick view',
  'waits wake welcome ws',
]
  .join(' ')
  .split(' ');

async function bundle(name) {
  const { outputFiles } = await build({
    entryPoints: [`src/${name}.ts`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    mangleProps: new RegExp(`^(${OURS.join('|')})$`),
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
    format: { comments: false },
  });
  return `${code}\n`;
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out);
for (const [name, file] of [['index', 'everwire.js'], ['tab', 'tab.js']]) {
  const code = await bundle(name);
  writeFileSync(`${out}/${file}`, code);
  console.log(`${out}/${file}: ${code.length} bytes, ${gzipSync(code, { level: 9 }).length} gzipped`);
}
const declarations = ['--declaration', '--emitDeclarationOnly', '--noEmit', 'false', '--rootDir', 'src', '--outDir', `${out}/types`];
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', ...declarations], { stdio: 'inherit' });
