// Which properties of our own objects are ever in one object: only these need different short names.
import { readdirSync } from 'node:fs';
import ts from 'typescript';

/** Asks the type checker; returns for each of these properties the set of those that some object of src has with it. */
export function neighboursOf(owned) {
  const src = new URL('src/', import.meta.url).pathname;
  const files = readdirSync(src).map((name) => src + name);
  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    strict: true,
    types: [],
  });
  const checker = program.getTypeChecker();
  const neighbours = Object.fromEntries(owned.map((name) => [name, new Set()]));
  const seen = new Set();
  const take = (type) => {
    if (seen.has(type)) return;
    seen.add(type);
    if (type.isUnionOrIntersection()) type.types.forEach(take);
    const names = checker.getPropertiesOfType(type).map(({ name }) => name).filter((name) => Object.hasOwn(neighbours, name));
    for (const one of names) for (const other of names) if (one !== other) neighbours[one].add(other);
  };
  const visit = (node) => {
    if (ts.isExpression(node) || ts.isTypeNode(node)) take(checker.getTypeAtLocation(node));
    ts.forEachChild(node, visit);
  };
  for (const file of program.getSourceFiles()) if (!file.isDeclarationFile) ts.forEachChild(file, visit);
  return neighbours;
}
