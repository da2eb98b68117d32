/**
 * Passwords at rest: scrypt (RFC 7914) with a salt per password and the cost OWASP names first (N = 2^17, r = 8, p = 1:
 * 128 MiB and about 0.4 s each).
 *
 * Invariants: at most two hashes run at once, so sign-in can neither starve the process of memory nor of threads, and a
 * short queue waits behind them; checking an unknown name costs the same time as checking a known one.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { AppError } from '@lantern/contract';

export type ScryptCost = { readonly n: number; readonly r: number; readonly p: number };
const SCRYPT_COST_DEFAULT: ScryptCost = { n: 2 ** 17, r: 8, p: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const RUNNING_MAX = 2; // of libuv's four threads and 128 MiB each
const WAITING_MAX = 32; // about six seconds of waiting; more is an attack or a fault

/** Lets `RUNNING_MAX` pieces of work run at once and `WAITING_MAX` wait. */
class Gate {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= RUNNING_MAX) await this.#wait();
    else this.#running += 1;
    try {
      return await work();
    } finally {
      // The place is handed over, not freed, so that nobody can step in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  async #wait(): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw new AppError('auth.rate-limited', `More than ${WAITING_MAX} sign-ins are waiting.`);
    }
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}

async function derive(password: string, salt: Uint8Array, cost: ScryptCost): Promise<Buffer> {
  const options = { N: cost.n, r: cost.r, p: cost.p, maxmem: 256 * cost.n * cost.r };
  // NFKC: the same password typed on another keyboard must give the same bytes (NIST SP 800-63B, section 5.1.1.2).
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, HASH_BYTES, options, (fault, key) => {
      if (fault === null) resolve(key);
      else reject(fault);
    });
  });
}

function parseStored(stored: string): { cost: ScryptCost; salt: Buffer; hash: Buffer } {
  const match = /^scrypt\$([0-9]+)\$([0-9]+)\$([0-9]+)\$([\w-]+)\$([\w-]+)$/.exec(stored);
  if (match === null) throw new AppError('storage.corrupt', 'A stored password hash has another form.');
  const [, n, r, p, salt = '', hash = ''] = match;
  const cost = { n: Number(n), r: Number(r), p: Number(p) };
  return { cost, salt: Buffer.from(salt, 'base64url'), hash: Buffer.from(hash, 'base64url') };
}

export type PasswordHasher = {
  /** `scrypt$N$r$p$salt$hash`, salt and hash in base64url. */
  readonly hash: (password: string) => Promise<string>;
  /** `undefined`: there is no such account; takes as long as a real check and is false. */
  readonly verify: (password: string, stored: string | undefined) => Promise<boolean>;
};

/** `cost` is OWASP's when absent; a test may ask for less. */
export function createPasswordHasher(cost: ScryptCost = SCRYPT_COST_DEFAULT): PasswordHasher {
  const gate = new Gate();
  return {
    async hash(password) {
      const salt = randomBytes(SALT_BYTES);
      const hash = await gate.run(() => derive(password, salt, cost));
      return `scrypt$${cost.n}$${cost.r}$${cost.p}$${salt.toString('base64url')}$${hash.toString('base64url')}`;
    },
    async verify(password, stored) {
      const expected =
        stored === undefined
          ? { cost, salt: randomBytes(SALT_BYTES), hash: randomBytes(HASH_BYTES) }
          : parseStored(stored);
      const found = await gate.run(() => derive(password, expected.salt, expected.cost));
      return found.length === expected.hash.length && timingSafeEqual(found, expected.hash) && stored !== undefined;
    },
  };
}
