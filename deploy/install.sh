#!/usr/bin/env bash
# Installs Muster on this machine from this checkout: /opt/muster, the systemd unit, and ctl on PATH.
#   sudo deploy/install.sh            install or upgrade; running containers are not touched
#   sudo deploy/install.sh --remove   leave the cluster and remove it
set -euo pipefail
cd "$(dirname "$0")/.."
TARGET=/opt/muster

if [ "${1:-}" = --remove ]; then
  [ -x /usr/local/bin/ctl ] && /usr/local/bin/ctl swarm leave --force || true
  systemctl disable --now muster-agent.service 2> /dev/null || true
  rm -rf "$TARGET" /etc/systemd/system/muster-agent.service /usr/local/bin/ctl
  systemctl daemon-reload
  echo 'Muster is removed; images and volumes stay in /var/lib/muster until you delete them.'
  exit 0
fi

bash tools/prepare.sh run
npm run -s build
mkdir -p "$TARGET"
cp -r --remove-destination dist bin deploy package.json package-lock.json LICENSE "$TARGET/"
mkdir -p "$TARGET/pkg/runtime/init/build" "$TARGET/node_modules"
cp pkg/runtime/init/build/muster-init "$TARGET/pkg/runtime/init/build/"
cp -r node_modules/koffi node_modules/@koromix "$TARGET/node_modules/"
ln -sf "$TARGET/bin/ctl" /usr/local/bin/ctl
install -m 644 deploy/systemd/muster-agent.service /etc/systemd/system/
systemctl daemon-reload
systemctl enable muster-agent.service
systemctl restart muster-agent.service
cat <<TXT
Muster runs on this machine. Next:
  first machine:   ctl swarm init --advertise-addr ADDRESS
  other machines:  ctl swarm join --token TOKEN ADDRESS:2377     (ctl swarm join-token worker|manager shows it)
TXT
