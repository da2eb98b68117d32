import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peerNetwork } from './peer-network.ts';

test('a peer is counted by its IPv4 address, also where the socket writes it as IPv6', () => {
  assert.equal(peerNetwork('192.0.2.7'), '192.0.2.7');
  assert.equal(peerNetwork('::ffff:192.0.2.7'), '192.0.2.7');
});

test('a peer is counted by the first 64 bits of its IPv6 address, however they are written', () => {
  for (const address of ['2001:db8:0:1::7', '2001:0DB8::1:0:0:9:7', '2001:db8:0:1:ffff:1:2:3', '2001:db8:0:1::%eth0']) {
    assert.equal(peerNetwork(address), '2001:db8:0:1::/64', address);
  }
  assert.equal(peerNetwork('2001:db8:0:2::7'), '2001:db8:0:2::/64');
  assert.equal(peerNetwork('::1'), '0:0:0:0::/64');
  assert.equal(peerNetwork('fe80::1%eth0'), 'fe80:0:0:0::/64');
});

test('a connection that has ended is counted with its like', () => {
  for (const address of [undefined, '', 'nonsense', '1.2.3']) assert.equal(peerNetwork(address), 'unknown');
});
