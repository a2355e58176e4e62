// Looks for the short names, and for the order of what may stand in any, with which dist/everwire.js is smallest when gzipped, and
// writes names.json: `names.js [STEPS [SEED]]`.
//
// Which letter a name has and which function comes first is all the same to the code, but not to gzip. `build.js` takes both as they
// stand in names.json, so what it builds depends on no zlib; what was found for other code costs some bytes, and nothing else.
import { gzipSync } from 'node:zlib';
import { groupsOf, textOf, treeOf } from './arrange.js';
import { bundle, piecesOf, readNames, writeNames } from './bundle.js';
import { randomOf } from './cuts/load.js';
import { neighboursOf } from './owned.js';

const steps = Number(process.argv[2] ?? 40_000);
const random = randomOf(Number(process.argv[3] ?? 1));
/** By how many bytes a step may be for the worse: at the beginning often, at the end never. */
const HEAT = 0.3;

const { properties, locals, orders } = readNames();
const owned = Object.keys(properties);
const tree = treeOf(await bundle('index', owned));
const groups = groupsOf(tree);
groups.forEach((group, n) => {
  const fits = orders[n]?.length === group.group.length;
  group.order = fits ? [...orders[n]] : [...group.group.keys()];
});

const all = { p: Object.values(properties), l: locals };
const names = Object.fromEntries(['p', 'l'].flatMap((kind) => all[kind].map((name, n) => [`${kind}${n}`, name])));

const used = new Set(piecesOf(textOf(tree)).filter((_, i) => i % 2));

/** Text is taken to pieces once: it is put together again and again. */
const taken = (tree) => {
  if (typeof tree === 'string') return { pieces: piecesOf(tree) };
  if (Array.isArray(tree)) return tree.map(taken);
  return Object.assign(tree, { group: tree.group.map(taken) });
};
const whole = taken(tree);

function write(tree, out) {
  if (Array.isArray(tree)) for (const each of tree) write(each, out);
  else if (tree.pieces) tree.pieces.forEach((piece, i) => out.push(i % 2 ? names[piece] : piece));
  else
    tree.order.forEach((n, i) => {
      if (i) out.push(',');
      write(tree.group[n], out);
    });
  return out;
}
const size = () => gzipSync(write(whole, []).join(''), { level: 9 }).length;

let now = size();
const oneOf = (list) => list[Math.floor(random() * list.length)];

const LETTERS = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$'];
const neighbours = neighboursOf(owned);
const marksOf = (kind) => Object.keys(names).filter((mark) => mark[0] === kind && used.has(mark));
const [ownedMarks, localMarks] = ['p', 'l'].map(marksOf);
const nextTo = Object.fromEntries(owned.map((name, n) => [`p${n}`, [...neighbours[name]].map((other) => `p${owned.indexOf(other)}`)]));

/** Exchanges what is at two places; returns what undoes that. */
function exchange(list, one, other) {
  const turn = () => void ([list[one], list[other]] = [list[other], list[one]]);
  turn();
  return turn;
}

/** Gives a property a letter, which another that is in one object with it leaves to it if it can. */
function rename() {
  const mark = oneOf(ownedMarks);
  const [before, letter] = [names[mark], oneOf(LETTERS)];
  const [other, another] = nextTo[mark].filter((each) => names[each] === letter);
  if (another || (other && nextTo[other].some((each) => each !== mark && names[each] === before))) return () => {};
  names[mark] = letter;
  if (other) names[other] = before;
  return () => {
    names[mark] = before;
    if (other) names[other] = letter;
  };
}

/** Changes something; returns what undoes that. */
function change() {
  const kind = random();
  if (kind < 0.3) return rename();
  if (kind < 0.7) return exchange(names, oneOf(localMarks), oneOf(localMarks));
  const { order } = oneOf(groups);
  return exchange(order, oneOf([...order.keys()]), oneOf([...order.keys()]));
}

const found = () => ({ names: { ...names }, orders: groups.map(({ order }) => [...order]) });
let best = { size: now, ...found() };
console.log(`${now} bytes`);
for (let step = 1; step <= steps; step++) {
  const undo = change();
  const then = size();
  if (then <= now || random() < Math.exp((now - then) / (HEAT * (1 - step / steps) ** 2))) now = then;
  else undo();
  if (now < best.size) best = { size: now, ...found() };
  if (step % 10_000 && step < steps) continue;
  console.log(`${best.size} bytes after ${step} steps`);
  writeNames({
    properties: Object.fromEntries(owned.map((name, n) => [name, best.names[`p${n}`]])),
    locals: locals.map((_, n) => best.names[`l${n}`]),
    orders: best.orders,
  });
}
