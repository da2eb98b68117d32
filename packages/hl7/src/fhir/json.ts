/**
 * FHIR's JSON, read and written without loss.
 *
 * A decimal keeps its digits: 1.10 is not 1.1 (R4 2.24.0.1), and an integer may pass 2^53. `JSON.parse` makes a double of both. Here a
 * number whose double is written the same way again is that double; any other becomes `JSON.rawJSON` of its text, which
 * `JSON.stringify` writes as it was. So a resource is plain data, most of its numbers are numbers, and whatever is not touched leaves
 * as it came. `numberText` and `numberOf` read both kinds.
 *
 * Also refused, because two readers of such a text may disagree about what it says: a name that stands twice in an object, and half
 * of a surrogate pair. Limits are the caller's.
 */
import { Hl7Error } from '../hl7-error.ts';

/** What `JSON.rawJSON` gives: the text of a number that no double says. */
export interface RawNumber {
  readonly rawJSON: string;
}
export type JsonObject = { [name: string]: JsonValue };
export type JsonValue = string | number | boolean | null | RawNumber | JsonValue[] | JsonObject;

declare global {
  interface JSON {
    rawJSON(text: string): { readonly rawJSON: string };
    isRawJSON(value: unknown): value is { readonly rawJSON: string };
  }
}

export type JsonLimits = {
  /** Characters of the text. */
  readonly lengthMax: number;
  /** Objects and arrays within each other. */
  readonly depthMax: number;
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;

/** Digits that every double of this length gives back. */
const EXACT_DIGITS = 15;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/** Throws `malformed` or `limit`; the message gives the position, never the text. */
export function parseJson(text: string, limits: JsonLimits): JsonValue {
  if (text.length > limits.lengthMax) {
    throw new Hl7Error('limit', `The JSON is longer than ${limits.lengthMax} characters.`);
  }
  if (!text.isWellFormed()) throw new Hl7Error('malformed', 'The JSON has half of a surrogate pair.');
  return new Reader(text, limits.depthMax).document();
}

/** As it came: see the head of this file. */
export function writeJson(value: unknown): string {
  return JSON.stringify(value);
}

export function isJsonObject(value: unknown): value is JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.getPrototypeOf(value) !== null || !JSON.isRawJSON(value); // a raw number has no prototype, and asking is dear
}

export function isRawNumber(value: unknown): value is RawNumber {
  return JSON.isRawJSON(value);
}

/** The digits of a number as they were written; `undefined` for anything else. */
export function numberText(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return JSON.isRawJSON(value) ? value.rawJSON : undefined;
}

/** The nearest double. */
export function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  return JSON.isRawJSON(value) ? Number(value.rawJSON) : undefined;
}

/**
 * The names of an object as far as it has been read, in their order. Resources of a type hold the same names in the same order, so
 * the name that came next the last time is compared with the text in place: no text is cut out, and as the names on the way to a
 * shape differ, none needs to be looked for twice.
 */
type Shape = { readonly name: string; next: Shape | undefined; readonly others: Map<string, Shape> };

const newShape = (name: string): Shape => ({ name, next: undefined, others: new Map() });

/** Those of FHIR are some thousands; who makes up more has them forgotten. */
const SHAPE_COUNT_MAX = 20_000;
const shapes = { root: newShape(''), count: 0 };

/** The shape after `name`; undefined: a name that is written with escapes. */
function shapeAfter(shape: Shape, name: string): Shape | undefined {
  if (name.includes('"') || name.includes('\\')) return undefined;
  if (shapes.count >= SHAPE_COUNT_MAX) {
    shapes.root = newShape('');
    shapes.count = 0;
  }
  shapes.count += 1;
  const next = newShape(Buffer.from(name).toString()); // its own text: a part would keep the whole document in memory
  shape.others.set(next.name, next);
  return next;
}

/** One position that moves over a text. */
class Reader {
  readonly #text: string;
  /** The text as an array: reading a unit of a string looks at how the string is kept, each time. */
  readonly #units: Uint16Array;
  readonly #depthMax: number;
  #at = 0;
  #depth = 0;

  constructor(text: string, depthMax: number) {
    this.#text = text;
    this.#units = new Uint16Array(text.length + 1); // 0 after the end
    Buffer.from(this.#units.buffer).write(text, 'utf16le');
    this.#depthMax = depthMax;
  }

  document(): JsonValue {
    if (this.#units[0] === 0xfeff) this.#at = 1; // a byte order mark, which some systems of hospitals write
    this.#space();
    const value = this.#value();
    this.#space();
    if (this.#at < this.#text.length) throw this.#fault('something follows its end');
    return value;
  }

  #value(): JsonValue {
    const code = this.#units[this.#at];
    switch (code) {
      case QUOTE:
        return this.#string();
      case BRACE_OPEN:
        return this.#object();
      case BRACKET_OPEN:
        return this.#array();
      case 0x74:
        return this.#word('true', true);
      case 0x66:
        return this.#word('false', false);
      case 0x6e:
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #space(): void {
    const units = this.#units;
    let at = this.#at;
    for (;;) {
      const code = units[at];
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
      at += 1;
    }
    this.#at = at;
  }

  #enter(): void {
    this.#depth += 1;
    this.#at += 1;
    if (this.#depth > this.#depthMax) {
      throw new Hl7Error('limit', `The JSON nests deeper than ${this.#depthMax} levels.`);
    }
    this.#space();
  }

  #object(): JsonObject {
    this.#enter();
    const object: JsonObject = {};
    if (this.#units[this.#at] === BRACE_CLOSE) return this.#leave(object);
    let shape: Shape | undefined = shapes.root;
    for (;;) {
      if (this.#units[this.#at] !== QUOTE) throw this.#fault('a name in quotes is expected');
      let name: string;
      const guess: Shape | undefined = shape?.next;
      if (guess !== undefined && this.#skipName(guess.name)) {
        name = guess.name;
        shape = guess;
      } else {
        name = this.#string();
        shape = this.#next(object, shape, name);
      }
      this.#space();
      if (this.#units[this.#at] !== COLON) throw this.#fault('":" is expected');
      this.#at += 1;
      this.#space();
      object[name] = this.#value();
      this.#space();
      const code = this.#units[this.#at];
      if (code === BRACE_CLOSE) return this.#leave(object);
      if (code !== COMMA) throw this.#fault('"," or "}" is expected');
      this.#at += 1;
      this.#space();
    }
  }

  /** Whether `name` in its quotes stands here; then it is passed. */
  #skipName(name: string): boolean {
    const units = this.#units;
    const start = this.#at + 1;
    const { length } = name;
    for (let index = 0; index < length; index += 1) {
      if (units[start + index] !== name.charCodeAt(index)) return false;
    }
    if (units[start + length] !== QUOTE) return false;
    this.#at = start + length + 1;
    return true;
  }

  /** The shape of `object` with one more name; undefined where none is kept. */
  #next(object: JsonObject, shape: Shape | undefined, name: string): Shape | undefined {
    const known = shape?.others.get(name);
    if (known === undefined) {
      // `__proto__` would set the prototype of a plain object; no element of FHIR has such a name.
      if (name === '__proto__') throw this.#fault('a name is not allowed');
      if (Object.hasOwn(object, name)) throw this.#fault('a name stands twice in an object');
    }
    const next = known ?? (shape === undefined ? undefined : shapeAfter(shape, name));
    if (shape !== undefined) shape.next = next;
    return next;
  }

  #array(): JsonValue[] {
    this.#enter();
    const items: JsonValue[] = [];
    if (this.#units[this.#at] === BRACKET_CLOSE) return this.#leave(items);
    for (;;) {
      items.push(this.#value());
      this.#space();
      const code = this.#units[this.#at];
      if (code === BRACKET_CLOSE) return this.#leave(items);
      if (code !== COMMA) throw this.#fault('"," or "]" is expected');
      this.#at += 1;
      this.#space();
    }
  }

  #leave<T>(value: T): T {
    this.#at += 1;
    this.#depth -= 1;
    return value;
  }

  #word<T extends JsonValue>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#fault('a value is expected');
    this.#at += word.length;
    return value;
  }

  /** From quote to quote. One with an escape or a control character is left to `JSON.parse`, which knows all of them. */
  #string(): string {
    const units = this.#units;
    const start = this.#at + 1;
    let at = start;
    for (;;) {
      const code = units[at];
      if (code === QUOTE) break;
      if (code === undefined || code === BACKSLASH || code < 0x20) return this.#escaped(start);
      at += 1;
    }
    this.#at = at + 1;
    return this.#text.slice(start, at);
  }

  #escaped(start: number): string {
    let at = start;
    for (;;) {
      const code = this.#units[at];
      if (code === QUOTE) break;
      if (at >= this.#text.length) throw this.#fault('a text has no end');
      at += code === BACKSLASH ? 2 : 1;
    }
    let value: unknown;
    try {
      value = JSON.parse(this.#text.slice(start - 1, at + 1));
    } catch {
      throw this.#fault('a text has an escape or a control character that JSON does not allow');
    }
    if (typeof value !== 'string' || !value.isWellFormed()) throw this.#fault('a text has half of a surrogate pair');
    this.#at = at + 1;
    return value;
  }

  #number(): number | RawNumber {
    NUMBER.lastIndex = this.#at;
    const text = NUMBER.exec(this.#text)?.[0];
    if (text === undefined) throw this.#fault('a value is expected');
    this.#at += text.length;
    const value = Number(text);
    if (text.length <= EXACT_DIGITS && Number.isInteger(value) && String(value) === text) return value;
    return String(value) === text ? value : JSON.rawJSON(text);
  }

  #fault(what: string): Hl7Error {
    return new Hl7Error('malformed', `This is not JSON: at character ${this.#at}, ${what}.`);
  }
}
