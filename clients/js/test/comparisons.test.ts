// `build.js` makes `==` of every `===`. That changes nothing as long as both sides of each comparison are of one type, or one of them
// is `undefined` or `null` and the other is not the other of these.
import { readdirSync } from 'node:fs';
import ts from 'typescript';
import { expect, test } from 'vitest';

const root = new URL('..', import.meta.url).pathname;

const KINDS: [flag: ts.TypeFlags, kind: string][] = [
  [ts.TypeFlags.StringLike, 'string'],
  [ts.TypeFlags.NumberLike, 'number'],
  [ts.TypeFlags.BooleanLike, 'boolean'],
  [ts.TypeFlags.Object | ts.TypeFlags.NonPrimitive, 'object'],
  [ts.TypeFlags.Null, 'null'],
  [ts.TypeFlags.Undefined, 'undefined'],
];

/** Returns the kinds of values of a type; of what may be anything, `any`. */
function kinds(type: ts.Type): string[] {
  if (type.isUnion()) return type.types.flatMap(kinds);
  return [KINDS.find(([flag]) => type.flags & flag)?.[1] ?? 'any'];
}

/** `==` and `===` say the same of any two values of these kinds. */
function alike(all: Set<string>): boolean {
  if (all.has('any') || (all.has('null') && all.has('undefined'))) return false;
  return [...all].filter((kind) => kind !== 'null' && kind !== 'undefined').length < 2;
}

/** Returns the comparisons of which that cannot be said, and the number of all. */
function check(program: ts.Program): [bad: string[], all: number] {
  const checker = program.getTypeChecker();
  const bad: string[] = [];
  let all = 0;
  const visit = (node: ts.Node) => {
    if (ts.isBinaryExpression(node) && /^[=!]==$/.test(node.operatorToken.getText())) {
      all++;
      const found = new Set([node.left, node.right].flatMap((side) => kinds(checker.getTypeAtLocation(side))));
      if (!alike(found)) bad.push(`${node.getSourceFile().fileName}: ${node.getText()} (${[...found].join(', ')})`);
    }
    ts.forEachChild(node, visit);
  };
  for (const file of program.getSourceFiles()) if (!file.isDeclarationFile) visit(file);
  return [bad, all];
}

const options: ts.CompilerOptions = { target: ts.ScriptTarget.ES2022, strict: true, noEmit: true, skipLibCheck: true, types: [] };

test('no comparison of the sources is changed by `==` instead of `===`', () => {
  const files = readdirSync(`${root}src`).map((name) => `${root}src/${name}`);
  const { moduleResolution, module } = { moduleResolution: ts.ModuleResolutionKind.Bundler, module: ts.ModuleKind.ESNext };
  const lib = ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'];
  const [bad, all] = check(ts.createProgram(files, { ...options, moduleResolution, module, lib }));
  expect(bad).toEqual([]);
  expect(all).toBeGreaterThan(40);
});

test('a comparison that would be changed is seen', () => {
  const text = `
    declare const number: number | string, nothing: null | undefined, any: any, object: object | undefined;
    export const bad = [number === 1, nothing === null, any !== 0];
    export const good = [object === undefined, typeof object === 'string', object !== undefined];`;
  const host = ts.createCompilerHost(options);
  const original = host.getSourceFile;
  host.getSourceFile = (name, ...rest) =>
    name === 'made.ts' ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true) : original(name, ...rest);
  const [bad, all] = check(ts.createProgram(['made.ts'], options, host));
  expect([bad.length, all]).toEqual([3, 6]);
});
