/**
 * Who may send. MLLP knows no names but those that a message gives itself, so a sender is known by address and, where the settings say
 * so, by application and facility; TLS with certificates of clients is there for networks that are not trusted.
 */
import type { Header } from '@lantern/hl7';
import { hostList, isListed } from '../host-list.ts';
import type { FeedSender, FeedSettings } from './feed-settings.ts';

export type FeedSenders = {
  /** Whether anybody may send from this address. */
  knows(address: string): boolean;
  /** Whose message it is; the most specific entry that fits. `undefined`: it is not taken. */
  senderOf(address: string, header: Pick<Header, 'sendingApplication' | 'sendingFacility'>): FeedSender | undefined;
  /** By its name in the settings, as a stored message has it. */
  named(name: string): FeedSender | undefined;
};

const OPEN: FeedSender = { name: 'open', hosts: [], timeZone: 'Z' };

/** Throws `config.invalid` for an address that is none. */
export function createFeedSenders(settings: Pick<FeedSettings, 'senders' | 'openHosts'>): FeedSenders {
  const entries = settings.senders
    .map((sender) => ({ sender, hosts: hostList(sender.hosts, 'hl7.senders') }))
    .sort((a, b) => strictness(b.sender) - strictness(a.sender));
  const open = hostList(settings.openHosts, 'hl7.openHosts');
  return {
    knows: (address) => isListed(open, address) || entries.some(({ hosts }) => isListed(hosts, address)),
    senderOf(address, header) {
      const entry = entries.find(({ sender, hosts }) => fits(sender, header) && isListed(hosts, address));
      return entry?.sender ?? (isListed(open, address) ? OPEN : undefined);
    },
    named: (name) =>
      entries.find(({ sender }) => sender.name === name)?.sender ?? (name === OPEN.name ? OPEN : undefined),
  };
}

function strictness({ application, facility }: FeedSender): number {
  return (application === undefined ? 0 : 2) + (facility === undefined ? 0 : 1);
}

type Named = Pick<Header, 'sendingApplication' | 'sendingFacility'>;

function fits({ application, facility }: FeedSender, { sendingApplication, sendingFacility }: Named): boolean {
  return (
    (application === undefined || application === sendingApplication) &&
    (facility === undefined || facility === sendingFacility)
  );
}
