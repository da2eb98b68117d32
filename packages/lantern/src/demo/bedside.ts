/**
 * One hospital deploys the model; its record system asks over CDS Hooks for held-back patients in the order of the file: the
 * first one, the first for whom the model is wrong, and the first again with a value missing and an impossible one. What the
 * clinician does is scripted, and what the site keeps of it is checked.
 */
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { AppError, type CdsCard, type CdsRequest, type RegisteredModelVersion, SITE_API } from '@lantern/contract';
import { SignJWT } from 'jose';
import { type Connection, connectTo } from '../cli/connection.ts';
import type { Story } from './demo.ts';
import type { DemoSite } from './federation.ts';
import { type HeldBackPatient, heldBackPatients, INVENTED } from './held-back-patient.ts';

const SERVICE = 'heart-disease';
const ISSUER = 'https://ehr.cleveland.example';

export async function bedsideChapter(story: Story, released: RegisteredModelVersion): Promise<void> {
  const { narrator, federation } = story;
  const [site] = federation.sites;
  if (site === undefined) throw new AppError('internal', 'There is no site.');
  narrator.chapter(`${site.hospital.siteName} puts the model to work and its record system asks (CDS Hooks 2.0)`);
  const deployment = await site.governance.api.call(SITE_API.deploy, {
    body: { modelVersionId: released.modelVersionId, serviceId: SERVICE, reason: 'Demonstration at one ward.' },
  });
  narrator.say(
    `Signature and site policy checked; ${deployment.model} version ${deployment.version} is ${deployment.state} at ${site.process.url}/cds-services/${SERVICE}`,
  );
  const asked = await askForPatients(story, site);
  narrator.fact('bedside', { deployment: { ...deployment, envelope: undefined }, ...asked });
}

async function askForPatients(story: Story, site: DemoSite): Promise<Record<string, unknown>> {
  const { narrator } = story;
  const ehr = await trustedEhr(site);
  const patients = await heldBackPatients(site.hospital);
  const [patient] = patients;
  if (patient === undefined) throw new AppError('dataset.invalid', `${site.hospital.siteName} has no test patient.`);
  narrator.say(
    `Patients are real ones of ${site.hospital.siteName}'s held-back rows, in the order of its file. Invented, because the file does not say them: ${INVENTED}.`,
  );
  const complete = await consult(ehr, request(patient));
  tellCard(story, `The first of ${patients.length} held-back patients whose record is complete`, complete);
  const first = await judge(story, ehr, { patient, card: complete });
  const wrong = first.isRight ? await firstWrong(ehr, patients) : undefined;
  if (wrong !== undefined) {
    narrator.say(
      `And the model is wrong at times. Of the same patients, number ${wrong.number} is the first for whom it is:`,
    );
    narrator.table(`[${wrong.card.indicator}] ${wrong.card.summary}`);
    await judge(story, ehr, wrong);
  }
  const observations = patient.observations.filter((one) => one.column !== 'chol');
  const incomplete = await consult(ehr, request({ ...patient, observations }));
  tellCard(story, 'The first patient again, without a cholesterol', incomplete);
  const impossible = await consult(ehr, request(withImpossiblePressure(patient)));
  tellCard(story, 'The first patient again, with an impossible blood pressure', impossible);
  await checkCards(site, { complete: first, incomplete, impossible });
  narrator.say('The site kept each answer and what the clinician said to it: lantern site consultations.');
  const cards = { complete, incomplete, impossible, ...(wrong === undefined ? {} : { wrong: wrong.card }) };
  return { cards, hadDisease: patient.hadDisease, numberOfFirstWrong: wrong?.number };
}

type Answered = { readonly patient: HeldBackPatient; readonly card: CdsCard };
type Judged = Answered & { readonly isRight: boolean };

const PERCENT_DECISIVE = 50; // as in the accuracy of the runs

function isRight({ patient, card }: Answered): boolean {
  const percent = /(\d+) ?%/.exec(card.summary)?.[1];
  if (percent === undefined) throw new AppError('internal', 'The card of a complete patient holds no probability.');
  return Number(percent) >= PERCENT_DECISIVE === patient.hadDisease;
}

/** Says what angiography showed, and does what the script lets the clinician do: accept what is right, override the rest. */
async function judge({ narrator }: Story, ehr: Ehr, answered: Answered): Promise<Judged> {
  const right = isRight(answered);
  const showed = `What angiography showed: ${answered.patient.hadDisease ? 'disease' : 'no disease'}; with ${PERCENT_DECISIVE} % as the line the model is ${right ? 'right' : 'WRONG'}.`;
  const does = right ? 'accepts the card' : 'overrides it: the answer is already known';
  narrator.say(`${showed} The clinician of this script, who knows it, ${does}.`);
  await feedBack(ehr, answered.card, right ? undefined : 'known-otherwise');
  return { ...answered, isRight: right };
}

async function firstWrong(
  ehr: Ehr,
  patients: readonly HeldBackPatient[],
): Promise<(Answered & { readonly number: number }) | undefined> {
  for (const [index, patient] of patients.entries()) {
    const card = await consult(ehr, request(patient));
    if (!isRight({ patient, card })) return { patient, card, number: index + 1 };
  }
  return undefined;
}

type Ehr = { readonly base: Connection; token(path: string): Promise<string> };

async function trustedEhr(site: DemoSite): Promise<Ehr> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const publicKeyPem = String(publicKey.export({ type: 'spki', format: 'pem' }));
  await site.admin.api.call(SITE_API.registerCdsClient, { body: { issuer: ISSUER, publicKeyPem, algorithm: 'EdDSA' } });
  return { base: site.admin, token: (path) => clientToken(privateKey, `${site.process.url}${path}`) };
}

/** CDS Hooks 2.0, "Trusting CDS Clients": a short-lived JWT for exactly this service. */
function clientToken(key: KeyObject, audience: string): Promise<string> {
  return new SignJWT({})
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT' })
    .setIssuer(ISSUER)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('2m')
    .setJti(randomUUID())
    .sign(key);
}

async function callAsEhr<T>(ehr: Ehr, path: string, call: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = connectTo({ url: ehr.base.url, token: await ehr.token(path) });
  try {
    return await call(connection);
  } finally {
    connection.http.close();
  }
}

async function consult(ehr: Ehr, body: CdsRequest): Promise<CdsCard> {
  const { cards } = await callAsEhr(ehr, `/cds-services/${SERVICE}`, ({ api }) =>
    api.call(SITE_API.cdsCall, { params: { serviceId: SERVICE }, body }),
  );
  const [card] = cards;
  if (card === undefined) throw new AppError('internal', 'The service answered without a card.');
  return card;
}

/** `overriddenBecause`: code of an override reason that the card offers; without one the card was accepted. */
async function feedBack(ehr: Ehr, card: CdsCard, overriddenBecause?: string): Promise<void> {
  const said = { card: card.uuid, outcomeTimestamp: new Date().toISOString() };
  const reason = card.overrideReasons?.find(({ code }) => code === overriddenBecause);
  if (overriddenBecause !== undefined && reason === undefined)
    throw new AppError('internal', `The card offers no override reason ${overriddenBecause}.`);
  const feedback =
    reason === undefined
      ? { ...said, outcome: 'accepted' as const }
      : {
          ...said,
          outcome: 'overridden' as const,
          overrideReason: { reason: { code: reason.code, system: reason.system } },
        };
  await callAsEhr(ehr, `/cds-services/${SERVICE}/feedback`, ({ api }) =>
    api.call(SITE_API.cdsFeedback, { params: { serviceId: SERVICE }, body: { feedback: [feedback] } }),
  );
}

function request(patient: HeldBackPatient): CdsRequest {
  return {
    hook: 'patient-view',
    hookInstance: randomUUID(),
    context: { userId: 'Practitioner/demo', patientId: patient.patientId },
    prefetch: patient.prefetch(patient.observations),
  };
}

function withImpossiblePressure(patient: HeldBackPatient): HeldBackPatient {
  return {
    ...patient,
    observations: patient.observations.map((one) =>
      one.column === 'trestbps' ? { ...one, value: { quantity: 1300, unit: 'mm[Hg]' } } : one,
    ),
  };
}

function tellCard({ narrator }: Story, title: string, card: CdsCard): void {
  narrator.say(`${title}:`);
  narrator.table([`[${card.indicator}] ${card.summary}`, '', ...(card.detail ?? '').split('\n')].join('\n'));
}

async function checkCards(
  site: DemoSite,
  cards: { complete: Judged; incomplete: CdsCard; impossible: CdsCard },
): Promise<void> {
  const { consultations } = await site.admin.api.call(SITE_API.listConsultations, {});
  const results = new Map(consultations.map((one) => [one.cardUuid, one]));
  const complete = results.get(cards.complete.card.uuid);
  const right =
    complete?.result === 'risk' &&
    complete.outcome === (cards.complete.isRight ? 'accepted' : 'overridden') &&
    results.get(cards.incomplete.uuid)?.result === 'input-missing' &&
    results.get(cards.impossible.uuid)?.result === 'input-impossible';
  if (!right) throw new AppError('internal', 'The site did not keep what it answered and what the clinician said.');
}
