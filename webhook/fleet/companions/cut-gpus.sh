#!/bin/bash
# Cuts every GPU of this node into MIG slices, on every boot, before the kubelet starts: slices do not outlive a
# reboot.  Where that fails it does not return, so that the node never joins the cluster without its slices.
# Karpenter replaces a node that has not registered after 15 minutes.
#
# Read what it said:   journalctl -u gpu-slice-cut       on the node
#                      aws ec2 get-console-output --latest --instance-id ID     from outside
set -uo pipefail

: "${LAYOUT:?the profiles of one GPU, the largest first, separated by commas}"
REBOOTED="${STATE_DIRECTORY:-/var/lib/gpu-slice}/rebooted"
CONSOLE="${CONSOLE:-/dev/console}"
DRIVER_SECONDS="${DRIVER_SECONDS:-120}"

say() {
  echo "gpu-slice-cut: $*" >&2
  echo "gpu-slice-cut: $*" 2>/dev/null >"$CONSOLE" || true
}

hold() {
  while true; do
    say "this node will not join: $*"    # again and again, as a console keeps only its end
    sleep 60
  done
}

modes() {
  nvidia-smi --query-gpu=mig.mode.current --format=csv,noheader | sort -u
}

# "  MIG 1g.5gb     Device  0: (UUID: MIG-...)"
slices() {
  nvidia-smi -L | sed -n 's/^ *MIG \([^ ]*\) .*/\1/p'
}

for ((waited = 0; ; waited++)); do
  gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU ')
  ((gpus > 0)) && break
  ((waited < DRIVER_SECONDS)) || hold "nvidia-smi shows no GPU after $DRIVER_SECONDS s: $(nvidia-smi -L 2>&1 | head -n 1)"
  sleep 1
done

if [[ $(modes) != Enabled ]]; then
  output=$(nvidia-smi -mig 1 2>&1) || say "nvidia-smi -mig 1: $output"
  if [[ $(modes) != Enabled ]]; then
    # A GPU of the Ampere generation changes its mode by a reset, which a virtual machine may not do.
    [[ -e $REBOOTED ]] && hold "MIG mode is $(modes | paste -sd' ') even after a reboot: $output"
    { mkdir -p "${REBOOTED%/*}" && touch "$REBOOTED" && sync; } ||
      hold "$REBOOTED cannot be written, and without it this node would reboot for ever"
    say "MIG mode needs a reboot"
    systemctl reboot
    sleep infinity
  fi
fi

# Nothing uses the GPUs yet.  "No GPU instances found" is an error to nvidia-smi, and none to us.
nvidia-smi mig -dci >/dev/null 2>&1
nvidia-smi mig -dgi >/dev/null 2>&1
left=$(slices | wc -l)
((left == 0)) || hold "$left slices from before cannot be removed: $(nvidia-smi mig -dgi 2>&1 | paste -sd' ')"

output=$(nvidia-smi mig -cgi "$LAYOUT" -C 2>&1) || hold "$LAYOUT cannot be made: $(paste -sd' ' <<<"$output")"

wanted=$(for ((gpu = 0; gpu < gpus; gpu++)); do tr , '\n' <<<"$LAYOUT"; done | sort | uniq -c)
made=$(slices | sort | uniq -c)
[[ $made == "$wanted" ]] ||
  hold "made $(paste -sd, <<<"${made:-nothing}" | tr -s ' '), wanted $(paste -sd, <<<"$wanted" | tr -s ' ')"

rm -f "$REBOOTED"
say "cut $gpus GPUs into $LAYOUT each"
