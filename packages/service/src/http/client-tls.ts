/** Whom a client trusts, and what a refused certificate means in words that say what to do. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { AppError } from '@lantern/contract';

const UNTRUSTED =
  'its certificate comes from an authority that is not trusted here; give the PEM of that authority as caFile';
const OTHER_NAME = 'its certificate is made out to another name than the one in the address';

/** Codes of OpenSSL's X509_verify_cert_error_string(3) and of Node's own check of the name. */
const TLS_FAULTS: Readonly<Record<string, string>> = {
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  ERR_TLS_CERT_ALTNAME_INVALID: OTHER_NAME,
  CERT_HAS_EXPIRED: 'its certificate has expired, or the clock here is wrong',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet, or the clock here is wrong',
};

/** `undefined` when the code says nothing about a certificate. */
export function describeTlsFault(code: string | undefined): string | undefined {
  return code === undefined || !Object.hasOwn(TLS_FAULTS, code) ? undefined : TLS_FAULTS[code];
}

/** The authorities that Node brings and those of a PEM file. `config.invalid` when the file holds no certificate. */
export function trustedAuthorities(caFile: string): string[] {
  try {
    const pem = readFileSync(caFile, 'utf8');
    new X509Certificate(pem); // Node would take a file without certificates, and then trust nobody of it
    return [...rootCertificates, pem];
  } catch (cause) {
    throw new AppError('config.invalid', 'caFile: cannot be read, or holds no certificate in PEM form.', {
      field: 'caFile',
      cause,
    });
  }
}
