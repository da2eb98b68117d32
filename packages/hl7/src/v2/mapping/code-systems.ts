/** Code systems: what HL7 table 0396 calls them, and what FHIR does (HL7 Terminology, "Using codes with FHIR"). */

const URLS: Readonly<Record<string, string>> = {
  LN: 'http://loinc.org',
  SCT: 'http://snomed.info/sct',
  SNOMED: 'http://snomed.info/sct',
  UCUM: 'http://unitsofmeasure.org',
  RXNORM: 'http://www.nlm.nih.gov/research/umls/rxnorm',
  CVX: 'http://hl7.org/fhir/sid/cvx',
  MVX: 'http://terminology.hl7.org/CodeSystem/MVX',
  NDC: 'http://hl7.org/fhir/sid/ndc',
  C4: 'http://www.ama-assn.org/go/cpt',
  CPT4: 'http://www.ama-assn.org/go/cpt',
  I9: 'http://terminology.hl7.org/CodeSystem/icd9',
  I9C: 'http://hl7.org/fhir/sid/icd-9-cm',
  I9CDX: 'http://hl7.org/fhir/sid/icd-9-cm',
  I10: 'http://hl7.org/fhir/sid/icd-10',
  I10C: 'http://hl7.org/fhir/sid/icd-10-cm',
  ATC: 'http://www.whocc.no/atc',
  WC: 'http://www.whocc.no/atc',
  NCIT: 'http://ncithesaurus-stage.nci.nih.gov',
  CDCREC: 'urn:oid:2.16.840.1.113883.6.238',
  DCM: 'http://dicom.nema.org/resources/ontology/DCM',
  ISO3166_1: 'urn:iso:std:iso:3166',
  ISO639: 'urn:ietf:bcp:47',
  READ: 'http://read.info/readv2',
  CTV3: 'http://read.info/ctv3',
};

/** `local` is put before a name that nobody but its sender knows. */
export function codeSystemUrl(name: string, local: string): string {
  const trimmed = name.trim();
  const known = URLS[trimmed.toUpperCase()];
  if (known !== undefined) return known;
  const table = /^HL7?0*(\d{1,4})$/i.exec(trimmed.replace(/^HL70/i, 'HL7'))?.[1];
  if (table !== undefined) return `http://terminology.hl7.org/CodeSystem/v2-${table.padStart(4, '0')}`;
  if (/^\d+(?:\.\d+)+$/.test(trimmed)) return `urn:oid:${trimmed}`;
  if (/^[a-z][a-z0-9+.-]*:\S+$/i.test(trimmed)) return trimmed;
  return `${local}:code-system:${encodeURIComponent(trimmed)}`;
}
