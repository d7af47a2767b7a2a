/** Sum that a card is given to start from: of addresses, protocol and length (RFC 9293 section 3.1). */
export function pseudoHeaderSum(source: string, destination: string, length: number): number {
  const words = [source, destination].flatMap((address) => {
    const bytes = address.split('.').map(Number);
    return [0, 2].map((at) => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  });
  const sum = [...words, 6, length].reduce((total, word) => total + word, 0);
  return (sum & 0xffff) + (sum >>> 16);
}
