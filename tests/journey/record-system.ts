/** A hospital's record system as a CDS client: it signs each request with a token of its own (CDS Hooks 2.0, "Trusting CDS Clients"). */
import { type KeyObject, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';

/** The answer's JSON. Throws an error with the status where the site refuses. */
export async function postAsRecordSystem(
  client: { readonly issuer: string; readonly key: KeyObject; readonly siteUrl: string },
  place: string,
  body: unknown,
): Promise<unknown> {
  const url = `${client.siteUrl}${place}`;
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT' })
    .setIssuer(client.issuer)
    .setAudience(url)
    .setIssuedAt()
    .setExpirationTime('2m')
    .setJti(randomUUID())
    .sign(client.key);
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${place} answered ${response.status}: ${await response.text()}`);
  return response.json();
}
