/** `NFPROTO_IPV4` and `NFPROTO_IPV6`. */
const NF_FAMILY_IPV4 = 2;
export const NF_FAMILY_IPV6 = 10;
const IPV6_WORD = 'ip6 ';

/** Tables are named as in nft: `name` is one of IPv4, `ip6 name` one of IPv6. */
export interface TableName {
  readonly family: number;
  readonly name: string;
}

export function parseTableName(text: string): TableName {
  return text.startsWith(IPV6_WORD)
    ? { family: NF_FAMILY_IPV6, name: text.slice(IPV6_WORD.length) }
    : { family: NF_FAMILY_IPV4, name: text };
}

/** Undefined for tables of other families. */
export function formatTableName({ family, name }: TableName): string | undefined {
  if (family === NF_FAMILY_IPV4) return name;
  return family === NF_FAMILY_IPV6 ? `${IPV6_WORD}${name}` : undefined;
}
