// Builds dist: the same bytes from the same sources. `build.js DIR` builds into another folder.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const out = process.argv[2] ?? 'dist';
const BANNER = '/* everwire, MIT OR Apache-2.0; built from clients/js/src */\n';

// Names of properties are shortened, but for those of the platform and of the API: every word of TypeScript's descriptions of the
// platform, and every word of the files that describe the API.
const typescript = 'node_modules/typescript/lib';
const platform = readdirSync(typescript).filter((name) => /^lib\.(dom|es5|es20\d\d(\..*)?)\.d\.ts$/.test(name));
const api = ['events', 'options', 'socket', 'store', 'tab', 'target'].map((name) => `src/${name}.ts`);
const reserved = new Set();
for (const file of [...platform.map((name) => `${typescript}/${name}`), ...api]) {
  const code = readFileSync(file, 'utf8').replace(/\/\*[^]*?\*\//g, '');
  for (const [word] of code.matchAll(/[A-Za-z_$][\w$]*/g)) reserved.add(word);
}

async function bundle(name) {
  const { outputFiles } = await build({
    entryPoints: [`src/${name}.ts`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  });
  const { code } = await minify(outputFiles[0].text, {
    module: true,
    ecma: 2022,
    compress: { passes: 3, pure_getters: true, unsafe_arrows: true, keep_fargs: false },
    mangle: { properties: { reserved: [...reserved] } },
    format: { comments: false },
  });
  return `${BANNER}${code}\n`;
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
