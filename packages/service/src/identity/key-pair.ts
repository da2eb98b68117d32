/**
 * The Ed25519 key of a hub or a site. It is made on the machine it identifies and its private half never leaves it.
 *
 * `keyId` is the RFC 7638 thumbprint of the key's JWK (RFC 8037 form: crv, kty, x), so an id cannot be claimed for another
 * key, and both ends compute it for themselves.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { AppError } from '@lantern/contract';
import { createSecretFile, readSecretFile } from './secret-file.ts';

export type PublicKey = { readonly keyId: string; readonly publicKeyPem: string; readonly publicKey: KeyObject };
export type KeyPair = PublicKey & { readonly privateKey: KeyObject };

function describePublic(publicKey: KeyObject): PublicKey {
  const { crv, kty, x } = publicKey.export({ format: 'jwk' });
  const keyId = createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url');
  return { keyId, publicKey, publicKeyPem: publicKey.export({ format: 'pem', type: 'spki' }).toString() };
}

/** Reads an Ed25519 public key from SPKI PEM; anything else is `input.invalid`. */
export function publicKeyFromPem(pem: string): PublicKey {
  let publicKey: KeyObject;
  try {
    if (!pem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----')) throw new TypeError('not an SPKI public key');
    publicKey = createPublicKey(pem);
  } catch (cause) {
    throw new AppError('input.invalid', 'The public key is not PEM (SPKI).', { field: '/publicKeyPem', cause });
  }
  if (publicKey.asymmetricKeyType !== 'ed25519') {
    throw new AppError('input.invalid', 'The public key is not an Ed25519 key.', { field: '/publicKeyPem' });
  }
  return describePublic(publicKey);
}

/** Makes a new key pair in memory; `loadOrCreateKeyPair` is what a process uses. */
export function generateKeyPair(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  return { ...describePublic(publicKey), privateKey };
}

function keyPairFromPem(pem: string, file: string): KeyPair {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch (cause) {
    throw new AppError('set-up.failed', `The key file ${file} is not a private key in PEM (PKCS#8).`, { cause });
  }
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new AppError('set-up.failed', `The key in ${file} is not an Ed25519 key.`);
  }
  return { ...describePublic(createPublicKey(privateKey)), privateKey };
}

/** The key in `file`, as below, but none is made: `undefined` when no file is there. */
export async function loadKeyPair(file: string): Promise<KeyPair | undefined> {
  const present = await readSecretFile(file);
  return present === undefined ? undefined : keyPairFromPem(present, file);
}

/**
 * Loads the key in `file` (Ed25519, PKCS#8 PEM, mode 600) or makes one there. The folder must exist. Of several processes
 * that race on a new file all load the same key. Errors: `set-up.failed` for a file that others may read or that holds
 * no such key.
 */
export async function loadOrCreateKeyPair(file: string): Promise<KeyPair> {
  const present = await loadKeyPair(file);
  if (present !== undefined) return present;
  const { privateKey } = generateKeyPairSync('ed25519');
  await createSecretFile(file, privateKey.export({ format: 'pem', type: 'pkcs8' }).toString());
  const written = await readSecretFile(file);
  if (written === undefined) throw new AppError('set-up.failed', `The key file ${file} vanished while it was made.`);
  return keyPairFromPem(written, file);
}
