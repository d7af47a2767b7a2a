/**
 * What Docker's overlay has in the kernel, built with ip, bridge and nft, where dockerd is not installed: links, entries
 * and rules as dockerd 20.10 was seen to make them for two hosts with a container each. Not Docker: label it as such.
 */
import { execFileSync } from 'node:child_process';
import type { NetworkLab } from '../../pkg/overlaynet/testing/lab.ts';
import type { DockerContainer } from './docker-overlay.ts';

const SUBNET = '10.0.9';

/** @param numbers of two machines that the lab does not have yet; they are at 192.168.50.`number` */
export function buildDockerLike(
  lab: NetworkLab,
  numbers: readonly [number, number],
): readonly [DockerContainer, DockerContainer] {
  const [first, second] = numbers;
  return [buildOne(lab, first, second), buildOne(lab, second, first)];
}

function buildOne(lab: NetworkLab, own: number, other: number): DockerContainer {
  const machine = lab.machine(`h${own}`, own);
  const hub = lab.namespace(`hub${own}`);
  const container = lab.namespace(`like${own}`);
  const run = (netns: string, script: string): void => {
    execFileSync('nsenter', [`--net=${netns}`, 'sh', '-e'], { input: script });
  };
  run(
    machine,
    `ip link add vxlan0 type vxlan id 4100 dstport 4789 learning proxy l2miss l3miss
     ip link set vxlan0 netns ${hub}
     ip link add gwbridge type bridge
     ip addr add 172.30.0.1/16 dev gwbridge
     ip link set gwbridge up
     ip link add out type veth peer name eth1 netns ${container}
     ip link set out master gwbridge up
     echo 1 > /proc/sys/net/ipv4/ip_forward
     nft -f - <<'RULES'\n${HOST_RULES}\nRULES`,
  );
  run(
    hub,
    `ip link add br0 type bridge
     ip link set br0 mtu 1450 up
     ip link set vxlan0 mtu 1450 master br0 up
     ip link add veth0 mtu 1450 type veth peer name eth0 mtu 1450 address ${mac(own)} netns ${container}
     ip link set veth0 master br0 up
     bridge fdb add ${mac(other)} dev vxlan0 dst 192.168.50.${other} self permanent
     ip neigh add ${SUBNET}.${other} lladdr ${mac(other)} dev vxlan0 nud permanent`,
  );
  run(
    container,
    `ip addr add ${SUBNET}.${own}/24 dev eth0
     ip link set eth0 up
     ip addr add 172.30.0.2/16 dev eth1
     ip link set eth1 up
     ip route add default via 172.30.0.1
     nft -f - <<'RULES'\n${CONTAINER_RULES}\nRULES`,
  );
  return { netns: container, address: `${SUBNET}.${own}` };
}

function mac(number: number): string {
  return `02:42:0a:00:09:${number.toString(16).padStart(2, '0')}`;
}

const HOST_RULES = `
table ip nat {
  chain docker { iifname "gwbridge" counter return; }
  chain prerouting { type nat hook prerouting priority -100; fib daddr type local counter jump docker; }
  chain output { type nat hook output priority -100; ip daddr != 127.0.0.0/8 fib daddr type local counter jump docker; }
  chain postrouting { type nat hook postrouting priority 100; ip saddr 172.30.0.0/16 oifname != "gwbridge" counter masquerade; }
}
table ip filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    oifname "gwbridge" ct state related,established counter accept
    iifname "gwbridge" oifname != "gwbridge" counter accept
  }
}`;

const CONTAINER_RULES = `
table ip nat {
  chain resolver { tcp dport 53 counter dnat to 127.0.0.11:40000; udp dport 53 counter dnat to 127.0.0.11:40001; }
  chain back { tcp sport 40000 counter snat to :53; udp sport 40001 counter snat to :53; }
  chain output { type nat hook output priority -100; ip daddr 127.0.0.11 counter jump resolver; }
  chain postrouting { type nat hook postrouting priority 100; ip daddr 127.0.0.11 counter jump back; }
}`;
