/**
 * Test patients of the original file as the FHIR R4 resources a record system would prefetch. What the file does not say is
 * invented, and `INVENTED` says what, for the narration.
 */
import { randomUUID } from 'node:crypto';
import type { Coding, InputSource } from '@lantern/contract';
import { type Hospital, hospitalCsv } from './fixtures.ts';
import { INPUTS } from './heart-disease.ts';

type ObservationValue = { quantity: number; unit: string } | { coding: Coding };
export type DemoObservation = { readonly column: string; readonly code: Coding; readonly value: ObservationValue };

export type HeldBackPatient = {
  readonly patientId: string;
  readonly hadDisease: boolean;
  readonly observations: readonly DemoObservation[];
  prefetch(observations: readonly DemoObservation[]): Record<string, unknown>;
};

const FASTING_GLUCOSE = { high: 141, normal: 95 }; // the file only says whether it was above 120 mg/dL

export const INVENTED = `ids, the birth date (only the age is in the file), the dates of measurement (yesterday), and the fasting glucose: the file only says whether it was above 120 mg/dL, shown as ${FASTING_GLUCOSE.high} or ${FASTING_GLUCOSE.normal}`;

/** Every test patient whose record has all inputs, in the order of the file, whatever the outcome. */
export async function heldBackPatients(hospital: Hospital): Promise<HeldBackPatient[]> {
  const [header = '', ...lines] = (await hospitalCsv(hospital)).trim().split('\n');
  const names = header.split(',');
  const needed = INPUTS.map((input) => input.column);
  return lines
    .map((line) => new Map(line.split(',').map((value, index) => [names[index] ?? '', value])))
    .filter((row) => row.get('split') === 'test' && needed.every((column) => row.get(column) !== '?'))
    .map(patientOf);
}

function patientOf(row: ReadonlyMap<string, string>): HeldBackPatient {
  const patientId = `demo-${randomUUID().slice(0, 8)}`;
  const cell = (column: string): string => row.get(column) ?? '';
  const observations = INPUTS.flatMap((input) => observationOf(input, cell));
  const patient = {
    resourceType: 'Patient',
    id: patientId,
    gender: Number(cell('sex')) === 1 ? 'male' : 'female',
    birthDate: birthDate(Number(cell('age'))),
  };
  return {
    patientId,
    hadDisease: Number(cell('num')) > 0,
    observations,
    prefetch: (chosen) => ({ patient, observations: searchset(chosen, patientId) }),
  };
}

/** A birth date that makes the patient exactly this old today. */
function birthDate(age: number): string {
  const today = new Date();
  const date = new Date(Date.UTC(today.getUTCFullYear() - age, today.getUTCMonth(), today.getUTCDate() - 100));
  return date.toISOString().slice(0, 10);
}

function observationOf(input: InputSource, cell: (column: string) => string): DemoObservation[] {
  if (input.kind === 'patient-age' || input.kind === 'patient-gender') return [];
  const [code] = input.codings;
  if (code === undefined) return [];
  const text = cell(input.column);
  const head = { column: input.column, code };
  switch (input.kind) {
    case 'observation-quantity':
      return [{ ...head, value: { quantity: Number(text), unit: input.units[0]?.unit ?? '1' } }];
    case 'observation-threshold':
      return [
        {
          ...head,
          value: { quantity: Number(text) === 1 ? FASTING_GLUCOSE.high : FASTING_GLUCOSE.normal, unit: 'mg/dL' },
        },
      ];
    case 'observation-code': {
      const meaning = input.values.find((value) => Number(value.category) === Number(text));
      return meaning === undefined ? [] : [{ ...head, value: { coding: meaning.coding } }];
    }
  }
}

function searchset(observations: readonly DemoObservation[], patientId: string): unknown {
  const yesterday = new Date(Date.now() - 86_400_000).toISOString();
  return {
    resourceType: 'Bundle',
    type: 'searchset',
    entry: observations.map(({ code, value }) => ({
      resource: {
        resourceType: 'Observation',
        id: randomUUID(),
        status: 'final',
        code: { coding: [code] },
        subject: { reference: `Patient/${patientId}` },
        effectiveDateTime: yesterday,
        ...('quantity' in value
          ? {
              valueQuantity: {
                value: value.quantity,
                unit: value.unit,
                system: 'http://unitsofmeasure.org',
                code: value.unit,
              },
            }
          : { valueCodeableConcept: { coding: [value.coding] } }),
      },
    })),
  };
}
