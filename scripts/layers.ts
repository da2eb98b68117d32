/**
 * Who may know whom. npm workspaces install every package beside every other and enforce no direction; this does. Reading the
 * tables is reading the architecture; a new edge is a deliberate change of them.
 */
import ts from 'typescript5';
import {
  type Import,
  lineOf,
  type Offence,
  resolveImport,
  SCOPE,
  type SourceFile,
  type SourceTree,
} from './source-tree.ts';

/** Package -> the packages of ours that it may import and list under `dependencies`. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  contract: [],
  service: ['contract'],
  dicom: [],
  hl7: [],
  omop: ['contract'],
  learning: ['contract'],
  runner: ['contract', 'learning'],
  deployment: ['contract'],
  site: ['contract', 'service', 'dicom', 'hl7', 'omop', 'learning', 'runner', 'deployment'],
  hub: ['contract', 'service', 'learning', 'runner'],
  web: ['contract'],
  lantern: ['contract', 'service', 'dicom', 'hl7', 'omop', 'learning', 'runner', 'deployment', 'site', 'hub', 'web'],
};

/** What the hub takes from a package that also holds code for a hospital's data: the bundle. All else stays in the hospital. */
const NAMES_BY_EDGE: Readonly<Record<string, readonly string[]>> = {
  'hub -> runner': ['bundleDigest', 'checkBundle'],
};

/** Pure packages: clock, randomness and input come in as arguments, so that the same call gives the same bytes anywhere. */
const PURE: ReadonlySet<string> = new Set(['contract', 'learning']);

/** Packages that are cut into capability folders, each with a store that is its own. */
const CAPABILITY_PACKAGES: ReadonlySet<string> = new Set(['site', 'hub']);

/** Files other than main.ts and tests that read the environment, and why. */
const ENVIRONMENT_READERS: Readonly<Record<string, string>> = {
  'packages/service/src/postgres/test-database.ts': 'support of tests: the runner hands the url of its server this way',
};

type Check = (tree: SourceTree, file: SourceFile) => Offence[];

function offence(file: SourceFile, line: number, rule: string): Offence {
  return { file: file.file, line, rule };
}

function ourPackage(specifier: string): string | undefined {
  return specifier.startsWith(SCOPE) ? specifier.slice(SCOPE.length).split('/')[0] : undefined;
}

/** 'pg' of 'pg/lib/client', '@scope/name' of '@scope/name/file'. */
function installedName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function checkDependencies(tree: SourceTree): Offence[] {
  const found: Offence[] = [];
  for (const { name, directory, dependencies } of tree.packages) {
    const file = `${directory}/package.json`;
    const allowed = LAYERS[name];
    if (allowed === undefined) {
      found.push({ file, line: 0, rule: `package "${name}" has no row in LAYERS` });
      continue;
    }
    const used = new Set(
      tree.files
        .filter((source) => source.packageName === name)
        .flatMap((source) => source.imports.map(mentionedPackage)),
    );
    for (const dependency of dependencies) {
      const ours = ourPackage(dependency);
      if (ours !== undefined && !allowed.includes(ours)) {
        found.push({ file, line: 0, rule: `layer: ${name} may not depend on ${ours}` });
      }
      if (!used.has(dependency)) found.push({ file, line: 0, rule: `dependency ${dependency} is imported nowhere` });
    }
  }
  return found;
}

function mentionedPackage(mention: Import): string {
  return installedName(mention.specifier);
}

function checkOurImport(name: string, file: SourceFile, mention: Import): string | undefined {
  const other = ourPackage(mention.specifier);
  if (other === undefined) return undefined;
  if (other === name) return `${name} imports itself: inside a package import the file`;
  if (!(LAYERS[name] ?? []).includes(other)) return `layer: ${name} may not import ${other}`;
  const names = file.kind === 'library' ? NAMES_BY_EDGE[`${name} -> ${other}`] : undefined;
  if (names === undefined) return undefined;
  const refused = mention.names === 'all' ? ['everything'] : mention.names.filter((taken) => !names.includes(taken));
  return refused.length === 0 ? undefined : `${name} may not take ${refused.join(', ')} from ${other}`;
}

function checkImport(tree: SourceTree, file: SourceFile, name: string, mention: Import): string[] {
  const { specifier } = mention;
  const rules: (string | undefined)[] = [checkOurImport(name, file, mention)];
  if (specifier.startsWith('.')) {
    const target = resolveImport(tree, file, specifier) ?? '';
    if (!target.startsWith(`packages/${name}/`)) rules.push(`relative import leaves the package: ${specifier}`);
    if (target === `packages/${name}/src/index.ts`) rules.push('inside a package import the file, never the index');
    rules.push(checkStore(name, file, target));
  } else if (specifier.startsWith('node:')) {
    if (PURE.has(name) && file.kind === 'library') rules.push(`${name} is pure: no ${specifier}`);
  } else {
    const own = tree.packages.find((candidate) => candidate.name === name);
    const known = [...(own?.dependencies ?? [])];
    if (file.kind !== 'library') known.push(...(own?.devDependencies ?? []), ...tree.rootDependencies);
    if (rules[0] === undefined && !known.includes(installedName(specifier))) {
      rules.push(`${installedName(specifier)} is not among the dependencies of ${name}`);
    }
  }
  return rules.filter((rule) => rule !== undefined);
}

/** Files at the top of `src` (main, contexts) are the wiring and belong to no capability. */
function checkStore(name: string, file: SourceFile, target: string): string | undefined {
  if (!CAPABILITY_PACKAGES.has(name) || file.kind === 'test') return undefined;
  const owner = /^packages\/[^/]+\/src\/([^/]+)\/(?:.*\/)?store\.ts$/.exec(target)?.[1];
  const reader = /^packages\/[^/]+\/src\/([^/]+)\//.exec(file.file)?.[1];
  if (owner === undefined || reader === undefined || owner === reader) return undefined;
  return `the store of ${owner} belongs to ${owner}`;
}

const checkImports: Check = (tree, file) => {
  const name = file.packageName;
  if (name === undefined) return [];
  return file.imports.flatMap((mention) =>
    checkImport(tree, file, name, mention).map((rule) => offence(file, mention.line, rule)),
  );
};

function impureRule(node: ts.Node): string | undefined {
  if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && (node.arguments?.length ?? 0) === 0) {
    return 'new Date()';
  }
  const text = ts.isPropertyAccessExpression(node) ? node.getText() : '';
  return ['Date.now', 'Math.random', 'performance.now'].includes(text) || /^crypto\./.test(text) ? text : undefined;
}

function findNodes(file: SourceFile, ruleOf: (node: ts.Node) => string | undefined): Offence[] {
  const found: Offence[] = [];
  const visit = (node: ts.Node): void => {
    const rule = ruleOf(node);
    if (rule !== undefined) found.push(offence(file, lineOf(file.ast, node.getStart(file.ast)), rule));
    ts.forEachChild(node, visit);
  };
  visit(file.ast);
  return found;
}

const checkPurity: Check = (_tree, file) => {
  if (file.kind !== 'library' || file.packageName === undefined || !PURE.has(file.packageName)) return [];
  return findNodes(file, (node) => {
    const impure = impureRule(node);
    return impure === undefined ? undefined : `${file.packageName} is pure: no ${impure}, take it as an argument`;
  });
};

const checkEnvironment: Check = (_tree, file) => {
  const isMain = /(^|\/)main\.ts$/.test(file.file);
  if (file.kind !== 'library' || isMain || file.file in ENVIRONMENT_READERS) return [];
  return findNodes(file, (node) => {
    const reads = ts.isPropertyAccessExpression(node) && node.getText() === 'process.env';
    const takes = ts.isImportSpecifier(node) && (node.propertyName ?? node.name).text === 'env';
    return reads || (takes && node.parent.parent.parent.moduleSpecifier.getText().includes('node:process'))
      ? 'process.env is read in main.ts alone'
      : undefined;
  });
};

/** Every offence against the tables above, in the order of the files. */
export function checkLayers(tree: SourceTree): Offence[] {
  const checks: readonly Check[] = [checkImports, checkPurity, checkEnvironment];
  return [...checkDependencies(tree), ...tree.files.flatMap((file) => checks.flatMap((check) => check(tree, file)))];
}
