import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { packageJson, writeTree } from './fixture-tree.ts';
import { describeCodeSize, measure } from './measure.ts';
import { readSourceTree } from './source-tree.ts';

type Files = Readonly<Record<string, string>>;

const LIBRARY = 'packages/service/src/a.ts';

function measureFiles(t: TestContext, files: Files) {
  return measure(readSourceTree(writeTree(t, { 'packages/service/package.json': packageJson([]), ...files })));
}

function offencesOf(t: TestContext, files: Files): string[] {
  return measureFiles(t, files).offences.map(({ file, line, rule }) => `${file}:${line} ${rule}`);
}

/** A function of exactly `lineCount` lines, which nobody exports. */
function functionOf(name: string, lineCount: number): string {
  return [`function ${name}() {`, ...Array.from({ length: lineCount - 2 }, (_, i) => `  void ${i};`), '}'].join('\n');
}

/** Enough short functions and lines that the shares of the whole library are far from their limits. */
function padding(lineCount = 2_000): Files {
  const files = Array.from({ length: lineCount / 50 }, (_, i) => i);
  const text = Array.from({ length: 10 }, (_, i) => functionOf(`f${i}`, 5)).join('\n');
  return Object.fromEntries(files.map((i) => [`packages/service/src/padding-${i}.ts`, `${text}\n`]));
}

describe('sizes', () => {
  it('counts lines of files and of named functions, callbacks left out', (t) => {
    const found = measureFiles(t, {
      [LIBRARY]: `${functionOf('short', 3)}\n`,
      'packages/service/src/b.ts': `${functionOf('middle', 8)}\nvoid [1].map((x) => {\n  return x;\n});\n`,
      'packages/service/src/c.ts': `${functionOf('long', 21)}\n`,
    });
    assert.equal(found.fileCount, 3);
    assert.equal(found.lineCount, 3 + 11 + 21);
    assert.deepEqual([found.files.median, found.files.p90], [11, 21]);
    assert.deepEqual([found.functions.median, found.functions.p90], [8, 21]);
    assert.equal(found.functions.longest[0]?.name, 'long');
    assert.match([...describeCodeSize(found)].join('\n'), /21 {2}long {2}packages\/service\/src\/c\.ts:1/);
  });

  it('lets a function have 70 lines and refuses 71', (t) => {
    const files = { ...padding(), [LIBRARY]: `${functionOf('f', 70)}\n${functionOf('g', 71)}\n` };
    assert.deepEqual(offencesOf(t, files), [`${LIBRARY}:71 function g has 71 lines, more than 70`]);
  });

  it('counts callbacks and methods too when it looks for long functions', (t) => {
    const method = functionOf('m', 75).replace('function ', '');
    const text = `class A {\n${method}\n}\nvoid A;\nvoid [1].map(${functionOf('', 80)});\n`;
    assert.deepEqual(offencesOf(t, { ...padding(), [LIBRARY]: text }), [
      `${LIBRARY}:2 function m has 75 lines, more than 70`,
      `${LIBRARY}:79 function (callback) has 80 lines, more than 70`,
    ]);
  });

  it('lets a React component have 120 lines, but not a function in lower case beside it', (t) => {
    const file = 'packages/web/src/page.tsx';
    const text = [functionOf('Page', 120), functionOf('page', 71), functionOf('Wide', 121)].join('\n');
    const files = { ...padding(), 'packages/web/package.json': packageJson([]), [file]: `${text}\n` };
    assert.deepEqual(offencesOf(t, files), [
      `${file}:121 function page has 71 lines, more than 70`,
      `${file}:192 function Wide has 121 lines, more than 120`,
    ]);
  });

  it('lets a file have 600 lines and refuses 601', (t) => {
    const files = {
      ...padding(),
      [LIBRARY]: 'void 1;\n'.repeat(600),
      'packages/service/src/b.ts': 'void 1;\n'.repeat(601),
    };
    assert.deepEqual(offencesOf(t, files), ['packages/service/src/b.ts:0 601 lines, more than 600']);
  });

  it('refuses many long functions and many long files though each is within its limit', (t) => {
    const text = `${Array.from({ length: 8 }, (_, i) => functionOf(`f${i}`, 40)).join('\n')}\n`;
    assert.deepEqual(offencesOf(t, { [LIBRARY]: text }), [
      'packages:0 p90 of file lines is 320, more than 300',
      'packages:0 p90 of function lines is 40, more than 35',
    ]);
  });

  it('does not measure tests', (t) => {
    const files = {
      'packages/service/src/a.test.ts': `${functionOf('f', 500)}\n`,
      'tests/b.test.ts': 'void 1;\n'.repeat(700),
    };
    assert.deepEqual(offencesOf(t, files), []);
  });
});

describe('lines', () => {
  const refused: Readonly<Record<string, readonly [string, string]>> = {
    any: [
      'function f(x: any[]) {\n  void x;\n}\nvoid f;\n',
      ':1 any: say what it is, or unknown until a schema has parsed it',
    ],
    'a non-null assertion': ['const x = [1];\nvoid x[0]!.toFixed();\n', ':2 "!": check it, or assert with a reason'],
    'a default export': ['\nexport default function f() {}\n', ':2 default export: give it a name'],
    'a default export by name': ['const a = 1;\nexport { a as default };\n', ':2 default export: give it a name'],
    'an empty catch': [
      'try {\n  void 1;\n} catch {}\n',
      ':3 empty catch: say in a sentence why nothing has to be done',
    ],
    'a generic error': ["throw new Error('no');\n", ':1 throw new Error: a failure has a code, use AppError'],
    'a promise in a comment': ['// TODO later\nvoid 1;\n', ':1 a promise without an issue: write TODO(#12) or do it'],
    'a promise inside an expression': [
      'void [1, /* FIXME */ 2];\n',
      ':1 a promise without an issue: write TODO(#12) or do it',
    ],
    'a re-export': ["export { b } from './b.ts';\n", ':1 re-export outside index.ts'],
    'a re-export of everything': ["export * from './b.ts';\n", ':1 re-export outside index.ts'],
  };
  for (const [what, [text, expected]] of Object.entries(refused)) {
    it(`refuses ${what}`, (t) => {
      const found = offencesOf(t, {
        ...padding(),
        [LIBRARY]: text,
        'packages/service/src/b.ts': 'export const b = 1;\n',
      });
      const style = found.filter((line) => line.startsWith(LIBRARY) && !line.includes('dead export'));
      assert.deepEqual(style, [`${LIBRARY}${expected}`]);
    });
  }

  it('allows what only looks like it', (t) => {
    const text = [
      "const many = 'any TODO'; // TODO(#12) with an issue",
      'const sign = !many || many !== sign2;',
      'const sign2 = `throw new Error FIXME`;',
      'try {\n  void sign;\n} catch {\n  // The file is gone, which is what we want.\n}',
    ].join('\n');
    assert.deepEqual(offencesOf(t, { [LIBRARY]: `${text}\n` }), []);
  });

  it('allows a generic error in scripts and tests, and a default export to a tool', (t) => {
    const text = "throw new Error('no');\n";
    const files = {
      'scripts/a.ts': text,
      'tests/a.test.ts': text,
      'packages/web/vite.config.ts': 'export default {};\n',
    };
    assert.deepEqual(offencesOf(t, files), []);
  });

  it('refuses the names of drawers for files and folders, also in scripts', (t) => {
    const files = {
      'packages/service/src/date-utils.ts': '',
      'packages/service/src/common/clock.ts': '',
      'packages/service/src/common-api.ts': '',
      'scripts/helpers.ts': '',
    };
    assert.deepEqual(offencesOf(t, files), [
      'packages/service/src/common/clock.ts:0 "common" is a drawer: name what is in it',
      'packages/service/src/date-utils.ts:0 "date-utils" is a drawer: name what is in it',
      'scripts/helpers.ts:0 "helpers" is a drawer: name what is in it',
    ]);
  });
});

describe('assertions', () => {
  const assertions = (count: number) => 'void (x as string);\n'.repeat(count);

  it('lets 3 in 1,000 lines pass and refuses more', (t) => {
    const files = padding(950);
    assert.deepEqual(offencesOf(t, { ...files, [LIBRARY]: assertions(3) + 'void 1;\n'.repeat(47) }), []);
    assert.deepEqual(offencesOf(t, { ...files, [LIBRARY]: assertions(4) + 'void 1;\n'.repeat(46) }), [
      'packages:0 4.0 "as" per 1,000 lines, more than 3',
    ]);
  });

  it('does not count const, aliases, satisfies or tests', (t) => {
    const text = "import { a as b } from 'b';\nvoid ([b] as const);\nvoid ({} satisfies object);\n";
    const found = measureFiles(t, { [LIBRARY]: text, 'packages/service/src/a.test.ts': assertions(9) });
    assert.equal(found.assertionsPer1000Lines, 0);
    assert.equal(measureFiles(t, { [LIBRARY]: 'void (x as unknown as string);\n' }).assertionsPer1000Lines, 2_000);
  });
});

describe('dead exports', () => {
  const index = "export { a } from './a.ts';\n";

  it('refuses a name that no file imports, and says where it stands', (t) => {
    const files = {
      [LIBRARY]: 'export const a = 1,\n  c = 2;\nexport function b() {}\n',
      'packages/service/src/d.test.ts': "import { a, b } from './a.ts';\nvoid [a, b];\n",
    };
    assert.deepEqual(offencesOf(t, files), [`${LIBRARY}:1 dead export: nobody imports c`]);
  });

  it('wants a user outside the package for what an index exports', (t) => {
    const files = { 'packages/service/src/index.ts': index, [LIBRARY]: 'export const a = 1;\n' };
    assert.deepEqual(offencesOf(t, files), ['packages/service/src/index.ts:1 nobody outside the package imports a']);
    const used = { ...files, 'tests/a.test.ts': "import { a } from '@lantern/service';\nvoid a;\n" };
    assert.deepEqual(offencesOf(t, used), []);
  });

  it('counts a name under its alias, a whole import and a dynamic import as use', (t) => {
    const name = { [LIBRARY]: 'export const a = 1;\n' };
    for (const use of [
      "import { a as other } from './a.ts';\nvoid other;\n",
      "import * as all from './a.ts';\nvoid all;\n",
      "void import('./a.ts');\n",
    ]) {
      assert.deepEqual(offencesOf(t, { ...name, 'packages/service/src/b.ts': use }), []);
    }
  });

  it('leaves a type alone that its own file needs, and refuses one that nobody needs', (t) => {
    const text = 'export type Used = 1;\nexport type Idle = 2;\nvoid (1 satisfies Used);\n';
    assert.deepEqual(offencesOf(t, { [LIBRARY]: text }), [`${LIBRARY}:2 dead export: nobody imports Idle`]);
  });
});
