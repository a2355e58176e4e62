// Builds dist: the same bytes from the same sources. `build.js DIR` builds into another folder.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { bundle, readNames, spell } from './bundle.js';

const out = process.argv[2] ?? 'dist';
const names = readNames();

rmSync(out, { recursive: true, force: true });
mkdirSync(out);
for (const [entry, file] of [['index', 'everwire.js'], ['tab', 'tab.js']]) {
  // Orders were found for the first.
  const code = spell(await bundle(entry, Object.keys(names.properties)), entry === 'index' ? names : { ...names, orders: [] });
  writeFileSync(`${out}/${file}`, code);
  console.log(`${out}/${file}: ${code.length} bytes, ${gzipSync(code, { level: 9 }).length} gzipped`);
}
const declarations = ['--declaration', '--emitDeclarationOnly', '--noEmit', 'false', '--rootDir', 'src', '--outDir', `${out}/types`];
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', ...declarations], { stdio: 'inherit' });
