/** What FHIR R4 says of the elements that HL7's tables of v2 speak of: read from the generated lines, once, when it is first asked. */
import { FHIR_ELEMENTS } from '../generated/fhir-elements.ts';

export type ElementModel = {
  /** Name in JSON: `valueQuantity` for a choice. */
  readonly name: string;
  /** Of a choice: the name it has in the definition. */
  readonly choice: string | undefined;
  readonly isList: boolean;
  readonly isNeeded: boolean;
  /** A data type, `Reference`, or the path of a backbone element such as `Encounter.location`. */
  readonly type: string;
  /** Of a required binding; empty where any code may stand. */
  readonly codes: readonly string[];
};

type Line = {
  readonly name: string;
  readonly isChoice: boolean;
  readonly isList: boolean;
  readonly isNeeded: boolean;
  readonly types: readonly string[];
  readonly codes: readonly string[];
};

const LINE = /^([A-Za-z]+)(\[x\])?(\*)?(!)?:([^=]*)(?:=(.*))?$/;

const read = new Map<string, readonly Line[]>();

function linesOf(type: string): readonly Line[] {
  const known = read.get(type);
  if (known !== undefined) return known;
  const lines = (FHIR_ELEMENTS[type] ?? []).map(readLine).filter((line) => line !== undefined);
  read.set(type, lines);
  return lines;
}

function readLine(text: string): Line | undefined {
  const match = LINE.exec(text);
  if (match === null) return undefined;
  const [, name = '', choice, list, needed, types = '', codes = ''] = match;
  return {
    name,
    isChoice: choice !== undefined,
    isList: list !== undefined,
    isNeeded: needed !== undefined,
    types: types.split(',').map((type) => type.replace('@', '')),
    codes: codes === '' ? [] : codes.split(','),
  };
}

/** Whether it has elements; else it is a primitive. */
export function isComplex(type: string): boolean {
  return FHIR_ELEMENTS[type] !== undefined;
}

/** Whether its parts stand for themselves: a period or a group of elements, and not a value such as a code or a quantity. */
export function isMergedInside(type: string): boolean {
  return type === 'Period' || (type.includes('.') && isComplex(type));
}

export function elementOf(type: string, name: string): ElementModel | undefined {
  for (const line of linesOf(type)) {
    if (!line.isChoice && line.name === name) return modelOf(line, line.types[0] ?? '');
    const chosen = line.isChoice && name.startsWith(line.name) ? choiceType(line, name) : undefined;
    if (chosen !== undefined) return modelOf(line, chosen);
  }
  return undefined;
}

function choiceType({ name: base, types }: Line, name: string): string | undefined {
  const suffix = name.slice(base.length);
  return types.find((type) => capital(type) === suffix);
}

function modelOf(line: Line, type: string): ElementModel {
  const { name, isChoice, isList, isNeeded, codes } = line;
  return {
    name: isChoice ? name + capital(type) : name,
    choice: isChoice ? name : undefined,
    isList,
    isNeeded,
    type,
    codes,
  };
}

/** `medicationReference` of `medication[x]`, where only one of its types can be meant. */
export function choiceOf(type: string, base: string, wanted: string): ElementModel | undefined {
  const line = linesOf(type).find((one) => one.isChoice && one.name === base);
  return line?.types.includes(wanted) === true ? modelOf(line, wanted) : undefined;
}

/** Elements that may not be absent; of a choice, one that can hold a reason for its absence. */
export function neededElements(type: string): ElementModel[] {
  return linesOf(type)
    .filter(({ isNeeded }) => isNeeded)
    .map((line) => modelOf(line, line.types.find((one) => one === 'CodeableConcept') ?? line.types[0] ?? ''));
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
