/** One criterion: `{"ConditionOccurrence": {…}}`. */
import { readFilters, readPeriod } from './circe-filters.ts';
import type { Criterion, DateAdjustment, Group } from './definition.ts';
import { DOMAINS, DOMAINS_REFUSED, domainOf, isDomainName } from './domains.ts';
import { JsonFields, refuse } from './json-fields.ts';

export function readCriterion(
  value: unknown,
  path: string,
  readGroup: (value: unknown, path: string) => Group,
): Criterion {
  const wrapper = new JsonFields(value, path);
  const names = Object.keys(value ?? {}).filter((name) => wrapper.has(name));
  const unknown = names.find((one) => !isDomainName(one));
  if (unknown !== undefined) {
    const reason = Object.hasOwn(DOMAINS_REFUSED, unknown) ? DOMAINS_REFUSED[unknown] : undefined;
    const known = `is no kind of event that is known here; they are ${Object.keys(DOMAINS).join(', ')}`;
    throw refuse(wrapper.pathOf(unknown), `${reason ?? known}.`);
  }
  const [name] = names;
  if (name === undefined || names.length > 1 || !isDomainName(name)) throw refuse(path, 'must name one kind of event.');
  const domain = domainOf(name);
  const fields = wrapper.required(name);
  const correlated = fields.take('CorrelatedCriteria');
  const criterion: Criterion = {
    domain: name,
    conceptSet: domain.concept === undefined ? undefined : fields.integer('CodesetId'),
    sourceConceptSet: domain.source === undefined ? undefined : fields.integer(domain.source.attribute),
    isFirst: domain.canBeFirst && fields.flag('First'),
    filters: readFilters(fields, domain.attributes),
    dateAdjustment: readAdjustment(fields.object('DateAdjustment')),
    userPeriod: domain.hasUserPeriod === true ? readPeriod(fields.object('UserDefinedPeriod')) : {},
    correlated: correlated === undefined ? undefined : readGroup(correlated, fields.pathOf('CorrelatedCriteria')),
  };
  fields.end();
  return criterion;
}

function readAdjustment(fields: JsonFields | undefined): DateAdjustment | undefined {
  if (fields === undefined) return undefined;
  const days = { START_DATE: 'start', END_DATE: 'end' } as const;
  const adjustment: DateAdjustment = {
    startFrom: fields.oneOf('StartWith', days, 'start'),
    startOffsetDays: fields.integer('StartOffset') ?? 0,
    endFrom: fields.oneOf('EndWith', days, 'end'),
    endOffsetDays: fields.integer('EndOffset') ?? 0,
  };
  fields.end();
  return adjustment;
}
