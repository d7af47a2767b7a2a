import { expect, test } from 'vitest';
import {
  isSound,
  type NetworkCheck,
  type NetworkId,
  type NetworkProbe,
  type NodeId,
  type Version,
} from '../../pkg/model/index.ts';
import { printCheck } from './network-check.ts';
import type { Output } from './output.ts';

const [H1, H2, H3] = ['1', '2', '3'] as [NodeId, NodeId, NodeId];
const vip = (reached: boolean): NetworkProbe => {
  const reason = reached ? undefined : 'no answer within 2 s';
  return { from: 'web.1', kind: 'vip', address: '10.0.1.2', name: 'web', reached, reason };
};
const endpoint = (nodeId: NodeId, reached: boolean): NetworkProbe => {
  const reason = reached ? undefined : 'no host has this address';
  const address = `10.0.1.1${nodeId}`;
  return {
    from: 'web.1',
    kind: 'endpoint',
    address,
    name: `web.${nodeId}`,
    nodeId,
    reached,
    reason,
  };
};

function checkOf(h2: 'sound' | 'broken'): NetworkCheck {
  const good = { revision: 7 as Version, digest: 'abc', differences: [], repairs: 0 };
  const probes = [vip(true), endpoint(H1, true), endpoint(H2, true)];
  const bad = {
    ...good,
    digest: 'def',
    differences: ['tunnel entry 02:42:0a:00:01:0b to 192.0.2.1 is missing'],
    repairs: 4,
    probes: [vip(false), endpoint(H1, false), endpoint(H2, true)],
  };
  const second = h2 === 'sound' ? { ...good, probes } : bad;
  return {
    networkId: 'n' as NetworkId,
    name: 'shop',
    digest: 'abc',
    nodes: [
      { nodeId: H1, hostname: 'h1', acknowledged: true, check: { ...good, probes } },
      { nodeId: H2, hostname: 'h2', acknowledged: true, check: second },
      ...(h2 === 'sound'
        ? []
        : [{ nodeId: H3, hostname: 'h3', acknowledged: false, problem: 'the node is down' }]),
    ],
  };
}

function printed(check: NetworkCheck): readonly string[] {
  const lines: string[] = [];
  const line = (text: string): void => void lines.push(text.trimEnd());
  const output: Output = { interactive: false, line, error: line, raw: () => undefined };
  printCheck(output, check);
  return lines;
}

test('a sound network is a table of full shares', () => {
  expect(isSound(checkOf('sound'))).toBe(true);
  expect(printed(checkOf('sound'))).toEqual([
    'network shop, table abc',
    'FROM   TABLE     KERNEL    REPAIRS   VIPS   TO h1   TO h2',
    'h1     current   as told   0         1/1    1/1     1/1',
    'h2     current   as told   0         1/1    1/1     1/1',
    '',
  ]);
});

test('who does not reach what is said with the reason, and who did not answer', () => {
  expect(isSound(checkOf('broken'))).toBe(false);
  expect(printed(checkOf('broken'))).toEqual([
    'network shop, table abc',
    'FROM   TABLE         KERNEL             REPAIRS   VIPS   TO h1   TO h2',
    'h1     current       as told            0         1/1    1/1     1/1',
    'h2     other (def)   1 differences      4         0/1    0/1     1/1',
    'h3     -             the node is down   -         -      -       -',
    'h2: web.1 does not reach vip web 10.0.1.2: no answer within 2 s',
    'h2: web.1 does not reach endpoint web.1 10.0.1.11 on h1: no host has this address',
    'h2: tunnel entry 02:42:0a:00:01:0b to 192.0.2.1 is missing',
    '',
  ]);
});

test('a network that nobody takes part in is sound', () => {
  const check: NetworkCheck = { ...checkOf('sound'), nodes: [] };
  expect(isSound(check)).toBe(true);
  expect(printed(check)).toEqual(['network shop, table abc', 'no node takes part', '']);
});
