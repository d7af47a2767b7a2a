import type { Command } from 'commander';
import type { Context } from './context.ts';

type AddNoun = (program: Command, context: () => Context) => void;

/** Noun → its verbs. Loaded only when the noun is asked for: starting ctl is felt. */
export const NOUNS: Readonly<
  Record<string, { readonly text: string; readonly load: () => Promise<AddNoun> }>
> = {
  service: {
    text: 'Services: what runs, and how many of it',
    load: async () => (await import('./service.ts')).addService,
  },
  stack: {
    text: 'Stacks: services, networks, secrets and configs from one YAML file',
    load: async () => (await import('./stack.ts')).addStack,
  },
  explain: {
    text: 'Why a service or a task is as it is, and what would help',
    load: async () => (await import('./explain.ts')).addExplain,
  },
  node: {
    text: 'Nodes: the machines of the cluster',
    load: async () => (await import('./node.ts')).addNode,
  },
  network: {
    text: 'Networks that services join',
    load: async () => (await import('./network.ts')).addNetwork,
  },
  secret: {
    text: 'Secrets: files that only tasks see',
    load: async () => {
      const { addConfigObject } = await import('./config-object.ts');
      return (program, context) => addConfigObject(program, 'secret', context);
    },
  },
  config: {
    text: 'Configs: files given to tasks',
    load: async () => {
      const { addConfigObject } = await import('./config-object.ts');
      return (program, context) => addConfigObject(program, 'config', context);
    },
  },
  swarm: {
    text: 'The cluster this host is part of',
    load: async () => (await import('./swarm.ts')).addSwarm,
  },
  image: { text: 'Images on this host', load: async () => (await import('./image.ts')).addImage },
};
