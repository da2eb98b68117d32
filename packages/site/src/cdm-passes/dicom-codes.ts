/** Codes of DICOM objects by the names that FHIR has for their coding schemes (PS3.16 table 8-1), and moments as the CDM takes them. */
import type { CodedConcept, DataSet } from '@lantern/dicom';
import { textOf } from '@lantern/dicom';
import { CODING_SCHEME_PREFIX } from '@lantern/omop';
import type { FeatureCode } from '../omop-etl/archived-features.ts';

const SYSTEMS: Readonly<Record<string, string>> = {
  SCT: 'http://snomed.info/sct',
  DCM: 'http://dicom.nema.org/resources/ontology/DCM',
  LN: 'http://loinc.org',
  UCUM: 'http://unitsofmeasure.org',
};
/** Designators by which the codes of SNOMED RT were known over the years (PS3.16 8.1.1). */
const SNOMED_RT: ReadonlySet<string> = new Set(['SNM3', '99SDM']);
const CONTENT_DATE = 0x00080023;
const CONTENT_TIME = 0x00080033;

export function featureCode({ scheme, value }: CodedConcept): FeatureCode {
  const designator = SNOMED_RT.has(scheme) ? 'SRT' : scheme;
  const system = Object.hasOwn(SYSTEMS, designator) ? SYSTEMS[designator] : undefined;
  return { system: system ?? `${CODING_SCHEME_PREFIX}${designator}`, code: value };
}

/**
 * The concept as another qualifies it, such as a mean, or the right side: "112031:373098007". No vocabulary has such a code; a map of the
 * site's own may.
 */
export function qualifiedCode(concept: CodedConcept, qualifier: Pick<CodedConcept, 'value'>): FeatureCode {
  const { system, code } = featureCode(concept);
  return { system, code: `${code}:${qualifier.value}` };
}

/** When the content of an object was made, "2026-03-04 23:30:05"; undefined where it does not say so. */
export function contentMoment(dataSet: DataSet): string | undefined {
  const [, year, month, day] = /^(\d{4})(\d\d)(\d\d)$/.exec(textOf(dataSet, CONTENT_DATE) ?? '') ?? [];
  const [, hour = '00', minute = '00', second = '00'] =
    /^(\d\d)(?:(\d\d)(?:(\d\d))?)?/.exec(textOf(dataSet, CONTENT_TIME) ?? '') ?? [];
  const moment = `${year}-${month}-${day} ${hour}:${minute}:${second}`;
  const time = Date.parse(`${moment.replace(' ', 'T')}Z`);
  const isMoment = !Number.isNaN(time) && new Date(time).toISOString().startsWith(moment.replace(' ', 'T'));
  return year !== undefined && isMoment ? moment : undefined;
}
