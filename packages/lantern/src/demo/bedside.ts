/**
 * One hospital deploys the model; its record system asks for one held-back patient over CDS Hooks, once complete and once
 * with a value missing; the clinician's answer is kept.
 */
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { AppError, type CdsCard, type CdsRequest, type RegisteredModelVersion, SITE_API } from '@lantern/contract';
import { SignJWT } from 'jose';
import { type Connection, connectTo } from '../cli/connection.ts';
import type { Story } from './demo.ts';
import type { DemoSite } from './federation.ts';
import { type HeldBackPatient, heldBackPatient } from './held-back-patient.ts';

const SERVICE = 'heart-disease';
const ISSUER = 'https://ehr.cleveland.example';

export async function bedsideChapter(story: Story, released: RegisteredModelVersion): Promise<void> {
  const { narrator, federation } = story;
  const [site] = federation.sites;
  if (site === undefined) throw new AppError('internal', 'There is no site.');
  narrator.chapter(
    `${site.hospital.siteName} puts the model to work and its record system asks for one patient (CDS Hooks 2.0)`,
  );
  const deployment = await site.governance.api.call(SITE_API.deploy, {
    body: { modelVersionId: released.modelVersionId, serviceId: SERVICE, reason: 'Demonstration at one ward.' },
  });
  narrator.say(
    `Signature and site policy checked; ${deployment.model} version ${deployment.version} is ${deployment.state} at ${site.process.url}/cds-services/${SERVICE}`,
  );
  const ehr = await trustedEhr(site);
  const patient = await heldBackPatient(site.hospital);
  const complete = await consult(ehr, request(patient));
  tellCard(story, 'A held-back patient, every input there', complete);
  narrator.say(
    `What angiography showed: ${patient.hadDisease ? 'disease' : 'no disease'} (the model never saw this patient).`,
  );
  await feedBack(ehr, complete);
  const incomplete = await consult(
    ehr,
    request({ ...patient, observations: patient.observations.filter((one) => one.column !== 'chol') }),
  );
  tellCard(story, 'The same patient without a cholesterol', incomplete);
  const impossible = await consult(ehr, request(withImpossiblePressure(patient)));
  tellCard(story, 'The same patient with an impossible blood pressure', impossible);
  await checkCards(site, { complete, incomplete, impossible });
  narrator.fact('bedside', {
    deployment: { ...deployment, envelope: undefined },
    cards: { complete, incomplete, impossible },
    hadDisease: patient.hadDisease,
  });
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

async function feedBack(ehr: Ehr, card: CdsCard): Promise<void> {
  await callAsEhr(ehr, `/cds-services/${SERVICE}/feedback`, ({ api }) =>
    api.call(SITE_API.cdsFeedback, {
      params: { serviceId: SERVICE },
      body: { feedback: [{ card: card.uuid, outcome: 'accepted', outcomeTimestamp: new Date().toISOString() }] },
    }),
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
  cards: { complete: CdsCard; incomplete: CdsCard; impossible: CdsCard },
): Promise<void> {
  const { consultations } = await site.admin.api.call(SITE_API.listConsultations, {});
  const results = new Map(consultations.map((one) => [one.cardUuid, one]));
  const complete = results.get(cards.complete.uuid);
  const right =
    complete?.result === 'risk' &&
    complete.outcome === 'accepted' &&
    results.get(cards.incomplete.uuid)?.result === 'input-missing' &&
    results.get(cards.impossible.uuid)?.result === 'input-impossible';
  if (!right) throw new AppError('internal', 'The site did not keep what it answered and what the clinician said.');
}
