/**
 * Exports that nobody imports. What is exported looks like a promise, so it is kept, tested and worked around for nothing.
 *
 * A name counts as used when another file imports it. What an index re-exports needs a user outside its package (a test counts)
 * or a row in PUBLIC_API. A type is left alone where its own file still needs it or an index passes it on: it is the vocabulary
 * of an exported function.
 */
import path from 'node:path';
import ts from 'typescript5';
import { lineOf, type Offence, resolveImport, type SourceFile, type SourceTree } from './source-tree.ts';

/** Packages whose index is a product in itself, with the reason; users outside this repository import it. */
const PUBLIC_API: Readonly<Record<string, string>> = {
  contract: 'the API of hub and site: programs of others are written against it, and ours need not use all of it',
};

type Exported = { readonly name: string; readonly line: number; readonly isType: boolean };

function isExported(node: ts.Node): boolean {
  return ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some((m) => m.kind === ts.SyntaxKind.ExportKeyword);
}

function* boundNames(name: ts.BindingName): Generator<string> {
  if (ts.isIdentifier(name)) {
    yield name.text;
    return;
  }
  for (const element of name.elements) if (ts.isBindingElement(element)) yield* boundNames(element.name);
}

/** The names that one statement exports, each with the node where it stands. */
function exportedBy(statement: ts.Statement): { name: string; isType: boolean; node: ts.Node }[] {
  if (ts.isExportDeclaration(statement)) {
    const clause = statement.exportClause;
    if (clause === undefined || !ts.isNamedExports(clause)) return [];
    return clause.elements.map((node) => ({
      name: node.name.text,
      isType: node.isTypeOnly || statement.isTypeOnly,
      node,
    }));
  }
  if (!isExported(statement)) return [];
  if (ts.isVariableStatement(statement)) {
    const names = statement.declarationList.declarations.flatMap((declaration) => [...boundNames(declaration.name)]);
    return names.map((name) => ({ name, isType: false, node: statement }));
  }
  if (ts.isTypeAliasDeclaration(statement) || ts.isInterfaceDeclaration(statement)) {
    return [{ name: statement.name.text, isType: true, node: statement }];
  }
  const isNamed = ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement);
  return isNamed && statement.name !== undefined ? [{ name: statement.name.text, isType: false, node: statement }] : [];
}

/** A schema and the type inferred from it share one name and are one export. */
function exportsOf(file: SourceFile): Exported[] {
  const byName = new Map<string, Exported>();
  for (const { name, isType, node } of file.ast.statements.flatMap(exportedBy)) {
    const known = byName.get(name);
    const line = known?.line ?? lineOf(file.ast, node.getStart(file.ast));
    byName.set(name, { name, line, isType: isType && (known?.isType ?? true) });
  }
  return [...byName.values()];
}

type Uses = ReadonlyMap<string, { readonly names: ReadonlySet<string>; readonly whole: boolean }>;

/** File -> the names that other files take from it. */
function usesOf(tree: SourceTree): Uses {
  const uses = new Map<string, { names: Set<string>; whole: boolean }>();
  for (const file of tree.files) {
    for (const mention of file.imports) {
      const target = resolveImport(tree, file, mention.specifier);
      if (target === undefined) continue;
      const used = uses.get(target) ?? { names: new Set<string>(), whole: false };
      if (mention.names === 'all') used.whole = true;
      else for (const name of mention.names) used.names.add(name);
      uses.set(target, used);
    }
  }
  return uses;
}

function isMentionedAgain(file: SourceFile, name: string): boolean {
  return (file.text.match(new RegExp(`(?<![\\w$])${name}(?![\\w$])`, 'g'))?.length ?? 0) > 1;
}

/** Tests and tools that are started by themselves export nothing to anybody; what they do export is still looked at. */
export function findDeadExports(tree: SourceTree): Offence[] {
  const uses = usesOf(tree);
  return tree.files.flatMap((file) => {
    const isIndex = path.posix.basename(file.file) === 'index.ts';
    if (isIndex && file.packageName !== undefined && file.packageName in PUBLIC_API) return [];
    const used = uses.get(file.file);
    if (used?.whole === true) return [];
    return exportsOf(file)
      .filter(({ name }) => used?.names.has(name) !== true)
      .filter(({ name, isType }) => !(isType && (isIndex || isMentionedAgain(file, name))))
      .map(({ name, line }) => ({
        file: file.file,
        line,
        rule: isIndex ? `nobody outside the package imports ${name}` : `dead export: nobody imports ${name}`,
      }));
  });
}
