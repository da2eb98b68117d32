/**
 * FHIRPath from a tree to functions: compiled once, run for each resource. Booleans have three values; no value is an empty
 * collection, as the specification says (section 4.5).
 */
import { Hl7Error } from '../../hl7-error.ts';
import { distinct, EMPTY, type Evaluate, type Scope, truth, truthItems } from './collection.ts';
import { FUNCTIONS } from './functions.ts';
import { type Item, type Items, isEqual, isOfType, member, primitiveOf, system } from './item.ts';
import { compareItems } from './order.ts';
import { type Expression, parseExpression } from './syntax.ts';

const VARIABLES: Readonly<Record<string, string>> = {
  ucum: 'http://unitsofmeasure.org',
  sct: 'http://snomed.info/sct',
  loinc: 'http://loinc.org',
};

/** Throws `unsupported` for an expression, or a function in it, that is not known here. */
export function compileFhirPath(text: string): (focus: Item, scope: Scope) => Items {
  const run = compile(parseExpression(text));
  return (focus, scope) => run([focus], scope);
}

function compile(expression: Expression): Evaluate {
  switch (expression.kind) {
    case 'literal': {
      const items = [system(expression.value)];
      return () => items;
    }
    case 'empty':
      return () => EMPTY;
    case 'this':
      return (focus) => focus;
    case 'variable':
      return variable(expression.name);
    case 'member':
      return compileMember(expression.of, expression.name);
    case 'call':
      return compileCall(expression.of, expression.name, expression.args);
    case 'index': {
      const [of, at] = [compile(expression.of), compile(expression.at)];
      return (focus, scope) => {
        const place = at(focus, scope)[0]?.value;
        return typeof place === 'number' ? of(focus, scope).slice(place, place + 1) : EMPTY;
      };
    }
    case 'type':
      return compileType(compile(expression.of), expression.operator, expression.type);
    case 'negative': {
      const of = compile(expression.of);
      return (focus, scope) => numeric(of(focus, scope), (value) => -value);
    }
    case 'binary':
      return compileBinary(expression.operator, compile(expression.left), compile(expression.right));
  }
}

function numeric(items: Items, change: (value: number) => number): Items {
  const value = items[0] === undefined ? undefined : primitiveOf(items[0]);
  return typeof value === 'number' ? [system(change(value))] : EMPTY;
}

function variable(name: string): Evaluate {
  if (name === 'resource' || name === 'context') return (_, { resource }) => [resource];
  if (name === 'rootResource') return (_, { rootResource }) => [rootResource];
  const known = VARIABLES[name];
  if (known === undefined) throw new Hl7Error('unsupported', 'FHIRPath: a variable is not known here.');
  return () => [system(known)];
}

/** A name at the beginning may be that of the type of the focus (`Patient.name`). */
function compileMember(of: Expression | undefined, name: string): Evaluate {
  if (of === undefined) {
    const isTypeName = /^[A-Z]/.test(name);
    return (focus) => (isTypeName ? focus.filter((item) => isOfType(item, name)) : membersOf(focus, name));
  }
  const inner = compile(of);
  return (focus, scope) => membersOf(inner(focus, scope), name);
}

function membersOf(items: Items, name: string): Items {
  const found: Item[] = [];
  for (const item of items) member(item, name, found);
  return found;
}

function compileCall(of: Expression | undefined, name: string, args: readonly Expression[]): Evaluate {
  const inner: Evaluate = of === undefined ? (focus) => focus : compile(of);
  if (name === 'is' || name === 'as' || name === 'ofType') {
    return compileType(inner, name === 'is' ? 'is' : 'as', typeArgument(args));
  }
  const make = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (make === undefined) throw new Hl7Error('unsupported', `FHIRPath: the function ${name} is not known here.`);
  const run = make(args.map(compile));
  return (focus, scope) => run(inner(focus, scope), scope, focus);
}

function typeArgument([argument]: readonly Expression[]): string {
  if (argument?.kind === 'member') {
    return argument.of?.kind === 'member' ? `${argument.of.name}.${argument.name}` : argument.name;
  }
  throw new Hl7Error('unsupported', 'FHIRPath: a type is expected.');
}

function compileType(of: Evaluate, operator: 'is' | 'as', type: string): Evaluate {
  if (operator === 'as') return (focus, scope) => of(focus, scope).filter((item) => isOfType(item, type));
  return (focus, scope) => {
    const [item] = of(focus, scope);
    return item === undefined ? EMPTY : [system(isOfType(item, type))];
  };
}

type Logic = (left: boolean | undefined, right: () => boolean | undefined) => boolean | undefined;

const LOGIC: Readonly<Record<string, Logic>> = {
  and: (left, right) => {
    if (left === false) return false;
    const other = right();
    return other === false ? false : left === undefined || other === undefined ? undefined : true;
  },
  or: (left, right) => {
    if (left === true) return true;
    const other = right();
    return other === true ? true : left === undefined || other === undefined ? undefined : false;
  },
  xor: (left, right) => {
    const other = right();
    return left === undefined || other === undefined ? undefined : left !== other;
  },
  implies: (left, right) => {
    if (left === false) return true;
    const other = right();
    if (other === true) return true;
    return left === true ? other : undefined;
  },
};

function compileBinary(operator: string, left: Evaluate, right: Evaluate): Evaluate {
  const logic = LOGIC[operator];
  if (logic !== undefined) {
    return (focus, scope) => truthItems(logic(truth(left(focus, scope)), () => truth(right(focus, scope))));
  }
  const combine = COMBINE[operator];
  if (combine === undefined) throw new Hl7Error('unsupported', `FHIRPath: the operator ${operator} is not known here.`);
  return (focus, scope) => combine(left(focus, scope), right(focus, scope));
}

function equality(left: Items, right: Items): boolean | undefined {
  if (left.length === 0 || right.length === 0) return undefined;
  if (left.length !== right.length) return false;
  return left.every((item, index) => {
    const other = right[index];
    return other !== undefined && isEqual(item, other);
  });
}

function negated(value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : !value;
}

function ordered(left: Items, right: Items, isHeld: (order: number) => boolean): Items {
  const [a, b] = [left[0], right[0]];
  const order = a === undefined || b === undefined ? undefined : compareItems(a, b);
  return truthItems(order === undefined ? undefined : isHeld(order));
}

function arithmetic(left: Items, right: Items, of: (a: number, b: number) => number | undefined): Items {
  const [a, b] = [left[0], right[0]].map((item) => (item === undefined ? undefined : primitiveOf(item)));
  if (typeof a !== 'number' || typeof b !== 'number') return EMPTY;
  const value = of(a, b);
  return value === undefined ? EMPTY : [system(value)];
}

function text(items: Items): string {
  const value = items[0] === undefined ? undefined : primitiveOf(items[0]);
  return value === undefined ? '' : String(value);
}

const includes = (items: Items, item: Item): boolean => items.some((other) => isEqual(other, item));

const COMBINE: Readonly<Record<string, (left: Items, right: Items) => Items>> = {
  '=': (left, right) => truthItems(equality(left, right)),
  '!=': (left, right) => truthItems(negated(equality(left, right))),
  '<': (left, right) => ordered(left, right, (order) => order < 0),
  '<=': (left, right) => ordered(left, right, (order) => order <= 0),
  '>': (left, right) => ordered(left, right, (order) => order > 0),
  '>=': (left, right) => ordered(left, right, (order) => order >= 0),
  '|': (left, right) => distinct([...left, ...right]),
  '&': (left, right) => [system(text(left) + text(right))],
  '+': (left, right) => {
    const [a, b] = [left[0], right[0]].map((item) => (item === undefined ? undefined : primitiveOf(item)));
    if (typeof a === 'string' && typeof b === 'string') return [system(a + b)];
    return arithmetic(left, right, (x, y) => x + y);
  },
  '-': (left, right) => arithmetic(left, right, (a, b) => a - b),
  '*': (left, right) => arithmetic(left, right, (a, b) => a * b),
  '/': (left, right) => arithmetic(left, right, (a, b) => (b === 0 ? undefined : a / b)),
  div: (left, right) => arithmetic(left, right, (a, b) => (b === 0 ? undefined : Math.trunc(a / b))),
  mod: (left, right) => arithmetic(left, right, (a, b) => (b === 0 ? undefined : a % b)),
  in: (left, right) => {
    const [item] = left;
    return item === undefined ? EMPTY : [system(includes(right, item))];
  },
  contains: (left, right) => {
    const [item] = right;
    return item === undefined ? EMPTY : [system(includes(left, item))];
  },
};
