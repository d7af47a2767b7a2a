import { hostPortsOf } from '../node-load.ts';
import { type Filter, onNodes } from './filter.ts';

/** Ports published on the node itself are free there. */
export const hostPortFilter: Filter = {
  name: 'host-ports',
  applies: ({ spec }) => hostPortsOf(spec).length > 0,
  accepts: (load, { spec }) => hostPortsOf(spec).every((port) => !load.hostPorts.has(port)),
  explain: (nodes) => onNodes('host-mode port already in use', nodes),
  remedy: (load, { spec }) => {
    const taken = hostPortsOf(spec).filter((port) => load.hostPorts.has(port));
    return { text: `free port ${taken.join(', ')}`, where: 'node', cost: taken.length };
  },
};
