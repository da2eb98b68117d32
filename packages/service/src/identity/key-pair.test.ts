import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadOrCreateKeyPair, publicKeyFromPem } from './key-pair.ts';
import { readSecretFile, writeSecretFile } from './secret-file.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lantern-key-'));
});
after(() => rm(dir, { recursive: true }));

describe('the key of a process', () => {
  test('is made once, readable by its owner only, and is the same ever after', async () => {
    const file = join(dir, 'site.key');
    const made = await loadOrCreateKeyPair(file);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const loaded = await loadOrCreateKeyPair(file);
    assert.equal(loaded.keyId, made.keyId);
    const message = Buffer.from('round 17');
    assert.ok(verify(null, message, made.publicKey, sign(null, message, loaded.privateKey)));
    assert.deepEqual(
      (await readdir(dir)).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });

  test('is one key when eight starts race for it', async () => {
    const file = join(dir, 'race.key');
    const pairs = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateKeyPair(file)));
    assert.equal(new Set(pairs.map(({ keyId }) => keyId)).size, 1);
  });

  test('is refused when group or others may read it', async () => {
    const file = join(dir, 'open.key');
    await loadOrCreateKeyPair(file);
    for (const mode of [0o640, 0o604, 0o666]) {
      await chmod(file, mode);
      await assert.rejects(loadOrCreateKeyPair(file), { code: 'set-up.failed', message: new RegExp(mode.toString(8)) });
    }
  });

  test('is refused when the file holds something else, and the file stays as it was', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const curve = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    for (const [name, text] of [
      ['p256.key', curve],
      ['half.key', '-----BEGIN PRIVATE KEY-----\nMC4CAQ'],
      ['empty.key', ''],
      ['large.key', 'x'.repeat(5000)],
    ] as const) {
      const file = join(dir, name);
      await writeFile(file, text, { mode: 0o600 });
      await assert.rejects(loadOrCreateKeyPair(file), { code: 'set-up.failed' }, name);
      assert.equal(await readFile(file, 'utf8'), text);
    }
  });

  test('cannot be made in a folder that is not there', async () => {
    await assert.rejects(loadOrCreateKeyPair(join(dir, 'none', 'site.key')), { code: 'set-up.failed' });
  });
});

describe('a public key', () => {
  // RFC 8037 appendix A.3: the JWK thumbprint of the RFC 8032 test key.
  test('has the RFC 7638 thumbprint of its JWK as id', () => {
    const pem =
      '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n';
    assert.equal(publicKeyFromPem(pem).keyId, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  });

  test('of another kind, a private key or no key is refused', async () => {
    const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'pem', type: 'spki' });
    const privatePem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
    for (const pem of [p256.toString(), privatePem.toString(), 'hello', '']) {
      assert.throws(() => publicKeyFromPem(pem), { code: 'input.invalid', field: '/publicKeyPem' });
    }
  });
});

describe('a secret file', () => {
  test('is replaced whole and keeps its mode', async () => {
    const file = join(dir, 'token');
    await writeSecretFile(file, 'first\n');
    await writeSecretFile(file, 'second\n');
    assert.equal(await readSecretFile(file), 'second\n');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal(await readSecretFile(join(dir, 'absent')), undefined);
  });
});
