/**
 * Who may associate, and for what. An AE title is typed, not proved, so a peer is known by title and address together; TLS with
 * certificates of clients is there for networks that are not trusted.
 */
import { BlockList, isIP } from 'node:net';
import { AppError } from '@lantern/contract';
import type { Admission, Peer } from '@lantern/dicom';
import type { DicomPeer, DicomSettings, OwnAe } from './dicom-settings.ts';

type Caller = Pick<Peer, 'callingAe' | 'address'>;

export type AdmittedPeers = {
  admit(peer: Peer): Admission;
  /** The entry of a peer that was admitted; one of an open host is made up. */
  peerOf(peer: Caller): DicomPeer | undefined;
  ownAe(aeTitle: string): OwnAe | undefined;
};

/** Throws `config.invalid` for an address that is none. */
export function createAdmittedPeers(settings: Pick<DicomSettings, 'peers' | 'aeTitles' | 'openHosts'>): AdmittedPeers {
  const { peers, aeTitles, openHosts } = settings;
  const known = new Map(peers.map((peer) => [peer.aeTitle, { peer, hosts: hostList(peer.hosts, 'dicom.peers') }]));
  const open = hostList(openHosts, 'dicom.openHosts');
  const own = new Map(aeTitles.map((ae) => [ae.aeTitle, ae]));
  return {
    peerOf,
    ownAe: (aeTitle) => own.get(aeTitle),
    admit({ callingAe, calledAe, address }) {
      if (!own.has(calledAe)) return 'called-ae';
      return peerOf({ callingAe, address }) === undefined ? 'calling-ae' : 'accepted';
    },
  };

  function peerOf({ callingAe, address }: Caller): DicomPeer | undefined {
    const entry = known.get(callingAe);
    if (entry !== undefined && isListed(entry.hosts, address)) return entry.peer;
    if (!isListed(open, address)) return undefined;
    return { aeTitle: callingAe, hosts: [address], tls: false, mayStore: true, mayQuery: true };
  }
}

function hostList(hosts: readonly string[], field: string): BlockList {
  const list = new BlockList();
  for (const host of hosts) {
    const [address = '', bits] = host.split('/');
    const version = isIP(address);
    const bitCount = bits === undefined ? undefined : Number(bits);
    const isWhole = bitCount === undefined || (/^\d{1,3}$/.test(bits ?? '') && bitCount <= (version === 4 ? 32 : 128));
    if (version === 0 || !isWhole) {
      throw new AppError('config.invalid', `${field}: "${host}" is no address or network.`, { field });
    }
    const family = version === 4 ? 'ipv4' : 'ipv6';
    if (bitCount === undefined) list.addAddress(address, family);
    else list.addSubnet(address, bitCount, family);
  }
  return list;
}

/** A socket that listens on both families shows IPv4 callers as ::ffff:10.1.2.3. */
function isListed(hosts: BlockList, address: string): boolean {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  return hosts.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}
