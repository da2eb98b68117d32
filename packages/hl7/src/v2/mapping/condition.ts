/**
 * Conditions of HL7's tables, column "Computable ANTLR": `IF OBX-2 EQUALS "SN" AND OBX-5.1 NOT EQUALS "<>"`. Nobody published their
 * grammar; this one is read off the tables:
 *
 *   condition   IF? any
 *   any         all (OR all)*
 *   all         one (AND? one)*                       two comparisons without a word between belong together
 *   one         "(" any ")" | IF? names predicate     `PID-33 AND PID-34 VALUED`: a predicate is that of all names before it
 *   predicate   IS? NOT? (VALUED | EMPTY | EXIST | IN list | EQUALS? text or name) | COUNT or LENGTH, and a comparison with a number
 *
 * A name is a field (`PID-11.9`), a component (`CX.4`), a segment (`ORC`), or nothing: then the source of the row is meant.
 * What does not fit is not guessed at: `undefined`.
 */

export type Condition =
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Condition[] }
  | { readonly kind: 'not'; readonly part: Condition }
  | { readonly kind: 'valued'; readonly name: Name }
  | { readonly kind: 'in'; readonly name: Name; readonly values: readonly string[] }
  | { readonly kind: 'same'; readonly name: Name; readonly other: Name }
  | {
      readonly kind: 'number';
      readonly name: Name;
      readonly of: 'count' | 'length';
      readonly least: number;
      readonly most: number;
    };

/** `PID`, 11, 9; `CX`, 4; the source of the row where there is no head. */
export type Name = { readonly head: string; readonly first: number | undefined; readonly second: number | undefined };

const OWN: Name = { head: '', first: undefined, second: undefined };

type Token = { readonly kind: 'word' | 'text' | 'sign' | 'name' | 'number' | 'url'; readonly text: string };

const TOKENS: readonly (readonly [Token['kind'], RegExp])[] = [
  ['url', /^https?:\/\/\S+/],
  ['text', /^"([^"]*)"/],
  ['text', /^'([^']*)'/],
  ['name', /^[A-Z][A-Z0-9]{1,2}[-.]\d+(?:\.\d+)?/],
  ['number', /^\d+/],
  ['word', /^LST\.COUNT\b/i],
  ['word', /^[A-Za-z]\w*/],
  ['sign', /^(?:[(),]|[=<>])/],
];

/** Slips of the tables that have one meaning. */
const SLIPS: readonly (readonly [RegExp, string])[] = [
  [/\bPL3\.NOT\b/g, 'PL.3 NOT'],
  [/\bAREA NOT\b/g, 'NOT'],
  [/, X"\)/g, ', "X")'],
];

function tokensOf(text: string): Token[] | undefined {
  const tokens: Token[] = [];
  let rest = SLIPS.reduce((mended, [slip, meant]) => mended.replace(slip, meant), text).trim();
  while (rest !== '') {
    const found = TOKENS.map(([kind, pattern]) => ({ kind, match: pattern.exec(rest) })).find(
      ({ match }) => match !== null,
    );
    if (found?.match == null) return undefined;
    const [whole, inner] = found.match;
    tokens.push({ kind: found.kind, text: inner ?? whole });
    rest = rest.slice(whole.length).trimStart();
  }
  return tokens;
}

export function parseCondition(text: string): Condition | undefined {
  const tokens = tokensOf(text);
  if (tokens === undefined) return undefined;
  const parser = new ConditionParser(tokens);
  const condition = parser.any();
  return parser.isDone ? condition : undefined;
}

class ConditionParser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #last: Name = OWN;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** A closing parenthesis may be missing at the end. */
  get isDone(): boolean {
    return this.#at >= this.#tokens.length;
  }

  any(): Condition | undefined {
    const parts = [this.#all()];
    while (this.#word('OR')) parts.push(this.#all());
    return joined('any', parts);
  }

  #all(): Condition | undefined {
    const parts = [this.#one()];
    for (;;) {
      if (!this.#word('AND') && !this.#beginsOne()) return joined('all', parts);
      parts.push(this.#one());
    }
  }

  #beginsOne(): boolean {
    const next = this.#tokens[this.#at];
    return next?.kind === 'name';
  }

  #one(): Condition | undefined {
    this.#word('IF');
    if (this.#sign('(')) {
      const inner = this.any();
      this.#sign(')');
      return inner;
    }
    const names: Name[] = [this.#name()];
    let connector: 'all' | 'any' = 'all';
    for (;;) {
      const join = this.#joinsNames();
      if (join === undefined) break;
      connector = join;
      names.push(this.#name());
    }
    this.#last = names.at(-1) ?? OWN;
    const predicate = this.#predicate();
    if (predicate === undefined) return undefined;
    return joined(
      connector,
      names.map((name) => predicate(name)),
    );
  }

  /** After a name: AND or OR and another name, before any predicate. */
  #joinsNames(): 'all' | 'any' | undefined {
    const [word, next] = [this.#tokens[this.#at], this.#tokens[this.#at + 1]];
    if (word?.kind !== 'word' || next?.kind !== 'name') return undefined;
    const join = { AND: 'all', OR: 'any' } as const;
    const text = word.text.toUpperCase();
    const found = text === 'AND' || text === 'OR' ? join[text] : undefined;
    if (found !== undefined) this.#at += 1;
    return found;
  }

  #name(): Name {
    const token = this.#tokens[this.#at];
    if (token?.kind === 'name') {
      this.#at += 1;
      return nameOf(token.text);
    }
    // A segment by its name alone; other words in capitals belong to predicates.
    if (token?.kind === 'word' && /^(?:PID|ORC|OBR|OBX|PV1|TXA)$/.test(token.text)) {
      this.#at += 1;
      return { head: token.text, first: undefined, second: undefined };
    }
    return this.#last;
  }

  #predicate(): ((name: Name) => Condition) | undefined {
    const doesNot = this.#words('DOES', 'NOT');
    this.#word('IS');
    const isNot = this.#word('NOT') || doesNot;
    const positive = this.#positive();
    if (positive === undefined) return undefined;
    return isNot ? (name) => ({ kind: 'not', part: positive(name) }) : positive;
  }

  #positive(): ((name: Name) => Condition) | undefined {
    if (this.#word('EMPTY')) return (name) => ({ kind: 'not', part: { kind: 'valued', name } });
    if (this.#word('VALUED') || this.#word('VALUE') || this.#word('EXIST')) return this.#afterValued();
    if (this.#word('IN')) return this.#list();
    const measure =
      this.#word('LST.COUNT') || this.#word('COUNT') ? 'count' : this.#word('LENGTH') ? 'length' : undefined;
    if (measure !== undefined) return this.#number(measure);
    if (this.#word('EQUALS') || this.#word('EQUAL')) this.#word('TO');
    else this.#sign('=');
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'text') return undefined;
    this.#at += 1;
    return (name) => ({ kind: 'in', name, values: [token.text] });
  }

  /** `IS VALUED NOT EQUAL PID-12`. */
  #afterValued(): (name: Name) => Condition {
    if (!this.#words('NOT', 'EQUAL')) return (name) => ({ kind: 'valued', name });
    const other = this.#name();
    return (name) => ({
      kind: 'all',
      parts: [
        { kind: 'valued', name },
        { kind: 'not', part: { kind: 'same', name, other } },
      ],
    });
  }

  #list(): ((name: Name) => Condition) | undefined {
    const token = this.#tokens[this.#at];
    // A registry on the web: which systems are in it is a matter of settings, so that every valued one is.
    if (token?.kind === 'url') {
      this.#at += 1;
      return (name) => ({ kind: 'valued', name });
    }
    if (!this.#sign('(')) return undefined;
    const values: string[] = [];
    for (;;) {
      const value = this.#tokens[this.#at];
      if (value?.kind !== 'text') return undefined;
      values.push(value.text);
      this.#at += 1;
      if (this.#sign(')')) return (name) => ({ kind: 'in', name, values });
      if (!this.#sign(',')) return undefined;
    }
  }

  #number(of: 'count' | 'length'): ((name: Name) => Condition) | undefined {
    const comparison = this.#comparison();
    const token = this.#tokens[this.#at];
    if (comparison === undefined || token?.kind !== 'number') return undefined;
    this.#at += 1;
    const value = Number(token.text);
    const least = { equal: value, more: value + 1, 'at-most': 0 }[comparison];
    const most = { equal: value, more: Number.POSITIVE_INFINITY, 'at-most': value }[comparison];
    return (name) => ({ kind: 'number', name, of, least, most });
  }

  #comparison(): 'equal' | 'more' | 'at-most' | undefined {
    if (this.#words('GREATER', 'THAN') || this.#sign('>')) return 'more';
    if (this.#words('LESS', 'THAN', 'OR', 'EQUALS')) return 'at-most';
    if (this.#word('EQUALS') || this.#sign('=')) return 'equal';
    return undefined;
  }

  #word(text: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'word' || token.text.toUpperCase() !== text) return false;
    this.#at += 1;
    return true;
  }

  #words(...texts: readonly string[]): boolean {
    const found = texts.every((text, offset) => this.#tokens[this.#at + offset]?.text.toUpperCase() === text);
    if (found) this.#at += texts.length;
    return found;
  }

  #sign(text: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'sign' || token.text !== text) return false;
    this.#at += 1;
    return true;
  }
}

function nameOf(text: string): Name {
  const [, head = '', first, second] = /^([A-Z0-9]+)[-.](\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  return { head, first: Number(first), second: second === undefined ? undefined : Number(second) };
}

function joined(kind: 'all' | 'any', parts: readonly (Condition | undefined)[]): Condition | undefined {
  const known = parts.filter((part) => part !== undefined);
  if (known.length < parts.length) return undefined;
  return known.length === 1 ? known[0] : { kind, parts: known };
}

/** What a condition asks of a message. */
export type ConditionFacts = {
  /** The texts of its repetitions; none where it is not valued. */
  readonly texts: (name: Name) => readonly string[];
};

export function holds(condition: Condition, facts: ConditionFacts): boolean {
  switch (condition.kind) {
    case 'all':
      return condition.parts.every((part) => holds(part, facts));
    case 'any':
      return condition.parts.some((part) => holds(part, facts));
    case 'not':
      return !holds(condition.part, facts);
    case 'valued':
      return facts.texts(condition.name).length > 0;
    case 'in':
      return condition.values.includes(facts.texts(condition.name)[0] ?? '');
    case 'same':
      return facts.texts(condition.name)[0] === facts.texts(condition.other)[0];
    case 'number': {
      const texts = facts.texts(condition.name);
      const size = condition.of === 'count' ? texts.length : (texts[0]?.length ?? 0);
      return size >= condition.least && size <= condition.most;
    }
  }
}

/** Whether it says something of a source that is not valued, which a row with a fixed value may then follow. */
export function namesOwn(condition: Condition, own: Name): boolean {
  switch (condition.kind) {
    case 'all':
    case 'any':
      return condition.parts.some((part) => namesOwn(part, own));
    case 'not':
      return namesOwn(condition.part, own);
    default: {
      const { head, first, second } = condition.name;
      return head === '' || (head === own.head && first === own.first && second === own.second);
    }
  }
}
