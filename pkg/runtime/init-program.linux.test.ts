import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ShimAttachment } from './attachment.ts';
import { parseCgroupMounts } from './cgroup/hierarchy.ts';
import { CgroupV2 } from './cgroup/v2.ts';
import { containerPlan } from './container-plan.ts';
import { createRuntime } from './create-runtime.ts';
import { deviceRules } from './devices.ts';
import { FRAME } from './frame.ts';
import { launch } from './launch.ts';
import { readMachine } from './machine.ts';
import { shimEnded } from './shim-connection.ts';
import { readStatus } from './status.ts';
import { INIT_PATH, TestHost } from './test-host.ts';

let host: TestHost;
beforeAll(() => {
  host = new TestHost();
});
afterAll(() => host.close());

function plan(): Buffer {
  return containerPlan(host.spec('true', { id: 'fuzz', tty: true }), readMachine().facts, {
    placement: { v1Tasks: ['/x'], v2Dir: '/y' },
    mountPoint: '/z',
    logPath: '/log',
    nodes: [],
  });
}

/** The exit code of `muster-init check`, or the signal that ended it. */
function check(bytes: Uint8Array): number | string | null {
  const file = `${host.dir}/checked`;
  writeFileSync(file, bytes);
  const { status, signal } = spawnSync(INIT_PATH, ['check', file]);
  return signal ?? status;
}

describe('the parser of plans', () => {
  it('accepts what the TypeScript side writes', () => {
    expect(check(plan())).toBe(0);
  });

  it('refuses other versions, unknown records and missing ones', () => {
    const good = plan();
    const other = Buffer.from(good);
    other[3] = 2;
    const unknown = Buffer.concat([good, Buffer.from([99, 0, 0, 0, 0])]);
    for (const bad of [other, unknown, good.subarray(0, 4), Buffer.alloc(1)]) {
      expect(check(bad)).toBe(1);
    }
  });

  it('survives damaged plans: it says yes or no and never crashes', () => {
    const good = plan();
    let seed = 1;
    const next = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    for (let i = 0; i < 150; i++) {
      const bad = Buffer.from(good.subarray(0, i % 3 === 0 ? next(good.length) : good.length));
      for (let k = next(6); k > 0 && bad.length > 0; k--) bad[next(bad.length)] = next(256);
      expect([0, 1], `seed ${i}`).toContain(check(bad));
    }
  });
});

describe('a machine with only the v2 tree', () => {
  it('places, freezes, kills and filters devices there', async () => {
    const root = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8')).v2;
    if (root === undefined) throw new Error('no v2 tree is mounted here');
    const cgroups = new CgroupV2(root, totalmem());
    const spec = host.spec(
      'mknod /disk b 254 0; head -c 1 /disk; head -c 3 /dev/zero | wc -c; read x',
    );
    const dir = `${host.dir}/v2`;
    mkdirSync(`${dir}/root`, { recursive: true });
    const rules = deviceRules({ privileged: false, nodes: [], rules: [] });
    const cgroup = `${host.cgroupParent}/v2`;
    cgroups.create(cgroup, {});
    const bytes = containerPlan({ ...spec, openStdin: true }, readMachine().facts, {
      placement: cgroups.placement(cgroup, rules),
      mountPoint: `${dir}/root`,
      logPath: `${dir}/log`,
      nodes: [],
    });
    const { pid } = await launch(INIT_PATH, 'run', dir, bytes);
    expect(cgroups.pids(cgroup)).toEqual([pid]);
    const stdio = await ShimAttachment.open(dir);
    const errors = text(stdio.stderr);
    await stdio.request(FRAME.start);
    const [line] = await once(stdio.stdout, 'data');
    expect(String(line)).toBe('3\n');
    cgroups.freeze(cgroup, true);
    expect(cgroups.isFrozen(cgroup)).toBe(true);
    cgroups.killAll(cgroup);
    stdio.stdout.resume();
    await shimEnded(dir);
    expect(readStatus(dir)?.exit).toMatchObject({ code: 137, signal: 9 });
    expect(await errors).toContain('/disk: Operation not permitted');
    expect(cgroups.remove(cgroup)).toBe(true);
  });
});

describe('a state directory', () => {
  it('may have a path longer than a socket address', async () => {
    const stateDir = `${host.dir}/${'long-name-'.repeat(12)}`;
    const runtime = createRuntime({ initPath: INIT_PATH, stateDir });
    const spec = host.spec('exit 3', { id: 'far' });
    await runtime.create(spec);
    await runtime.start('far');
    expect(await runtime.wait('far')).toMatchObject({ code: 3 });
    await runtime.delete('far');
  });

  it('left by an agent that died while it made a container does not block the name', async () => {
    mkdirSync(`${host.dir}/state/half`, { recursive: true });
    const { exit } = await host.run('exit 8', { id: 'half' });
    expect(exit.code).toBe(8);
  });
});
