/**
 * MLLP by TLS: `lantern hl7 listen` and `send` as a person types them, and the feed of a site by its settings, against those who show
 * the right certificate, a wrong one, none, no TLS at all, or a version of it that is broken.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls, DEFAULT_CIPHERS, type TLSSocket } from 'node:tls';
import { createMllpSender, encodeFrame, Hl7Error } from '@lantern/hl7';
import { runProgram } from '../../packages/lantern/src/cli/program.ts';
import { admission, startTestFeed, type TestFeed } from '../../packages/site/test/feed-harness.ts';
import { createTestAuthority, type TestAuthority } from './test-certificate.ts';

let dir: string;
let hospital: TestAuthority;
let foreign: TestAuthority;
const file = (name: string) => path.join(dir, name);

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-hl7-tls-'));
  [hospital, foreign] = [createTestAuthority('Hospital authority'), createTestAuthority('Another authority')];
  await writeFile(file('hospital.pem'), hospital.certPem);
  await writeFile(file('foreign.pem'), foreign.certPem);
  await writeFile(file('message.hl7'), admission({ controlId: 'T1' }));
  for (const [name, authority] of [
    ['receiver', hospital],
    ['sender', hospital],
    ['stranger', foreign],
  ] as const) {
    const { keyPem, certPem } = authority.issue(name);
    await writeFile(file(`${name}-key.pem`), keyPem, { mode: 0o600 });
    await writeFile(file(`${name}-cert.pem`), certPem);
  }
});
after(() => rm(dir, { recursive: true, force: true }));

const identity = (name: string) => ['--cert-file', file(`${name}-cert.pem`), '--key-file', file(`${name}-key.pem`)];

function start(...args: string[]) {
  const text = { out: '', err: '' };
  const stop = new AbortController();
  let wake = () => {};
  const sink = (key: 'out' | 'err') =>
    Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          text[key] += String(chunk);
          wake();
          done();
        },
      }),
      { isTTY: false },
    );
  const context = {
    env: {},
    stdin: Readable.from([]),
    stdout: sink('out') as never,
    stderr: sink('err') as never,
    signal: stop.signal,
  };
  const ended = runProgram(['hl7', ...args], context).then((code) => ({ code, ...text }));
  const firstLine = async () => {
    while (!text.out.includes('\n')) await new Promise<void>((resolve) => (wake = resolve));
    return text.out.split('\n', 1)[0] ?? '';
  };
  return { ended, firstLine, stop: () => stop.abort() };
}

/** How a connection that says a message ends: with an answer, or without. */
async function said(socket: TLSSocket | ReturnType<typeof connect>): Promise<string> {
  let answer = '';
  socket.on('error', () => {}); // an alert, or a reset: the end is what counts
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
    socket.end();
  });
  socket.write(encodeFrame(admission({ controlId: 'raw' })));
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return answer;
}

/** OpenSSL's level 0 lets old versions be offered at all. */
const OLD = { ciphers: `${DEFAULT_CIPHERS}:@SECLEVEL=0`, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } as const;

describe('lantern hl7 listen and send by TLS', () => {
  let listener: ReturnType<typeof start>;
  let port: number;
  const send = (...args: string[]) =>
    start('send', file('message.hl7'), '--to', `127.0.0.1:${port}`, '--attempts', '1', ...args).ended;

  before(async () => {
    const tls = [...identity('receiver'), '--ca-file', file('hospital.pem')];
    listener = start('listen', '--folder', file('kept'), '--port', '0', '--json', ...tls);
    port = JSON.parse(await listener.firstLine()).port;
  });
  after(async () => {
    listener.stop();
    await listener.ended;
  });

  it('bring a message to who shows and is shown certificates of one authority', async () => {
    const { code, out, err } = await send('--ca-file', file('hospital.pem'), ...identity('sender'));
    assert.equal(code, 0, err);
    assert.match(out, /T1 {2}accepted \(AA\)/);
  });

  it('say in words why a certificate is refused, on either side', async () => {
    const trusted = ['--ca-file', file('hospital.pem')];
    const cases: [string[], RegExp][] = [
      [trusted, /refused the certificate of this sender, or wants one/],
      [[...trusted, ...identity('stranger')], /may not take the certificate of this sender/],
      [['--ca-file', file('foreign.pem'), ...identity('sender')], /is of an authority that is not trusted/],
      [['--tls', ...identity('sender')], /is of an authority that is not trusted/],
      [[...trusted, ...identity('sender'), '--server-name', 'pas.hospital'], /is for another host/],
      [[], /closed the connection/],
    ];
    for (const [args, meant] of cases) {
      const { code, out, err } = await send(...args);
      assert.notEqual(code, 0);
      assert.match(`${out}${err}`, meant, args.join(' '));
    }
  });

  it('refuse halves of an identity and what is none, before anything is sent', async () => {
    const cases: [string[], RegExp][] = [
      [['--cert-file', file('sender-cert.pem')], /come together/],
      [['--cert-file', file('message.hl7'), '--key-file', file('message.hl7')], /no certificate and its key/],
      [['--cert-file', file('sender-cert.pem'), '--key-file', file('stranger-key.pem')], /no certificate and its key/],
      [['--ca-file', file('none.pem')], /does not exist/],
    ];
    for (const [args, meant] of cases) {
      for (const run of [await send(...args), await start('listen', '--folder', file('x'), ...args).ended]) {
        assert.notEqual(run.code, 0);
        assert.match(run.err, meant);
      }
    }
    const half = await start('listen', '--folder', file('x'), '--ca-file', file('hospital.pem')).ended;
    assert.match(half.err, /TLS needs --cert-file and --key-file/);
  });
});

describe('the feed of a site by TLS', () => {
  let feed: TestFeed;
  const count = async () => (await feed.database.pool.query('select count(*)::int as n from hl7_message')).rows[0].n;

  before(async () => {
    feed = await startTestFeed({
      name: 'hl7-feed-tls',
      settings: {
        tlsCertFile: file('receiver-cert.pem'),
        tlsKeyFile: file('receiver-key.pem'),
        tlsCaFile: file('hospital.pem'),
      },
    });
  });
  after(() => feed.close());

  it('takes messages of a sender with a certificate, and nothing of one with a wrong one or none', async () => {
    const own = hospital.issue('sender');
    const other = foreign.issue('sender');
    const backOffMs = { first: 1, max: 2 };
    const senderWith = (shown: { key?: string; cert?: string }) =>
      createMllpSender({
        ...{ host: '127.0.0.1', port: feed.port, attemptsMax: 2, uniform: () => 0.5, backOffMs },
        tls: { ca: hospital.certPem, ...shown },
      });
    const good = senderWith({ key: own.keyPem, cert: own.certPem });
    assert.equal((await good.send(admission({ controlId: '1' })))?.code, 'AA');
    good.close();
    for (const shown of [{}, { key: other.keyPem, cert: other.certPem }]) {
      const refused = senderWith(shown);
      await assert.rejects(
        refused.send(admission({ controlId: '2' })),
        (caught) => caught instanceof Hl7Error && /wants one|may not take/.test(caught.message),
      );
      refused.close();
    }
    assert.equal(await count(), 1);
  });

  it('is told from one without TLS by a sender that waits in vain for it', async () => {
    const plain = await startTestFeed({ name: 'hl7-feed-plain' });
    const sender = createMllpSender({
      ...{ host: '127.0.0.1', port: plain.port, attemptsMax: 1, uniform: () => 0.5, connectMs: 200 },
      tls: { ca: hospital.certPem },
    });
    await assert.rejects(sender.send(admission({ controlId: '1' })), /does not agree upon TLS/);
    sender.close();
    await plain.close();
  });

  it('answers nothing to a sender without TLS, nor by a version of it that is broken', async () => {
    const { keyPem: key, certPem: cert } = hospital.issue('sender');
    const before = await count();
    assert.equal(await said(connect(feed.port, '127.0.0.1')), '');
    const shown = { host: '127.0.0.1', port: feed.port, ca: hospital.certPem, key, cert };
    assert.equal(await said(connectTls({ ...shown, ...OLD })), '');
    assert.equal(await count(), before);
    const current = connectTls({ ...shown, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
    assert.match(await said(current), /MSA\|AA\|raw/);
  });
});
