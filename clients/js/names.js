// Looks for the short names with which dist/everwire.js is smallest when gzipped, and writes names.json: `names.js [STEPS]`.
//
// Which letter a name has is all the same to the code, but not to gzip. `build.js` takes the names as they stand in names.json, so
// what it builds depends on no zlib; names that were found for other code cost some bytes, and nothing else.
import { gzipSync } from 'node:zlib';
import { bundle, readNames, writeNames } from './bundle.js';
import { randomOf } from './cuts/load.js';

const steps = Number(process.argv[2] ?? 40_000);
const { properties, locals } = readNames();
const owned = Object.keys(properties);

// Every name stands in the code as a mark, in whose place any other may be put.
const mark = (kind, n) => `$${kind}${n}$`;
const marked = Object.fromEntries(owned.map((name, n) => [name, mark('p', n)]));
const pieces = (await bundle('index', marked, (n) => mark('l', n))).split(/\$([pl]\d+)\$/);
const all = { p: Object.values(properties), l: locals };
const names = Object.fromEntries(['p', 'l'].flatMap((kind) => all[kind].map((name, n) => [`${kind}${n}`, name])));
const used = new Set(pieces.filter((_, i) => i % 2));
const swapped = ['p', 'l'].map((kind) => Object.keys(names).filter((each) => each[0] === kind && used.has(each)));

const size = () => gzipSync(pieces.map((piece, i) => (i % 2 ? names[piece] : piece)).join(''), { level: 9 }).length;

const random = randomOf(1);
const oneOf = (list) => list[Math.floor(random() * list.length)];

let now = size();
let best = { size: now, names: { ...names } };
let since = 0;
console.log(`${now} bytes`);
for (let step = 1; step <= steps; step++) {
  // Nothing has helped for long: it goes on from elsewhere.
  const isStuck = ++since > 3000;
  if (isStuck) Object.assign(names, best.names);
  for (let swaps = isStuck ? 12 : 1; swaps > 0; swaps--) {
    const of = oneOf(swapped);
    const [one, other] = [oneOf(of), oneOf(of)];
    [names[one], names[other]] = [names[other], names[one]];
    const then = size();
    if (isStuck || then <= now) {
      if (isStuck || then < now) since = 0;
      now = then;
    } else [names[one], names[other]] = [names[other], names[one]];
  }
  if (now < best.size) best = { size: now, names: { ...names } };
  if (step % 10_000 === 0) console.log(`${best.size} bytes after ${step} steps`);
}
Object.assign(names, best.names);

writeNames({
  properties: Object.fromEntries(owned.map((name, n) => [name, names[`p${n}`]])),
  locals: locals.map((_, n) => names[`l${n}`]),
});
