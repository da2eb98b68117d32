/**
 * Size and style of the code, measured: lines per file and per function, and the gates of the style guide that a linter does
 * not know. Sizes are those of the library (packages/<name>/src without tests); the lines that a gate refuses are refused
 * wherever they stand, except where a rule says otherwise.
 */
import ts from 'typescript5';
import { findDeadExports } from './dead-exports.ts';
import { lineOf, type Offence, type SourceFile, type SourceTree } from './source-tree.ts';

const FUNCTION_LINES_MAX = 70;
/** A component is mostly its picture; cutting the picture in two only to be short does not make it clearer. */
const COMPONENT_LINES_MAX = 120;
const FUNCTION_LINES_P90_MAX = 35;
const FILE_LINES_MAX = 600;
const FILE_LINES_P90_MAX = 300;
const ASSERTIONS_PER_1000_LINES_MAX = 3;
const LONGEST_SHOWN = 5;

/** A name that says "anything goes in here"; the last word of the name of a file or folder decides. */
const DRAWER = /^(.*-)?(utils?|helpers?|common|misc|managers?|lib|shared|stuff|handler\d+)$/;

/** Tools that read their configuration from a default export. */
const TOOL_CONFIGURATION = /(^|\/)[\w-]+\.config\.ts$/;

type Measured = { readonly file: string; readonly line: number; readonly name: string; readonly lineCount: number };

/** What a distribution of line counts is judged by. */
type Spread = { readonly median: number; readonly p90: number; readonly longest: readonly Measured[] };

export type CodeSize = {
  readonly fileCount: number;
  readonly lineCount: number;
  readonly files: Spread;
  readonly functions: Spread;
  readonly assertionsPer1000Lines: number;
  readonly offences: readonly Offence[];
};

type FunctionNode = ts.FunctionLikeDeclaration & { readonly body: ts.Node };

function isFunctionWithBody(node: ts.Node): node is FunctionNode {
  const hasShape =
    ts.isFunctionDeclaration(node) ||
    ts.isFunctionExpression(node) ||
    ts.isArrowFunction(node) ||
    ts.isMethodDeclaration(node) ||
    ts.isConstructorDeclaration(node) ||
    ts.isAccessor(node);
  return hasShape && node.body !== undefined;
}

/** The name that a reader would call it by; undefined for a callback written in place. */
function functionName(node: FunctionNode): string | undefined {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  if (node.name !== undefined) return node.name.getText();
  const { parent } = node;
  const names = ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent);
  return names ? parent.name.getText() : undefined;
}

function visitAll(file: SourceFile, visit: (node: ts.Node, line: number) => void): void {
  const step = (node: ts.Node): void => {
    visit(node, lineOf(file.ast, node.getStart(file.ast)));
    ts.forEachChild(node, step);
  };
  step(file.ast);
}

function functionsOf(file: SourceFile): { named: Measured[]; all: Measured[] } {
  const named: Measured[] = [];
  const all: Measured[] = [];
  visitAll(file, (node, line) => {
    if (!isFunctionWithBody(node)) return;
    const name = functionName(node);
    const measured = {
      file: file.file,
      line,
      name: name ?? '(callback)',
      lineCount: lineOf(file.ast, node.end) - line + 1,
    };
    all.push(measured);
    if (name !== undefined) named.push(measured);
  });
  return { named, all };
}

function spreadOf(items: readonly Measured[]): Spread {
  const sorted = items.toSorted((left, right) => left.lineCount - right.lineCount);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]?.lineCount ?? 0;
  return { median: at(0.5), p90: at(0.9), longest: sorted.slice(-LONGEST_SHOWN).reverse() };
}

function functionOffences(items: readonly Measured[]): Offence[] {
  return items.flatMap(({ file, line, name, lineCount }) => {
    const max = file.endsWith('.tsx') && /^[A-Z]/.test(name) ? COMPONENT_LINES_MAX : FUNCTION_LINES_MAX;
    return lineCount > max ? [{ file, line, rule: `function ${name} has ${lineCount} lines, more than ${max}` }] : [];
  });
}

function nameOffences(file: SourceFile): Offence[] {
  const parts = file.file.replace(/(\.test)?\.tsx?$/, '').split('/');
  const drawers = parts.filter((part) => DRAWER.test(part));
  return drawers.map((part) => ({ file: file.file, line: 0, rule: `"${part}" is a drawer: name what is in it` }));
}

function isTypeScriptAssertion(node: ts.Node): boolean {
  if (!ts.isAsExpression(node) && !ts.isTypeAssertionExpression(node)) return false;
  return !ts.isConstTypeReference(node.type);
}

function isDefaultExport(node: ts.Node): boolean {
  if (ts.isExportAssignment(node)) return true;
  if (ts.isExportSpecifier(node)) return node.name.text === 'default';
  return (
    ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some((m) => m.kind === ts.SyntaxKind.DefaultKeyword)
  );
}

function isEmptyCatch(node: ts.Node, text: string): boolean {
  if (!ts.isCatchClause(node) || node.block.statements.length > 0) return false;
  return !/\/\/|\/\*/.test(text.slice(node.block.getStart(), node.block.end));
}

function isGenericThrow(node: ts.Node): boolean {
  if (!ts.isThrowStatement(node) || !ts.isNewExpression(node.expression)) return false;
  return node.expression.expression.getText() === 'Error';
}

/** The rule that this one node breaks. */
function ruleOfNode(node: ts.Node, file: SourceFile): string | undefined {
  if (node.kind === ts.SyntaxKind.AnyKeyword) return 'any: say what it is, or unknown until a schema has parsed it';
  if (ts.isNonNullExpression(node)) return '"!": check it, or assert with a reason';
  if (isDefaultExport(node) && !TOOL_CONFIGURATION.test(file.file)) return 'default export: give it a name';
  if (isEmptyCatch(node, file.text)) return 'empty catch: say in a sentence why nothing has to be done';
  if (file.kind === 'library' && isGenericThrow(node)) return 'throw new Error: a failure has a code, use AppError';
  if (ts.isExportDeclaration(node) && node.moduleSpecifier && !file.file.endsWith('/index.ts')) {
    return 're-export outside index.ts';
  }
  return undefined;
}

/** Comments of a file, each once, with their positions. */
function* commentsOf(file: SourceFile): Generator<ts.CommentRange> {
  const seen = new Set<number>();
  const pending: ts.Node[] = [file.ast];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const leading = ts.getLeadingCommentRanges(file.text, node.pos) ?? [];
    const trailing = ts.getTrailingCommentRanges(file.text, node.end) ?? [];
    for (const range of [...leading, ...trailing]) {
      if (!seen.has(range.pos)) yield range;
      seen.add(range.pos);
    }
    pending.push(...node.getChildren(file.ast));
  }
}

function promiseOffences(file: SourceFile): Offence[] {
  if (!/TODO|FIXME|XXX/.test(file.text)) return [];
  return [...commentsOf(file)].flatMap(({ pos, end }) =>
    /\b(TODO|FIXME|XXX)\b(?!\(#\d+\))/.test(file.text.slice(pos, end))
      ? [{ file: file.file, line: lineOf(file.ast, pos), rule: 'a promise without an issue: write TODO(#12) or do it' }]
      : [],
  );
}

function lineOffences(file: SourceFile): { offences: Offence[]; assertionCount: number } {
  const offences: Offence[] = [...nameOffences(file), ...promiseOffences(file)];
  let assertionCount = 0;
  visitAll(file, (node, line) => {
    if (isTypeScriptAssertion(node)) assertionCount += 1;
    const rule = ruleOfNode(node, file);
    if (rule !== undefined) offences.push({ file: file.file, line, rule });
  });
  return { offences, assertionCount };
}

function spreadOffences(files: Spread, functions: Spread): Offence[] {
  const file = 'packages';
  const found: Offence[] = [];
  if (files.p90 > FILE_LINES_P90_MAX) {
    found.push({ file, line: 0, rule: `p90 of file lines is ${files.p90}, more than ${FILE_LINES_P90_MAX}` });
  }
  if (functions.p90 > FUNCTION_LINES_P90_MAX) {
    found.push({
      file,
      line: 0,
      rule: `p90 of function lines is ${functions.p90}, more than ${FUNCTION_LINES_P90_MAX}`,
    });
  }
  return found;
}

/** Measures the library and lists every offence in the tree. */
export function measure(tree: SourceTree): CodeSize {
  const library = tree.files.filter((file) => file.kind === 'library');
  const measured = library.map((file) => ({ file: file.file, line: 0, name: file.file, lineCount: file.lineCount }));
  const functions = library.map(functionsOf);
  const files = spreadOf(measured);
  const named = spreadOf(functions.flatMap((found) => found.named));
  const lineCount = measured.reduce((sum, file) => sum + file.lineCount, 0);
  const lines = tree.files.map((file) => ({ file, ...lineOffences(file) }));
  const assertionCount = lines.reduce(
    (sum, found) => sum + (found.file.kind === 'library' ? found.assertionCount : 0),
    0,
  );
  const assertionsPer1000Lines = lineCount === 0 ? 0 : (1_000 * assertionCount) / lineCount;
  const offences = [
    ...lines.flatMap((found) => found.offences),
    ...functionOffences(functions.flatMap((found) => found.all)),
    ...measured
      .filter((file) => file.lineCount > FILE_LINES_MAX)
      .map(({ file, lineCount: count }) => ({ file, line: 0, rule: `${count} lines, more than ${FILE_LINES_MAX}` })),
    ...spreadOffences(files, named),
    ...findDeadExports(tree),
  ];
  if (assertionsPer1000Lines > ASSERTIONS_PER_1000_LINES_MAX) {
    const rule = `${assertionsPer1000Lines.toFixed(1)} "as" per 1,000 lines, more than ${ASSERTIONS_PER_1000_LINES_MAX}`;
    offences.push({ file: 'packages', line: 0, rule });
  }
  return { fileCount: library.length, lineCount, files, functions: named, assertionsPer1000Lines, offences };
}

function* spreadLines(title: string, spread: Spread): Generator<string> {
  yield `${title}: median ${spread.median} lines, p90 ${spread.p90}, longest:`;
  for (const { file, line, name, lineCount } of spread.longest) {
    yield `  ${String(lineCount).padStart(4)}  ${line === 0 ? file : `${name}  ${file}:${line}`}`;
  }
}

/** The measurement as lines for a reader; offences are not among them. */
export function* describeCodeSize(size: CodeSize): Generator<string> {
  yield `library: ${size.fileCount} files, ${size.lineCount} lines`;
  yield* spreadLines('files', size.files);
  yield* spreadLines('functions', size.functions);
  yield `assertions ("as"): ${size.assertionsPer1000Lines.toFixed(2)} per 1,000 lines`;
}
