// Builds dist: the same bytes from the same sources. `build.js DIR` builds into another folder.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const out = process.argv[2] ?? 'dist';

// Properties of our own objects, whose names are shortened. Nothing of the platform and nothing of the API may be called so.
const OURS = [
  'accept acked acknowledge measured advise answered ask attach attached attempting authenticate begin byPeer bytes closed count',
  'deadDue deadline due done frames heard hello leave linked lo lost messages next patience position',
  'probe pump questionDue receive recv room said sample sleep smoothed stating suspect suspectDue suspected suspend',
  'taken tell tick view volatile waits wake welcome ws delay gap',
]
  .join(' ')
  .split(' ');

async function bundle(name) {
  const { outputFiles } = await build({
    entryPoints: [`src/${name}.ts`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  });
  const { code } = await minify(outputFiles[0].text.replace(/\bconst\b/g, 'let'), {
    module: true,
    ecma: 2022,
    compress: { passes: 3, pure_getters: true, unsafe_arrows: true, keep_fargs: false },
    mangle: { properties: { regex: new RegExp(`^(${OURS.join('|')})$`), builtins: true } },
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
