import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '@lantern/service';
import { createAdmittedPeers } from './admission.ts';
import { assertDicomSettings, DicomSettingsSchema } from './dicom-settings.ts';

function settingsOf(overrides: object) {
  const settings = { aeTitles: [{ aeTitle: 'LANTERN' }], ...overrides };
  return loadConfig({ schema: DicomSettingsSchema, env: {}, prefix: '', overrides: settings });
}

function caller(callingAe: string, address: string, calledAe = 'LANTERN') {
  return {
    callingAe,
    calledAe,
    address,
    implementationClassUid: '2.25.1',
    implementationVersion: undefined,
    certificateName: undefined,
  };
}

const PEERS = [
  { aeTitle: 'CT1', hosts: ['10.1.2.3'] },
  { aeTitle: 'PACS', hosts: ['10.9.0.0/16', 'fd00::/8'], mayQuery: true, mayStore: false },
];

describe('admission', () => {
  const peers = createAdmittedPeers(settingsOf({ peers: PEERS }));

  it('is closed where nobody is named', () => {
    assert.equal(createAdmittedPeers(settingsOf({})).admit(caller('CT1', '127.0.0.1')), 'calling-ae');
  });

  it('wants title and address together', () => {
    assert.equal(peers.admit(caller('CT1', '10.1.2.3')), 'accepted');
    assert.equal(peers.admit(caller('CT1', '10.1.2.4')), 'calling-ae');
    assert.equal(peers.admit(caller('CT2', '10.1.2.3')), 'calling-ae');
    assert.equal(peers.admit(caller('CT1', '10.1.2.3', 'OTHER')), 'called-ae');
  });

  it('knows networks of both families, and IPv4 callers on a socket of both', () => {
    assert.equal(peers.admit(caller('PACS', '10.9.200.7')), 'accepted');
    assert.equal(peers.admit(caller('PACS', '10.10.0.1')), 'calling-ae');
    assert.equal(peers.admit(caller('PACS', '::ffff:10.9.0.1')), 'accepted');
    assert.equal(peers.admit(caller('PACS', 'fd00::17')), 'accepted');
    assert.equal(peers.admit(caller('PACS', '2001:db8::1')), 'calling-ae');
  });

  it('gives each peer only what its entry allows', () => {
    const pacs = peers.peerOf(caller('PACS', '10.9.0.1'));
    assert.deepEqual([pacs?.mayStore, pacs?.mayQuery], [false, true]);
    const scanner = peers.peerOf(caller('CT1', '10.1.2.3'));
    assert.deepEqual([scanner?.mayStore, scanner?.mayQuery], [true, false]);
  });

  it('lets any title call from an open host, and from no other', () => {
    const open = createAdmittedPeers(settingsOf({ openHosts: ['127.0.0.1'] }));
    assert.equal(open.admit(caller('ANY', '127.0.0.1')), 'accepted');
    assert.equal(open.admit(caller('ANY', '127.0.0.2')), 'calling-ae');
  });
});

describe('settings of the DICOM network', () => {
  it('are refused where a host is no address, a title stands twice, or half of a TLS identity is given', () => {
    for (const host of ['pacs.example', '10.0.0.0/33', '10.0.0.0/', '10.0.0', 'fd00::/129']) {
      const peers = [{ aeTitle: 'PACS', hosts: [host] }];
      assert.throws(() => createAdmittedPeers(settingsOf({ peers })), { code: 'config.invalid' }, host);
    }
    assert.throws(() => assertDicomSettings(settingsOf({ peers: [PEERS[0], PEERS[0]] })), { code: 'config.invalid' });
    assert.throws(() => assertDicomSettings(settingsOf({ tlsKeyFile: 'key.pem' })), { code: 'config.invalid' });
    for (const aeTitle of ['', 'SEVENTEEN LETTERS', ' LEADING', 'BACK\\SLASH', 'TAB\t']) {
      assert.throws(() => settingsOf({ aeTitles: [{ aeTitle }] }), { code: 'config.invalid' }, aeTitle);
    }
  });
});
