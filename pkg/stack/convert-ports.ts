import type { PortSpec } from '../model/index.ts';
import { asText, isMap, stackProblem } from './problem.ts';
import { compact } from './scope.ts';
import { wholeNumber } from './units.ts';

const SHORT =
  /^(?:(?:(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):)?(?:(\d+)(?:-(\d+))?)?:)?(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/i;

/** `ports:` of a service, in the order Docker sends them: by published port, then as written. */
export function convertPorts(
  entries: readonly unknown[],
  warn: (text: string) => void,
): readonly PortSpec[] {
  const ports = entries.flatMap((entry) =>
    isMap(entry) ? [longPort(entry)] : shortPorts(asText(entry), warn),
  );
  return ports.toSorted((left, right) => (left.PublishedPort ?? 0) - (right.PublishedPort ?? 0));
}

function longPort(entry: Readonly<Record<string, unknown>>): PortSpec {
  const number = (key: string): number | undefined =>
    entry[key] === undefined ? undefined : wholeNumber(entry[key], `ports.${key}`);
  return compact({
    Protocol: asText(entry['protocol']) || undefined,
    TargetPort: number('target'),
    PublishedPort: number('published'),
    PublishMode: asText(entry['mode']) || undefined,
  });
}

function shortPorts(text: string, warn: (text: string) => void): readonly PortSpec[] {
  const match = SHORT.exec(text);
  if (!match)
    throw stackProblem(`invalid port ${text}; write PUBLISHED:TARGET, TARGET or the long form`);
  const [, address, from, to, target = '', targetTo, protocol = 'tcp'] = match;
  const count = Number(targetTo ?? target) - Number(target) + 1;
  if (from !== undefined && Number(to ?? from) - Number(from) + 1 !== count) {
    throw stackProblem(
      `invalid port ${text}: invalid ranges specified for container and host ports`,
    );
  }
  if (address !== undefined && address !== '0.0.0.0') {
    warn(`ignoring IP-address (${text}/${protocol}) service will listen on '0.0.0.0'`);
  }
  return Array.from({ length: Math.max(0, count) }, (_, at) =>
    compact({
      Protocol: protocol.toLowerCase(),
      TargetPort: Number(target) + at,
      PublishedPort: from === undefined ? undefined : Number(from) + at,
      PublishMode: 'ingress',
    }),
  );
}
