// Puts what may stand in any order into another: neighbours in a list of declarations or in an object that only define something.
//
// The order is all the same to the code, but not to gzip. What runs when it is reached stays where it is, and so does what is defined
// before it and after it.
import ts from 'typescript';

const { SyntaxKind } = ts;
const LITERALS = [SyntaxKind.NumericLiteral, SyntaxKind.StringLiteral, SyntaxKind.RegularExpressionLiteral, SyntaxKind.ArrowFunction];

/** Whether nothing happens when this is reached, and nothing is read. */
function isInert(node) {
  if (!node || LITERALS.includes(node.kind)) return true;
  if (ts.isPrefixUnaryExpression(node)) return isInert(node.operand);
  if (ts.isBinaryExpression(node)) return isInert(node.left) && isInert(node.right);
  return ts.isArrayLiteralExpression(node) && node.elements.every(isInert);
}

/** Whether it may change places with such a neighbour. */
function isMovable(node) {
  if (ts.isVariableDeclaration(node)) return ts.isIdentifier(node.name) && isInert(node.initializer);
  if (ts.isPropertyAssignment(node)) return ts.isIdentifier(node.initializer) || isInert(node.initializer);
  if (ts.isBindingElement(node)) return !node.dotDotDotToken && ts.isIdentifier(node.name) && isInert(node.initializer);
  return ts.isShorthandPropertyAssignment(node) || ts.isMethodDeclaration(node) || ts.isAccessor(node);
}

function listOf(node) {
  if (ts.isVariableDeclarationList(node)) return node.declarations;
  if (ts.isObjectLiteralExpression(node)) return node.properties;
  return ts.isObjectBindingPattern(node) ? node.elements : [];
}

/** Returns the code as a tree: text, and groups, which are lists of trees that may stand in any order. */
export function treeOf(code) {
  const source = ts.createSourceFile('code.js', code, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS);
  /** The trees of what is between `from` and `to`, in which `nodes` are. */
  const between = (from, to, nodes) => {
    const trees = [];
    for (const node of nodes) {
      trees.push(code.slice(from, node.getStart(source)), treeOfNode(node));
      from = node.end;
    }
    return [...trees, code.slice(from, to)];
  };
  const childrenOf = (node) => {
    const children = [];
    node.forEachChild((child) => void children.push(child));
    return children;
  };
  const treeOfNode = (node) => {
    const list = listOf(node);
    const trees = [];
    let from = node.getStart(source);
    for (let i = 0; i < list.length; i++) {
      let end = i;
      while (end < list.length && isMovable(list[end])) end++;
      if (end - i > 1) {
        // What is before the first, such as the space after `let`, does not move with it.
        trees.push(code.slice(from, list[i].getStart(source)), { group: list.slice(i, end).map(treeOfNode) });
        from = list[end - 1].end;
        i = end - 1;
      } else {
        trees.push(...between(from, list[i].end, [list[i]]));
        from = list[i].end;
      }
    }
    return list.length ? [...trees, code.slice(from, node.end)] : between(node.getStart(source), node.end, childrenOf(node));
  };
  return treeOfNode(source);
}

/** Returns the groups of a tree, each before those within it. */
export function groupsOf(tree) {
  if (typeof tree === 'string') return [];
  if (Array.isArray(tree)) return tree.flatMap(groupsOf);
  return [tree, ...tree.group.flatMap(groupsOf)];
}

/** Puts the code together. A group has an `order`, or stays as it is. */
export function textOf(tree) {
  if (typeof tree === 'string') return tree;
  if (Array.isArray(tree)) return tree.map(textOf).join('');
  const order = tree.order ?? tree.group.keys();
  return [...order].map((n) => textOf(tree.group[n])).join(',');
}

/** Returns the code with the n-th group in the n-th order. An order that does not fit, because the code has changed, is left out. */
export function arrange(code, orders) {
  const tree = treeOf(code);
  groupsOf(tree).forEach((group, n) => {
    if (orders[n]?.length === group.group.length) group.order = orders[n];
  });
  return textOf(tree);
}
