/**
 * The source tree, read and parsed once, for all gates that look at code. TypeScript 7 exports no JavaScript parser, so the
 * npm alias `typescript5` parses; it never checks types here, `tsc` does.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript5';

/** Where a gate was broken. `file` is relative to the root, `line` counts from 1; 0 stands for the whole file. */
export type Offence = { readonly file: string; readonly line: number; readonly rule: string };

/**
 * library  what runs in production: packages/<name>/src
 * test     *.test.ts, packages/<name>/test, tests/
 * tool     scripts/, bench/, configuration of tools
 */
type FileKind = 'library' | 'test' | 'tool';

/** One mention of another module. `names` are those of the other module; `all` when it is taken whole. */
export type Import = {
  readonly specifier: string;
  readonly line: number;
  readonly form: 'import' | 're-export' | 'dynamic';
  readonly names: readonly string[] | 'all';
};

export type SourceFile = {
  readonly file: string;
  readonly packageName: string | undefined;
  readonly kind: FileKind;
  readonly text: string;
  readonly lineCount: number;
  readonly ast: ts.SourceFile;
  readonly imports: readonly Import[];
};

/** `exports` maps a subpath ('.') to the file that it means; `directory` and files are relative to the root. */
export type Package = {
  readonly name: string;
  readonly directory: string;
  readonly dependencies: readonly string[];
  readonly devDependencies: readonly string[];
  readonly exports: ReadonlyMap<string, string>;
};

export type SourceTree = {
  readonly root: string;
  readonly packages: readonly Package[];
  readonly files: readonly SourceFile[];
  readonly rootDependencies: readonly string[];
};

/** Our packages are named by this scope and their folder. */
export const SCOPE = '@lantern/';

const ROOTS = ['packages', 'scripts', 'tests', 'bench'] as const;
const FOLDERS_SKIPPED: ReadonlySet<string> = new Set(['node_modules', 'generated', 'dist', 'coverage']);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A JSON file whose top level is an object; anything else is a broken tree, which no gate can judge. */
export function readJsonObject(file: string): Record<string, unknown> {
  const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!isRecord(value)) throw new Error(`${file}: not a JSON object`);
  return value;
}

function keysOf(value: unknown): string[] {
  return isRecord(value) ? Object.keys(value) : [];
}

/** Our packages by name, in the order of their folders. */
export function readPackages(root: string): Package[] {
  const folder = path.join(root, 'packages');
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => existsSync(path.join(folder, name, 'package.json')));
  return names.sort().map((name) => {
    const directory = `packages/${name}`;
    const manifest = readJsonObject(path.join(folder, name, 'package.json'));
    const exports = isRecord(manifest['exports']) ? Object.entries(manifest['exports']) : [];
    const targets = exports.flatMap(([subpath, target]): [string, string][] =>
      typeof target === 'string' ? [[subpath, path.posix.join(directory, target)]] : [],
    );
    return {
      name,
      directory,
      dependencies: keysOf(manifest['dependencies']),
      devDependencies: keysOf(manifest['devDependencies']),
      exports: new Map(targets),
    };
  });
}

function* walk(root: string, folder: string): Generator<string> {
  for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
    const file = `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!FOLDERS_SKIPPED.has(entry.name) && !entry.name.startsWith('.')) yield* walk(root, file);
    } else if (/\.tsx?$/.test(entry.name) && !entry.name.endsWith('.d.ts')) {
      yield file;
    }
  }
}

function kindOf(file: string): FileKind {
  if (/\.test\.tsx?$/.test(file) || /^(tests|packages\/[^/]+\/test)\//.test(file)) return 'test';
  return /^packages\/[^/]+\/src\//.test(file) ? 'library' : 'tool';
}

/** Line of a position, counted from 1. */
export function lineOf(ast: ts.SourceFile, position: number): number {
  return ast.getLineAndCharacterOfPosition(position).line + 1;
}

function namesOfImport(node: ts.ImportDeclaration): readonly string[] | 'all' {
  const clause = node.importClause;
  if (clause === undefined) return [];
  const bindings = clause.namedBindings;
  if (bindings !== undefined && ts.isNamespaceImport(bindings)) return 'all';
  const named = bindings?.elements.map((element) => (element.propertyName ?? element.name).text) ?? [];
  return clause.name === undefined ? named : ['default', ...named];
}

function namesOfReExport(node: ts.ExportDeclaration): readonly string[] | 'all' {
  const clause = node.exportClause;
  if (clause === undefined || !ts.isNamedExports(clause)) return 'all';
  return clause.elements.map((element) => (element.propertyName ?? element.name).text);
}

/** `import('x')`, and `require.resolve('x')` and `import.meta.resolve('x')`, which also make a file depend on `x`. */
function dynamicSpecifier(node: ts.Node): string | undefined {
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return node.argument.literal.text;
  }
  if (!ts.isCallExpression(node)) return undefined;
  const [argument] = node.arguments;
  if (argument === undefined || !ts.isStringLiteralLike(argument)) return undefined;
  const callee = node.expression;
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return argument.text;
  const isResolve = ts.isPropertyAccessExpression(callee) && callee.name.text === 'resolve';
  const isPackageName = /^(@[\w-]+\/)?[\w-]+(\/|$)/.test(argument.text) && !argument.text.startsWith('/');
  const receiver = isResolve ? callee.expression.getText() : '';
  return isPackageName && /require|createRequire|import\.meta/i.test(receiver) ? argument.text : undefined;
}

function importsOf(ast: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const visit = (node: ts.Node): void => {
    const line = lineOf(ast, node.getStart(ast));
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      found.push({ specifier: node.moduleSpecifier.text, line, form: 'import', names: namesOfImport(node) });
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      found.push({ specifier: node.moduleSpecifier.text, line, form: 're-export', names: namesOfReExport(node) });
    } else {
      const specifier = dynamicSpecifier(node);
      if (specifier !== undefined) found.push({ specifier, line, form: 'dynamic', names: 'all' });
    }
    ts.forEachChild(node, visit);
  };
  visit(ast);
  return found;
}

function readSourceFile(root: string, file: string): SourceFile {
  const text = readFileSync(path.join(root, file), 'utf8');
  const ast = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const lineCount = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  const packageName = /^packages\/([^/]+)\//.exec(file)?.[1];
  return { file, packageName, kind: kindOf(file), text, lineCount, ast, imports: importsOf(ast) };
}

/** Reads every TypeScript file below `root` that is ours; generated code and installed packages are left out. */
export function readSourceTree(root: string): SourceTree {
  const manifest = readJsonObject(path.join(root, 'package.json'));
  const files = ROOTS.filter((folder) => existsSync(path.join(root, folder))).flatMap((folder) => [
    ...walk(root, folder),
  ]);
  return {
    root,
    packages: readPackages(root),
    files: files.sort().map((file) => readSourceFile(root, file)),
    rootDependencies: [...keysOf(manifest['dependencies']), ...keysOf(manifest['devDependencies'])],
  };
}

/** The file of ours that `specifier`, written in `from`, means; undefined for what is installed or built in. */
export function resolveImport(tree: SourceTree, from: SourceFile, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return path.posix.join(path.posix.dirname(from.file), specifier);
  if (!specifier.startsWith(SCOPE)) return undefined;
  const [name = '', ...rest] = specifier.slice(SCOPE.length).split('/');
  const subpath = rest.length === 0 ? '.' : `./${rest.join('/')}`;
  return tree.packages.find((candidate) => candidate.name === name)?.exports.get(subpath);
}
