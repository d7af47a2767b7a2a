#!/usr/bin/env bash
# Runs a command in a virtual machine with Debian's own kernel, which has what the kernel of a container host may lack (ESP,
# for one). The machine sees this one's files, read-only, with a scratch layer over them; it has no network.
#
#   bash test/vm/run.sh npx vitest run --project linux pkg/overlaynet/encryption.linux.test.ts
#
# Emulated in software: seconds become tens of seconds. Exits with the command's status. Needs 3 GB of memory and, the first
# time, Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${MUSTER_VM_DIR:-/var/tmp/muster-vm}

packages=()
for pair in qemu-system-x86_64:qemu-system-x86 depmod:kmod cpio:cpio busybox:busybox-static; do
  command -v "${pair%%:*}" > /dev/null || packages+=("${pair##*:}")
done
if [ ${#packages[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null
fi

mkdir -p "$cache"
if [ ! -e "$cache/ready" ]; then
  rm -rf "${cache:?}/kernel"
  kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
  (cd "$cache" && apt-get download -qq "$kernel" && dpkg-deb -x ./*.deb kernel && rm -f ./*.deb)
  version=$(ls "$cache/kernel/lib/modules")
  depmod -b "$cache/kernel" "$version"
  echo "$version" > "$cache/ready"
fi
version=$(cat "$cache/ready")
modules=$cache/kernel/lib/modules/$version

work=$(mktemp -d -p "$cache")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/initrd/bin" "$work/initrd/modules"
cp "$(command -v busybox)" "$work/initrd/bin/busybox"
# What is needed to reach the rest; in the order in which they depend on each other.
for name in virtio_pci 9pnet_virtio 9p overlay; do
  modprobe -D -d "$cache/kernel" -S "$version" "$name" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' > "$work/modules"
while read -r file; do
  cp "$file" "$work/initrd/modules/"
  echo "insmod /modules/$(basename "$file")"
done < "$work/modules" > "$work/initrd/load"
printf 'cd %q\nexec %s\n' "$PWD" "$(printf '%q ' "$@")" > "$work/command"
cat > "$work/initrd/init" <<INIT
#!/bin/busybox sh
b=/bin/busybox
\$b mkdir -p /proc /sys /dev /host /rw /root
\$b mount -t proc proc /proc; \$b mount -t sysfs sys /sys; \$b mount -t devtmpfs dev /dev
while read -r command file; do \$b insmod "\$file"; done < /load
\$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /host
\$b mount -t tmpfs -o size=1g tmpfs /rw
\$b mkdir -p /rw/upper /rw/work
\$b mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work overlay /root
\$b mkdir -p /root/lib/modules/$version
for place in proc sys dev; do \$b mount --move /\$place /root/\$place; done
exec \$b switch_root /root /bin/sh $work/start
INIT
cat > "$work/start" <<START
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI=1 DO_NOT_TRACK=1
mount --bind $modules /lib/modules/$version
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp; mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
modprobe -a veth bridge vxlan nf_tables nft_chain_nat nft_numgen nft_ct nft_nat nft_masq nft_redir nft_fib_ipv4 nft_hash xfrm_user esp4 esp6 nft_fib_ipv6 br_netfilter 2> /dev/null
bash $work/command < /dev/null
echo "exit status of the command: \$?"
sync; echo o > /proc/sysrq-trigger; while :; do :; done
START
chmod +x "$work/initrd/init"
(cd "$work/initrd" && find . | cpio -o -H newc --quiet | gzip -1 > "$work/initrd.gz")

timeout "${MUSTER_VM_SECONDS:-900}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 3072 -smp 2 -nographic -no-reboot -nic none \
  -kernel "$cache/kernel/boot/vmlinuz-$version" -initrd "$work/initrd.gz" -append 'console=ttyS0 panic=-1 quiet' \
  -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap < /dev/null 2>&1 |
  tr -d '\r' | tee "$work/output"
status=$(sed -n 's/.*exit status of the command: \([0-9]*\).*/\1/p' "$work/output" | tail -n 1)
exit "${status:-1}"
