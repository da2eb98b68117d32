/**
 * Whether the time to an answer tells nobody from a few patients (1 to 9), both of which are suppressed. The asker is the hub itself,
 * which sees more than any researcher: from the moment it hands a question to a site to the moment it has the signed answer, over real
 * sockets, with the site's databases behind it. Questions come in a random order, so that both kinds meet the same machine.
 *
 *   npm run bench -- disclosure-timing [--patients 200000] [--persons 20000] [--wordings 200]
 *     [--part at-once | as-it-comes] [--place cohort]
 *
 * First a site that answers at once (`questionMsMin` 0), where one threshold guesses from one time and from the mean of several, since
 * asking again is free: what there is to be seen. Then a site as it comes. A control of other work says that the attacker can see.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { loadConfig, newId } from '@lantern/service';
import { SiteConfigSchema } from '@lantern/site';
import { RecordsSite } from '../../packages/site/test/records-site.ts';
import { seededRandom } from '../../packages/site/test/seeded-random.ts';
import { medianOf, report } from '../measurement.ts';
import { cdmStatements, datasetCsv, type Kind, type Place, placesOf, type Question, SCHEMA } from './questions.ts';
import { areaInterval, areaOf, heldOutAccuracy, shuffled, type TwoKinds } from './threshold-attack.ts';

const AREA_MAX = 0.6;
const WARM_UP_COUNT = 10;
/** What a site does after an answer must not meet the next question. */
const SETTLE_MS = 5;
/** The setting that a site has if nobody says otherwise. */
const { questionMsMin: QUESTION_MS_MIN } = loadConfig({
  schema: SiteConfigSchema,
  env: {},
  prefix: '',
  overrides: { dataDir: 'none' },
});
const SEED = 20_261_128;

const AT_ONCE_WORDING_COUNT = 60;
const AT_ONCE_ROUND_COUNT = 3;

const { values } = parseArgs({
  options: {
    patients: { type: 'string', default: '200000' },
    persons: { type: 'string', default: '20000' },
    wordings: { type: 'string', default: '200' },
    part: { type: 'string' },
    place: { type: 'string', default: '' },
  },
});
const PATIENT_COUNT = Number(values.patients);
const PERSON_COUNT = Number(values.persons);
const WORDING_COUNT = Number(values.wordings);

const random = seededRandom(SEED);

/** Times of a question, asked over and over [ms]. */
type Timed = { readonly kind: Kind; readonly question: Question; readonly ms: number[] };

async function ask(asker: RecordsSite, question: Question): Promise<number> {
  await asker.refill(); // the same budget before each question, outside the time
  const head = { ...asker.head(), taskId: newId('TaskId') };
  const begin = performance.now();
  const { kind } = await asker.send({ ...head, ...question });
  const ms = performance.now() - begin;
  if (kind !== question.kind) throw new Error(`the site answered ${kind}`);
  await delay(SETTLE_MS);
  return ms;
}

type Setting = { readonly name: string; readonly roundCount: number; readonly isPromised: boolean };

async function measure(asker: RecordsSite, place: Place, setting: Setting): Promise<void> {
  const all: Timed[] = (['nobody', 'few', 'many'] as const).flatMap((kind) =>
    place.questions[kind].map((question) => ({ kind, question, ms: [] })),
  );
  for (const { question } of shuffled(all, random).slice(0, WARM_UP_COUNT)) await ask(asker, question);
  for (let index = 0; index < setting.roundCount; index += 1) {
    for (const timed of shuffled(all, random)) timed.ms.push(await ask(asker, timed.question));
  }
  reportPlace(`${setting.name}: ${place.name}`, all, setting);
}

function reportPlace(place: string, all: readonly Timed[], { roundCount, isPromised }: Setting): void {
  const timesOf = (kind: Kind) => all.filter((one) => one.kind === kind).flatMap(({ ms }) => ms);
  const meansOf = (kind: Kind) =>
    all.filter((one) => one.kind === kind).map(({ ms }) => ms.reduce((sum, one) => sum + one, 0) / ms.length);
  const [nobody, few, many] = [timesOf('nobody'), timesOf('few'), timesOf('many')];
  const facts = {
    'nobody, median [ms]': rounded(medianOf(nobody)),
    'few, median [ms]': rounded(medianOf(few)),
    patients: PATIENT_COUNT,
    persons: PERSON_COUNT,
    seed: SEED,
  };
  reportAttack(`${place}, one time`, { nobody, other: few }, { facts, isPromised });
  if (roundCount > 1) {
    const means = { nobody: meansOf('nobody'), other: meansOf('few') };
    reportAttack(`${place}, mean of ${roundCount} times`, means, { facts, isPromised });
  }
  const control = { nobody, other: many };
  report({
    name: `${place}: control, many patients`,
    unit: 'AUC',
    median: rounded(areaOf(control)),
    spread: intervalOf(control),
    repetitionCount: nobody.length + many.length,
    facts: {
      'many, median [ms]': rounded(medianOf(many)),
      'held-out accuracy': rounded(heldOutAccuracy(control, random)),
    },
  });
}

/** `spread` is the middle 95 % of the area over samples drawn again. */
function reportAttack(
  name: string,
  kinds: TwoKinds,
  { facts, isPromised }: { readonly facts: Readonly<Record<string, number>>; readonly isPromised: boolean },
): void {
  const area = areaOf(kinds);
  const accuracy = heldOutAccuracy(kinds, random);
  report({
    name,
    unit: 'AUC',
    median: rounded(area),
    spread: intervalOf(kinds),
    repetitionCount: kinds.nobody.length + kinds.other.length,
    ...(isPromised
      ? {
          target: {
            text: `AUC and accuracy on the other half at most ${AREA_MAX}`,
            kept: area <= AREA_MAX && accuracy <= AREA_MAX,
          },
        }
      : {}),
    facts: { 'held-out accuracy': rounded(accuracy), ...facts },
  });
}

function intervalOf(kinds: TwoKinds): [number, number] {
  const [low, high] = areaInterval(kinds, random);
  return [rounded(low), rounded(high)];
}

function rounded(value: number): number {
  return Number(value.toFixed(3));
}

async function withSite(
  name: string,
  settings: { questionMsMin?: number },
  work: (asker: RecordsSite) => Promise<void>,
) {
  const asker = await RecordsSite.start('duckdb', name, { statements: cdmStatements(PERSON_COUNT), settings });
  try {
    const csv = datasetCsv(PATIENT_COUNT, random);
    await asker.site.register({ schema: SCHEMA, csv, feasibility: 'any-project' });
    await work(asker);
  } finally {
    await asker.close();
  }
}

const places = (wordingCount: number) => placesOf(wordingCount).filter(({ name }) => name.includes(values.place));

async function measureAtOnce(asker: RecordsSite): Promise<void> {
  const setting = { name: 'at once', roundCount: AT_ONCE_ROUND_COUNT, isPromised: false };
  for (const place of places(AT_ONCE_WORDING_COUNT)) await measure(asker, place, setting);
}

/** Answers that wait leave the site idle: three are asked for side by side, one of each place. */
async function measureAsItComes(asker: RecordsSite): Promise<void> {
  const setting = { name: 'as it comes', roundCount: 1, isPromised: true };
  await Promise.all(places(WORDING_COUNT).map((place) => measure(asker, place, setting)));
}

const { part } = values;
if (part !== 'as-it-comes') await withSite('bench-timing-at-once', { questionMsMin: 0 }, measureAtOnce);
if (part !== 'at-once')
  await withSite('bench-timing-as-it-comes', { questionMsMin: QUESTION_MS_MIN }, measureAsItComes);
