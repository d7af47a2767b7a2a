/** A network with many services of three endpoints each, and a host with some containers on it. */
import { must, type NetworkTable } from '../../pkg/model/index.ts';
import type { HostNetwork } from '../../pkg/overlaynet/index.ts';
import type { NetworkLab } from '../../pkg/overlaynet/testing/lab.ts';
import { networkTable, type TestEndpoint } from '../../pkg/overlaynet/testing/table.ts';

export const ENDPOINTS_EACH = 3;
export const HERE = 1;

/** The `number`th address of 10.32.0.0/14, after the first 256. */
function address(number: number): string {
  const value = number + 256;
  return `10.${32 + (value >> 16)}.${(value >> 8) & 255}.${value & 255}`;
}

/** The endpoints of the host's own containers come last. */
export function tableOf(services: number, containers: number): NetworkTable {
  const numbers = Array.from({ length: services }, (_, index) => index);
  const total = services * (ENDPOINTS_EACH + 1);
  const endpoints: TestEndpoint[] = numbers.flatMap((service) =>
    Array.from({ length: ENDPOINTS_EACH }, (_, index) => ({
      address: address(service * (ENDPOINTS_EACH + 1) + index + 1),
      node: 2 + (index % 2),
      service: `s${service}`,
    })),
  );
  const own = Array.from({ length: containers }, (_, index) => ({
    address: address(total + index),
    node: HERE,
    service: 'client',
  }));
  return {
    ...networkTable({
      subnet: '10.32.0.0/14',
      endpoints: [...endpoints, ...own],
      services: numbers.map((service) => ({
        name: `s${service}`,
        vip: address(service * (ENDPOINTS_EACH + 1)),
      })),
    }),
    subnets: [{ subnet: '10.32.0.0/14', gateway: '10.32.0.1' }],
  };
}

/** The same table with the endpoint at `at` taken out of service, or put back: what an update does all the time. */
export function toggled(table: NetworkTable, at: number, revision: number): NetworkTable {
  const known = must(table.endpoints[at], 'an endpoint to change');
  const state = known.state === 'out' ? 'in-service' : 'out';
  return {
    ...table,
    endpoints: table.endpoints.with(at, { ...known, state }),
    revision: revision as NetworkTable['revision'],
  };
}

/** Puts the `index`th of `containers` containers on the network. */
export async function attachOwn(
  lab: NetworkLab,
  host: HostNetwork,
  table: NetworkTable,
  { index, containers }: { readonly index: number; readonly containers: number },
): Promise<void> {
  const own = table.endpoints.at(index - containers);
  await host.attach({
    containerId: `c${index}`,
    netns: lab.namespace(`c${index}`),
    name: `c${index}`,
    hostname: `c${index}`,
    overlays: [{ networkId: table.networkId, address: `${own?.addresses[0]}/14` }],
  });
}
