/**
 * The Ed25519 key of a hub or a site. It is made on the machine it identifies and its private half never leaves it.
 *
 * Invariant: whoever reads the file finds either no key or a whole one, and only its owner may read it. A key file that
 * group or others may read is refused, because a key that somebody else may have copied proves nothing.
 *
 * `keyId` is the RFC 7638 thumbprint of the key's JWK (RFC 8037 form: crv, kty, x), so an id cannot be claimed for another
 * key, and both ends compute it for themselves.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { link, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError } from '@lantern/contract';

export type PublicKey = { readonly keyId: string; readonly publicKeyPem: string; readonly publicKey: KeyObject };
export type KeyPair = PublicKey & { readonly privateKey: KeyObject };

const KEY_FILE_MODE = 0o600;
const KEY_FILE_BYTES_MAX = 4096; // a PKCS#8 Ed25519 key is about 120 bytes
const GROUP_AND_OTHERS = 0o077;

function hasCode(caught: unknown, code: string): boolean {
  return caught instanceof Error && 'code' in caught && caught.code === code;
}

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

async function readKeyFile(file: string): Promise<string | undefined> {
  const handle = await open(file, 'r').catch((caught: unknown) => {
    if (hasCode(caught, 'ENOENT')) return undefined;
    throw new AppError('set-up.failed', `The key file ${file} cannot be opened.`, { cause: caught });
  });
  if (handle === undefined) return undefined;
  try {
    const { mode, size } = await handle.stat();
    if ((mode & GROUP_AND_OTHERS) !== 0) {
      const octal = (mode & 0o777).toString(8);
      throw new AppError('set-up.failed', `The key file ${file} has mode ${octal}; only its owner may read it (600).`);
    }
    if (size > KEY_FILE_BYTES_MAX) throw new AppError('set-up.failed', `The key file ${file} is too large for a key.`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

async function syncFolderOf(file: string): Promise<void> {
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Writes the key beside its place, makes it durable, then links it in: `link` fails if another process was first. */
async function writeNewKeyFile(file: string, pem: string): Promise<void> {
  const temporary = `${file}.${randomBytes(8).toString('hex')}.tmp`;
  const handle = await open(temporary, 'wx', KEY_FILE_MODE);
  try {
    await handle.chmod(KEY_FILE_MODE); // whatever the umask says
    await handle.writeFile(pem);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(temporary, file);
  } catch (caught) {
    if (!hasCode(caught, 'EEXIST')) throw caught;
  } finally {
    await unlink(temporary);
  }
  await syncFolderOf(file);
}

/**
 * Loads the key in `file` (Ed25519, PKCS#8 PEM, mode 600) or makes one there. The folder must exist. Of several processes
 * that race on a new file all load the same key. Errors: `set-up.failed` for a file that others may read or that holds
 * no such key.
 */
export async function loadOrCreateKeyPair(file: string): Promise<KeyPair> {
  const present = await readKeyFile(file);
  if (present !== undefined) return keyPairFromPem(present, file);
  const { privateKey } = generateKeyPairSync('ed25519');
  try {
    await writeNewKeyFile(file, privateKey.export({ format: 'pem', type: 'pkcs8' }).toString());
  } catch (cause) {
    throw new AppError('set-up.failed', `The key file ${file} cannot be written.`, { cause });
  }
  const written = await readKeyFile(file);
  if (written === undefined) throw new AppError('set-up.failed', `The key file ${file} vanished while it was made.`);
  return keyPairFromPem(written, file);
}
