/**
 * How long an agent's event loop stands still at most while one of four backends leaves and its flows are forgotten, in a
 * namespace that tracks very many: `npx tsx --conditions=source test/perf/net-forget.ts [--flows=1000,10000,60000] [--runs=5]`.
 * Needs root.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createNamespace, removeNamespace } from 'vxlan-netlink';
import { silentLogger } from '../../pkg/io/index.ts';
import { AppliedRulesets } from '../../pkg/overlaynet/applied-rulesets.ts';
import { Destinations } from '../../pkg/overlaynet/destinations.ts';
import { Forgetting } from '../../pkg/overlaynet/forget-connections.ts';
import { linuxKernel } from '../../pkg/overlaynet/kernel/linux.ts';
import { longestTurn, option, report, round } from './measure.ts';

const PORTS = 20_000;
const VIP = '10.9.0.1';
const BACKENDS = ['10.8.0.1', '10.8.0.2', '10.8.0.3', '10.8.0.4'] as const;
const runs = option('runs', 5);
const given = process.argv.find((word) => word.startsWith('--flows='))?.split('=')[1];
const sizes = (given ?? '1000,10000,60000').split(',').map(Number);

/** Sends datagrams to as many ports of the virtual address; nobody answers. */
const SENDER = `
const [flows] = process.argv.slice(1).map(Number);
const socket = () => require('node:dgram').createSocket('udp4');
const send = (from, port) => new Promise((done) => from.send('x', port, '${VIP}', done));
(async () => {
  for (let sent = 0, from = socket(); sent < flows; sent++) {
    if (sent % ${PORTS} === 0) from = socket().on('error', () => {});
    await send(from, 1000 + (sent % ${PORTS})).catch(() => {});
  }
  process.exit();
})();`;

function prepare(inside: (...words: readonly string[]) => void): void {
  const choice = BACKENDS.map((address, at) => `${at} : ${address}`).join(', ');
  inside('ip', 'link', 'set', 'lo', 'up');
  for (const address of [VIP, ...BACKENDS])
    inside('ip', 'address', 'add', `${address}/32`, 'dev', 'lo');
  inside('sysctl', '-qw', 'net.netfilter.nf_conntrack_udp_timeout=600');
  inside('nft', 'add table ip t');
  inside('nft', 'add chain ip t out { type nat hook output priority -100; }');
  inside(
    'nft',
    `add rule ip t out ip daddr ${VIP} dnat to numgen inc mod ${BACKENDS.length} map { ${choice} }`,
  );
}

async function measure(flows: number): Promise<void> {
  const found: Awaited<ReturnType<typeof longestTurn>>[] = [];
  for (let run = 0; run < runs; run++) {
    const folder = mkdtempSync(join(tmpdir(), 'muster-perf-'));
    const pin = join(folder, 'ns');
    createNamespace(pin);
    const inside = (...words: readonly string[]): void => {
      execFileSync('nsenter', [`--net=${pin}`, ...words], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
    };
    try {
      prepare(inside);
      inside(process.execPath, '-e', SENDER, String(flows));
      // Those of the last second still wait for their answers.
      await pause(2000);
      using namespace = linuxKernel.open(pin);
      const rulesets = new AppliedRulesets(namespace);
      // Kept too late to be believed, as where somebody else changes tables.
      const destinations = new Destinations(namespace, rulesets);
      const target = { namespace, rulesets, destinations, isLive: true };
      const leaving = BACKENDS[run % BACKENDS.length] as string;
      const forgetting = new Forgetting(linuxKernel, silentLogger);
      const forget = async (): Promise<void> => {
        forgetting.begin([target], { removed: new Set([leaving]), gone: new Set() });
        await forgetting.done;
      };
      found.push(await longestTurn(forget));
    } finally {
      removeNamespace(pin);
      rmSync(folder, { recursive: true });
    }
  }
  report(
    `longest turn of the event loop while one of four backends leaves ${flows} flows`,
    'ms',
    found.map(({ longestMs }) => longestMs),
    { wholeMs: round(Math.max(...found.map(({ wholeMs }) => wholeMs))) },
  );
}

for (const flows of sizes) await measure(flows);
