import { expect, test } from 'vitest';
import { mergeConfig } from './create.ts';
import { refuseUnsupported } from './unsupported.ts';

const facts = { id: 'a'.repeat(64), hostConfig: {}, hostname: 'box' };
const image = { Entrypoint: ['/entry'], Cmd: ['default'], Env: ['A=1', 'B=1'], User: 'app' };

test.each([
  [{}, ['/entry'], ['default']],
  [{ Cmd: ['own'] }, ['/entry'], ['own']],
  [{ Entrypoint: ['/own'] }, ['/own'], []],
  [{ Entrypoint: ['/own'], Cmd: ['arg'] }, ['/own'], ['arg']],
  [{ Entrypoint: [''], Cmd: ['arg'] }, [], ['arg']],
  [{ Cmd: 'one string' }, ['/entry'], ['one string']],
])('entrypoint and command of %j', (own, Entrypoint, Cmd) => {
  expect(mergeConfig(own, image, facts)).toMatchObject({ Entrypoint, Cmd });
});

test("the rest is the user's over the image's", () => {
  const own = { Env: ['B=2', 'C=2', 'D'], Labels: { l: 'own' } };
  expect(mergeConfig(own, { ...image, Labels: { l: 'image', m: 'image' } }, facts)).toMatchObject({
    Env: ['A=1', 'B=2', 'C=2', 'D'],
    Labels: { l: 'own', m: 'image' },
    User: 'app',
    Hostname: 'a'.repeat(12),
  });
  const shared = { ...facts, hostConfig: { NetworkMode: 'host' } };
  expect(mergeConfig({}, image, shared).Hostname).toBe('box');
});

test("the image's health check fills what the user left open", () => {
  const Healthcheck = { Test: ['CMD', 'x'], Interval: 5, Retries: 3 };
  const merged = mergeConfig({ Healthcheck: { Interval: 7 } }, { ...image, Healthcheck }, facts);
  expect(merged.Healthcheck).toMatchObject({ Test: ['CMD', 'x'], Interval: 7, Retries: 3 });
});

test('what the stock CLI always sends is accepted, what would be ignored is refused', () => {
  refuseUnsupported({
    MemorySwappiness: -1,
    OomKillDisable: false,
    BlkioWeightDevice: [],
    DeviceRequests: null,
    Isolation: '',
    StorageOpt: null,
    Links: null,
  });
  expect(() => refuseUnsupported({ StorageOpt: { size: '1G' } })).toThrow(
    'HostConfig.StorageOpt is not supported: {"size":"1G"}',
  );
  expect(() => refuseUnsupported({ OomKillDisable: true })).toThrow('HostConfig.OomKillDisable');
});
