import { expect, test } from 'vitest';
import type { Logger } from '../../pkg/io/index.ts';
import { agentConfig } from './config.ts';
import { type DeviceOffer, devicesOf, parseDevices, readOffer } from './device-offer.ts';

const warnings: object[] = [];
const log = { warn: (_text: string, fields: object) => warnings.push(fields) } as unknown as Logger;

function offer(...args: readonly string[]): DeviceOffer {
  return readOffer(agentConfig(args), log);
}

test('a device has the name it is given, else that of its first file', () => {
  expect(parseDevices('gpu=/dev/nvidia0,/dev/nvidiactl gpu=b=/dev/nvidia1')).toEqual([
    { kind: 'gpu', name: 'nvidia0', paths: ['/dev/nvidia0', '/dev/nvidiactl'] },
    { kind: 'gpu', name: 'b', paths: ['/dev/nvidia1'] },
  ]);
});

test.each([
  ['gpu', 'say KIND=/dev/path'],
  ['gpu=a', 'say KIND=/dev/path'],
  ['gpu=a=b=/dev/null', 'say KIND=/dev/path'],
  ['=/dev/null', '"" is no name'],
  ['gpu=/dev/null,null', '"null" is no absolute path'],
  ['gpu=/dev/null,', '"" is no absolute path'],
  ['gpu=a=/dev/null gpu=a=/dev/zero', 'gpu=a is there twice'],
])('%s is refused', (text, why) => {
  expect(() => parseDevices(text)).toThrow(why);
});

test('the node describes its devices by name beside what it only counts', () => {
  const { resources } = offer(
    ...['--generic-resource', 'licence=3', '--device', 'mem=zero=/dev/zero'],
    ...['--device', 'mem=/dev/full'],
  );
  expect(resources).toEqual([
    { kind: 'licence', amount: 3 },
    { kind: 'mem', amount: 2, names: ['zero', 'full'] },
  ]);
  expect(() => offer('--device', 'x=/etc/passwd')).toThrow(
    '--device x=passwd: /etc/passwd is not a device',
  );
  expect(() => offer('--device', 'gpu=/dev/null', '--generic-resource', 'gpu=2')).toThrow(
    'gpu is offered with --generic-resource and with --device',
  );
});

test('a device that is not there is not offered, and the host goes on', () => {
  const { resources } = offer('--device', 'mem=/dev/zero', '--device', 'mem=gone=/dev/nothing/0');
  expect(resources).toEqual([{ kind: 'mem', amount: 1, names: ['zero'] }]);
  expect(warnings).toEqual([{ kind: 'mem', device: 'gone', path: '/dev/nothing/0' }]);
});

test('a task gets the files of what it holds, each once, or hears that it is gone', () => {
  const given = offer(
    ...['--generic-resource', 'port=a,port=b', '--device', 'mem=z=/dev/zero,/dev/null'],
    ...['--device', 'mem=f=/dev/full,/dev/null'],
  );
  const holds = (kind: string, ...names: readonly string[]): readonly string[] =>
    devicesOf(given, [{ kind, amount: names.length, names }]);
  expect(holds('mem', 'f', 'z')).toEqual(['/dev/full', '/dev/null', '/dev/zero']);
  expect(holds('port', 'a')).toEqual([]);
  expect(devicesOf(given, [{ kind: 'licence', amount: 1 }])).toEqual([]);
  expect(() => holds('mem', 'r')).toThrow('mem r is not offered by this node any more');
});
