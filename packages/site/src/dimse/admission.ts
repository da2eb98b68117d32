/**
 * Who may associate, and for what. An AE title is typed, not proved, so a peer is known by title and address together; TLS with
 * certificates of clients is there for networks that are not trusted.
 */
import type { Admission, Peer } from '@lantern/dicom';
import { hostList, isListed } from '../host-list.ts';
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
