/** Lists of hosts in settings: who may call. */
import { BlockList, isIP } from 'node:net';
import { AppError } from '@lantern/contract';

/** Addresses and networks (10.1.2.0/24). Throws `config.invalid`, naming `field`. */
export function hostList(hosts: readonly string[], field: string): BlockList {
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
export function isListed(hosts: BlockList, address: string): boolean {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  return hosts.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}
