#!/usr/bin/env bash
# npm run quickstart            a cluster of three manager and three agent hosts on this machine, with a stack on it
# npm run quickstart -- --down  ends it and removes every trace
set -euo pipefail
cd "$(dirname "$0")/.."
NAME=quickstart
lab() { node dist/lab.js "$@" --name "$NAME"; }
on() { node dist/lab.js exec --name "$NAME" "$@"; }
step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

if [ "${1:-}" = --down ]; then
  [ -e dist/lab.js ] || { echo 'Nothing is built, so nothing runs.'; exit 0; }
  if [ -e "/var/lib/muster/labs/$NAME" ]; then lab down; fi
  echo 'The quickstart cluster is gone.'
  exit 0
fi
[ $# -eq 0 ] || { echo "unknown argument $1; npm run quickstart [-- --down]" >&2; exit 2; }

started=$SECONDS
step 'Installing what is missing'
bash tools/prepare.sh run
step 'Building'
npm run -s build

if [ -e "/var/lib/muster/labs/$NAME" ]; then
  step 'Removing the cluster of an earlier quickstart'
  lab down
fi
step 'Starting six hosts (network namespaces on this machine): three managers, three workers'
lab up --managers 3 --agents 3
on h1 ctl node ls

step 'Making a small web image and loading it on every host'
image=$(mktemp -d)
trap 'rm -rf "$image"' EXIT
node deploy/image/make.mjs "$image/web1.tar" muster/web:1 VERSION=1
node deploy/image/make.mjs "$image/web2.tar" muster/web:2 VERSION=2
for host in h1 h2 h3 h4 h5 h6; do
  on $host ctl image load -q -i "$image/web1.tar"
  on $host ctl image load -q -i "$image/web2.tar" > /dev/null
done

step 'Deploying deploy/stack/hello.yaml: three web servers, one visitor'
on h1 ctl stack deploy -c deploy/stack/hello.yaml hello
on h1 ctl stack ps hello

step 'Asking the virtual IP from inside a container'
for _ in $(seq 30); do
  [ "$(on h1 ctl service logs --raw hello_visitor | grep -c '^hello from')" -ge 6 ] && break
  sleep 1
done
on h1 ctl service logs --raw --tail 6 hello_visitor
step 'Asking the published port on each host (the routing mesh answers everywhere)'
for host in 11 12 13 14 15 16; do
  printf '172.30.0.%s:8080  ' "$host"
  on h1 busybox wget -q -O - "http://172.30.0.$host:8080/"
done

cat <<TXT

It took $((SECONDS - started)) s. The cluster runs; try:

  export PATH=$PWD/bin:\$PATH DOCKER_HOST=unix:///run/muster/$NAME/h1/muster.sock

  ctl service ls                                        what runs
  ctl service scale hello_web=5                         more of it
  ctl service update --image muster/web:2 hello_web     a rolling update, one after the other
  ctl service logs -f hello_visitor                     watch who answers meanwhile
  npm run lab -- kill h1 all --name $NAME               cut the power of a manager,
  npm run lab -- exec --name $NAME h2 ctl node ls        and look again from another
  docker service ls                                     the stock docker client works too

  npm run quickstart -- --down                          remove every trace
TXT
