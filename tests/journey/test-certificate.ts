/**
 * Certificate authorities that live as long as a test: X.509 version 3 by hand (RFC 5280, DER as in X.690), since node:crypto
 * reads certificates and makes none. ECDSA on P-256, valid for a day, for 127.0.0.1 alone.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

const DAY_MS = 24 * 60 * 60 * 1000;

const ECDSA_WITH_SHA256 = Buffer.from('2a8648ce3d040302', 'hex'); // 1.2.840.10045.4.3.2
const COMMON_NAME = Buffer.from('550403', 'hex'); // 2.5.4.3
const BASIC_CONSTRAINTS = Buffer.from('551d13', 'hex'); // 2.5.29.19
const SUBJECT_ALT_NAME = Buffer.from('551d11', 'hex'); // 2.5.29.17
const LOOPBACK = Buffer.from([127, 0, 0, 1]);

export type TestCertificate = { readonly keyPem: string; readonly certPem: string };
export type TestAuthority = {
  /** What has to be trusted. */
  readonly certPem: string;
  /** A server's key and its certificate, signed by this authority. */
  issue(name: string): TestCertificate;
};

export function createTestAuthority(name: string): TestAuthority {
  const { publicKey, privateKey } = newKey();
  const isCa = [sequence(oid(BASIC_CONSTRAINTS), octets(sequence(tlv(0x01, Buffer.from([0xff])))))];
  return {
    certPem: certificate({ subject: name, issuer: name, publicKey, signer: privateKey, extensions: isCa }),
    issue(subject) {
      const leaf = newKey();
      const extensions = [sequence(oid(SUBJECT_ALT_NAME), octets(sequence(tlv(0x87, LOOPBACK))))];
      return {
        keyPem: leaf.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
        certPem: certificate({ subject, issuer: name, publicKey: leaf.publicKey, signer: privateKey, extensions }),
      };
    },
  };
}

function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { format: 'der', type: 'spki' },
    privateKeyEncoding: { format: 'pem', type: 'pkcs8' },
  });
  return { publicKey, privateKey: createPrivateKey(privateKey) };
}

function certificate(parts: {
  subject: string;
  issuer: string;
  /** SubjectPublicKeyInfo, DER. */
  publicKey: Buffer;
  signer: KeyObject;
  extensions: readonly Buffer[];
}): string {
  const algorithm = sequence(oid(ECDSA_WITH_SHA256));
  const now = Date.now();
  const toBeSigned = sequence(
    tlv(0xa0, integer(Buffer.from([2]))), // version 3
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    nameOf(parts.issuer),
    sequence(utcTime(now - DAY_MS), utcTime(now + DAY_MS)),
    nameOf(parts.subject),
    parts.publicKey,
    tlv(0xa3, sequence(...parts.extensions)),
  );
  const signature = sign('sha256', toBeSigned, parts.signer);
  const der = sequence(toBeSigned, algorithm, tlv(0x03, Buffer.from([0]), signature));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const size = content.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => tlv(0x30, ...parts);
const integer = (content: Buffer): Buffer => tlv(0x02, content);
const octets = (content: Buffer): Buffer => tlv(0x04, content);
const oid = (content: Buffer): Buffer => tlv(0x06, content);

function nameOf(commonName: string): Buffer {
  return sequence(tlv(0x31, sequence(oid(COMMON_NAME), tlv(0x0c, Buffer.from(commonName)))));
}

/** YYMMDDHHMMSSZ: for years before 2050. */
function utcTime(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replace(/[-:T]/g, '').slice(2, 14);
  return tlv(0x17, Buffer.from(`${digits}Z`));
}
