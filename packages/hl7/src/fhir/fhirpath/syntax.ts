/**
 * FHIRPath (N1 normative, 2.0.0) as far as the rules of FHIR R4 need it: from text to a tree.
 *
 * Precedence climbs as in the grammar of the specification, from `implies`, which binds least, to invocation. Calendar arithmetic,
 * literals of dates and quantities, and aggregates are not read: such an expression is refused with `unsupported`.
 */
import { Hl7Error } from '../../hl7-error.ts';

export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean }
  | { readonly kind: 'empty' }
  | { readonly kind: 'this' }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'member'; readonly of: Expression | undefined; readonly name: string }
  | {
      readonly kind: 'call';
      readonly of: Expression | undefined;
      readonly name: string;
      readonly args: readonly Expression[];
    }
  | { readonly kind: 'index'; readonly of: Expression; readonly at: Expression }
  | { readonly kind: 'type'; readonly operator: 'is' | 'as'; readonly of: Expression; readonly type: string }
  | { readonly kind: 'negative'; readonly of: Expression }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression };

type Token = { readonly kind: 'name' | 'quoted' | 'string' | 'number' | 'variable' | 'symbol'; readonly text: string };

/** No rule of the standard is a tenth as long. */
const EXPRESSION_LENGTH_MAX = 10_000;
const DEPTH_MAX = 100;

const TOKEN =
  /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|(?<name>[A-Za-z_][A-Za-z0-9_]*)|`(?<quoted>(?:[^`\\]|\\.)*)`|'(?<string>(?:[^'\\]|\\[\s\S])*)'|(?<number>\d+(?:\.\d+)?)|(?<variable>%(?:[A-Za-z_][A-Za-z0-9_-]*|`[^`]*`|'[^']*'))|(?<symbol>\$this|\$index|<=|>=|!=|!~|[-+*/&|=~<>().,[\]{}])/y;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f' };

/** Loosest first. */
const LEVELS: readonly (readonly string[])[] = [
  ['implies'],
  ['or', 'xor'],
  ['and'],
  ['in', 'contains'],
  ['=', '~', '!=', '!~'],
  ['<=', '<', '>', '>='],
  ['|'],
  ['is', 'as'],
  ['+', '-', '&'],
  ['*', '/', 'div', 'mod'],
];

/** Throws `unsupported`, naming the place. */
export function parseExpression(text: string): Expression {
  if (text.length > EXPRESSION_LENGTH_MAX) throw new Hl7Error('limit', 'A FHIRPath expression is too long.');
  return new Parser(tokensOf(text)).whole();
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const groups = TOKEN.exec(text)?.groups;
    if (TOKEN.lastIndex === 0 && groups === undefined) {
      throw new Hl7Error('unsupported', `FHIRPath: nothing that is read here begins at character ${at}.`);
    }
    const { name, quoted, string, number, variable, symbol } = groups ?? {};
    if (name !== undefined) tokens.push({ kind: 'name', text: name });
    else if (quoted !== undefined) tokens.push({ kind: 'quoted', text: unescaped(quoted) });
    else if (string !== undefined) tokens.push({ kind: 'string', text: unescaped(string) });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number });
    else if (variable !== undefined) tokens.push({ kind: 'variable', text: variable.slice(1).replaceAll(/[`']/g, '') });
    else if (symbol !== undefined) tokens.push({ kind: 'symbol', text: symbol });
  }
  return tokens;
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|([\s\S]))/g, (_, hex: string | undefined, char: string) =>
    hex === undefined ? (ESCAPES[char] ?? char) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Expression {
    const expression = this.#level(0);
    if (this.#at < this.#tokens.length) throw this.#fault('an operator');
    return expression;
  }

  #peek(...texts: string[]): string | undefined {
    const token = this.#tokens[this.#at];
    const isWord = token?.kind === 'symbol' || token?.kind === 'name';
    return isWord && texts.includes(token.text) ? token.text : undefined;
  }

  #take(text: string): void {
    if (this.#peek(text) === undefined) throw this.#fault(`"${text}"`);
    this.#at += 1;
  }

  #level(level: number): Expression {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#unary();
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX * LEVELS.length) throw new Hl7Error('limit', 'A FHIRPath expression nests too deep.');
    let left = this.#level(level + 1);
    for (let operator = this.#peek(...operators); operator !== undefined; operator = this.#peek(...operators)) {
      this.#at += 1;
      if (operator === 'is' || operator === 'as') left = { kind: 'type', operator, of: left, type: this.#typeName() };
      else left = { kind: 'binary', operator, left, right: this.#level(level + 1) };
    }
    this.#depth -= 1;
    return left;
  }

  #unary(): Expression {
    const sign = this.#peek('-', '+');
    if (sign === undefined) return this.#postfix();
    this.#at += 1;
    const of = this.#unary();
    return sign === '-' ? { kind: 'negative', of } : of;
  }

  #typeName(): string {
    const parts = [this.#name()];
    while (this.#peek('.') !== undefined) {
      this.#at += 1;
      parts.push(this.#name());
    }
    return parts.join('.');
  }

  #name(): string {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'name' && token?.kind !== 'quoted') throw this.#fault('a name');
    this.#at += 1;
    return token.text;
  }

  #postfix(): Expression {
    let expression = this.#term();
    for (;;) {
      if (this.#peek('.') !== undefined) {
        this.#at += 1;
        expression = this.#peek('$this') === undefined ? this.#invocation(expression) : this.#term();
      } else if (this.#peek('[') !== undefined) {
        this.#at += 1;
        expression = { kind: 'index', of: expression, at: this.#level(0) };
        this.#take(']');
      } else return expression;
    }
  }

  #invocation(of: Expression | undefined): Expression {
    const name = this.#name();
    if (this.#peek('(') === undefined) return { kind: 'member', of, name };
    this.#at += 1;
    const args: Expression[] = [];
    while (this.#peek(')') === undefined) {
      if (args.length > 0) this.#take(',');
      args.push(this.#level(0));
    }
    this.#at += 1;
    return { kind: 'call', of, name, args };
  }

  #term(): Expression {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw this.#fault('a term');
    if (token.kind === 'quoted') return this.#invocation(undefined);
    if (token.kind === 'name' && token.text !== 'true' && token.text !== 'false') return this.#invocation(undefined);
    this.#at += 1;
    switch (token.kind) {
      case 'string':
        return { kind: 'literal', value: token.text };
      case 'number':
        return { kind: 'literal', value: Number(token.text) };
      case 'variable':
        return { kind: 'variable', name: token.text };
      case 'name':
        return { kind: 'literal', value: token.text === 'true' };
      default:
        return this.#symbol(token.text);
    }
  }

  #symbol(symbol: string): Expression {
    if (symbol === '$this') return { kind: 'this' };
    if (symbol === '{') {
      this.#take('}');
      return { kind: 'empty' };
    }
    if (symbol !== '(') throw this.#fault('a term');
    const inner = this.#level(0);
    this.#take(')');
    return inner;
  }

  #fault(expected: string): Hl7Error {
    return new Hl7Error('unsupported', `FHIRPath: ${expected} is expected at token ${this.#at + 1}.`);
  }
}
