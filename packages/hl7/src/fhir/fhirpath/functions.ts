/** The functions of FHIRPath that the rules of R4 use, and those that stand near them. */
import { Hl7Error } from '../../hl7-error.ts';
import { isJsonObject } from '../json.ts';
import { distinct, EMPTY, type Evaluate, type Scope, truth, truthItems } from './collection.ts';
import { children, type Item, type Items, isEqual, itemOfResource, primitiveOf, system } from './item.ts';

/** Of an item of the input, or of what stands around the call (`outer`): an argument that is a value is read there. */
type Run = (input: Items, scope: Scope, outer: Items) => Items;
type Make = (args: readonly Evaluate[]) => Run;

/** A resource with more nodes would take longer than a rule is worth. */
const DESCENDANT_COUNT_MAX = 200_000;
const bool = (value: boolean): Items => [system(value)];

function filter(input: Items, by: Evaluate, scope: Scope): Items {
  return input.filter((item) => truth(by([item], scope)) === true);
}

function needed(args: readonly Evaluate[]): Evaluate {
  const [first] = args;
  if (first === undefined) throw new Hl7Error('unsupported', 'FHIRPath: an argument is missing.');
  return first;
}

function textOf(items: Items): string | undefined {
  const value = items[0] === undefined ? undefined : primitiveOf(items[0]);
  return typeof value === 'string' ? value : undefined;
}

/** A function of a text and a text. */
function onTexts(of: (text: string, argument: string) => Items): Make {
  return (args) => {
    const argument = needed(args);
    return (input, scope, outer) => {
      const [text, other] = [textOf(input), textOf(argument(outer, scope))];
      return text === undefined || other === undefined ? EMPTY : of(text, other);
    };
  };
}

function descendants(input: Items): Item[] {
  const found: Item[] = [];
  let level = input.flatMap(children);
  while (level.length > 0) {
    found.push(...level);
    if (found.length > DESCENDANT_COUNT_MAX) throw new Hl7Error('limit', 'A resource has too many nodes for a rule.');
    level = level.flatMap(children);
  }
  return found;
}

/** Only what is contained can be reached from here. */
function resolved(input: Items, { rootResource }: Scope): Items {
  const root = isJsonObject(rootResource.value) ? rootResource.value : {};
  return input.flatMap((item) => {
    const reference = isJsonObject(item.value) ? item.value['reference'] : item.value;
    if (typeof reference !== 'string' || !reference.startsWith('#')) return [];
    const contained = Array.isArray(root['contained']) ? root['contained'] : [];
    const found = contained.find((one) => isJsonObject(one) && one['id'] === reference.slice(1));
    return isJsonObject(found) ? [itemOfResource(found)] : [];
  });
}

/** Expressions of the standard's own tables alone come here, so that none of them can take exponential time on purpose. */
function pattern(text: string): RegExp | undefined {
  try {
    return new RegExp(text, 's');
  } catch {
    return undefined; // as the specification: no value
  }
}

const SETS: Readonly<Record<string, Make>> = {
  where: (args) => {
    const by = needed(args);
    return (input, scope) => filter(input, by, scope);
  },
  select: (args) => {
    const by = needed(args);
    return (input, scope) => input.flatMap((item) => [...by([item], scope)]);
  },
  repeat: (args) => {
    const by = needed(args);
    return (input, scope) => {
      const found: Item[] = [];
      let level: Items = input;
      while (level.length > 0 && found.length < DESCENDANT_COUNT_MAX) {
        const next = level.flatMap((item) => [...by([item], scope)]);
        level = next.filter((item) => !found.some((other) => other.value === item.value));
        found.push(...level);
      }
      return found;
    };
  },
  first: () => (input) => input.slice(0, 1),
  last: () => (input) => input.slice(-1),
  tail: () => (input) => input.slice(1),
  single: () => (input) => (input.length === 1 ? input : EMPTY),
  skip: (args) => {
    const count = needed(args);
    return (input, scope, outer) => input.slice(Math.max(0, Number(count(outer, scope)[0]?.value ?? 0)));
  },
  take: (args) => {
    const count = needed(args);
    return (input, scope, outer) => input.slice(0, Math.max(0, Number(count(outer, scope)[0]?.value ?? 0)));
  },
  children: () => (input) => input.flatMap(children),
  descendants: () => descendants,
  distinct: () => distinct,
  union: (args) => {
    const other = needed(args);
    return (input, scope, outer) => distinct([...input, ...other(outer, scope)]);
  },
  combine: (args) => {
    const other = needed(args);
    return (input, scope, outer) => [...input, ...other(outer, scope)];
  },
  intersect: (args) => {
    const other = needed(args);
    return (input, scope, outer) => {
      const items = other(outer, scope);
      return distinct(input).filter((item) => items.some((one) => isEqual(one, item)));
    };
  },
  exclude: (args) => {
    const other = needed(args);
    return (input, scope, outer) => {
      const items = other(outer, scope);
      return input.filter((item) => !items.some((one) => isEqual(one, item)));
    };
  },
  resolve: () => resolved,
  extension: (args) => {
    const url = needed(args);
    return (input, scope, outer) => {
      const wanted = textOf(url(outer, scope));
      const isWanted = (item: Item): boolean => isJsonObject(item.value) && item.value['url'] === wanted;
      return input.flatMap((item) => children(item).filter((child) => child.type === 'Extension' && isWanted(child)));
    };
  },
  trace: () => (input) => input,
};

const TESTS: Readonly<Record<string, Make>> = {
  empty: () => (input) => bool(input.length === 0),
  exists:
    ([by]) =>
    (input, scope) =>
      bool((by === undefined ? input : filter(input, by, scope)).length > 0),
  not: () => (input) => {
    const value = truth(input);
    return truthItems(value === undefined ? undefined : !value);
  },
  hasValue: () => (input) => bool(input.length === 1 && input[0] !== undefined && primitiveOf(input[0]) !== undefined),
  count: () => (input) => [system(input.length)],
  all: (args) => {
    const by = needed(args);
    return (input, scope) => bool(input.every((item) => truth(by([item], scope)) === true));
  },
  allTrue: () => (input) => bool(input.every(({ value }) => value === true)),
  allFalse: () => (input) => bool(input.every(({ value }) => value === false)),
  anyTrue: () => (input) => bool(input.some(({ value }) => value === true)),
  anyFalse: () => (input) => bool(input.some(({ value }) => value === false)),
  isDistinct: () => (input) => bool(distinct(input).length === input.length),
  subsetOf: (args) => {
    const other = needed(args);
    return (input, scope, outer) => {
      const items = other(outer, scope);
      return bool(input.every((item) => items.some((one) => isEqual(one, item))));
    };
  },
  supersetOf: (args) => {
    const other = needed(args);
    return (input, scope, outer) => bool(other(outer, scope).every((item) => input.some((one) => isEqual(one, item))));
  },
  iif:
    ([condition, then, otherwise]) =>
    (input, scope, outer) => {
      const focus = input.length === 0 ? outer : input;
      return (truth(condition?.(focus, scope) ?? EMPTY) === true ? then : otherwise)?.(focus, scope) ?? EMPTY;
    },
};

const TEXTS: Readonly<Record<string, Make>> = {
  startsWith: onTexts((text, other) => bool(text.startsWith(other))),
  endsWith: onTexts((text, other) => bool(text.endsWith(other))),
  contains: onTexts((text, other) => bool(text.includes(other))),
  indexOf: onTexts((text, other) => [system(text.indexOf(other))]),
  matches: onTexts((text, other) => truthItems(pattern(other)?.test(text))),
  replaceMatches: (args) => (input, scope, outer) => {
    const [by, substitution] = args.map((argument) => textOf(argument(outer, scope)));
    const [text, expression] = [textOf(input), by === undefined ? undefined : pattern(by)];
    if (text === undefined || expression === undefined || substitution === undefined) return EMPTY;
    return [system(text.replaceAll(new RegExp(expression, 'gs'), substitution))];
  },
  replace: (args) => (input, scope, outer) => {
    const [by, substitution] = args.map((argument) => textOf(argument(outer, scope)));
    const text = textOf(input);
    if (text === undefined || by === undefined || substitution === undefined) return EMPTY;
    return [system(text.replaceAll(by, () => substitution))];
  },
  substring: (args) => (input, scope, outer) => {
    const [start, length] = args.map((argument) => argument(outer, scope)[0]?.value);
    const text = textOf(input);
    if (text === undefined || typeof start !== 'number' || start < 0 || start >= text.length) return EMPTY;
    return [system(text.slice(start, typeof length === 'number' ? start + length : undefined))];
  },
  length: () => (input) => {
    const text = textOf(input);
    return text === undefined ? EMPTY : [system(text.length)];
  },
  upper: () => (input) => input.slice(0, 1).map((item) => system(String(primitiveOf(item)).toUpperCase())),
  lower: () => (input) => input.slice(0, 1).map((item) => system(String(primitiveOf(item)).toLowerCase())),
  toChars: () => (input) => [...(textOf(input) ?? '')].map(system),
  toString: () => (input: Items) => {
    const value = input[0] === undefined ? undefined : primitiveOf(input[0]);
    return value === undefined ? EMPTY : [system(String(value))];
  },
  toInteger: () => (input) => {
    const value = input[0] === undefined ? undefined : primitiveOf(input[0]);
    if (typeof value === 'boolean') return [system(value ? 1 : 0)];
    return /^[+-]?\d+$/.test(String(value)) ? [system(Number(value))] : EMPTY;
  },
  toDecimal: () => (input) => {
    const value = input[0] === undefined ? undefined : primitiveOf(input[0]);
    if (typeof value === 'boolean') return [{ value: value ? 1 : 0, type: 'System.Decimal' }];
    return /^[+-]?\d+(\.\d+)?$/.test(String(value)) ? [{ value: Number(value), type: 'System.Decimal' }] : EMPTY;
  },
};

export const FUNCTIONS: Readonly<Record<string, Make>> = { ...SETS, ...TESTS, ...TEXTS };
