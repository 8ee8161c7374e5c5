#!/usr/bin/env bash
# Starts the tracking server on the head node, for the nodes of the cluster, and waits until it answers.
set -euo pipefail
ip=$(hostname -I | cut -d' ' -f1)
mkdir -p ~/dn-server
echo "http://$ip:5000" >~/dn-server/address
answers() { python -c "import urllib.request; urllib.request.urlopen('http://$ip:5000/health', timeout=5)" 2>/dev/null; }
if answers; then exit 0; fi
export DN_SERVER_PASSWORD_FILE=$HOME/.dropneuron/password
nohup setsid python -m sweeps.cli server --folder ~/dn-server --host "$ip" --allowed-hosts "$ip:5000" \
  >~/dn-server/dn.log 2>&1 </dev/null &
for _ in $(seq 300); do
  if answers; then exit 0; fi
  if ! kill -0 $! 2>/dev/null; then break; fi
  sleep 1
done
echo "the tracking server does not start: $(tail -n 1 ~/dn-server/dn.log)" >&2
exit 1
