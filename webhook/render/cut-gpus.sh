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
  local text="gpu-slice-cut: ${*//$'\n'/ }"
  echo "$text" >&2
  echo "$text" 2>/dev/null >>"$CONSOLE" || true
}

hold() {
  while true; do
    say "this node will not join: $*"    # again and again, as a console keeps only its end
    sleep 60
  done
}

# mode current, mode pending: Enabled where all GPUs are, else all that they are
mode() {
  nvidia-smi --query-gpu="mig.mode.$1" --format=csv,noheader | sort -u
}

counted() {
  sort | uniq -c | sed 's/^ *//' | paste -sd, -
}

# Both its status and its list: a GPU that has fallen off the bus is an error beside those that are left.
for ((waited = 0; ; waited++)); do
  listed=$(nvidia-smi -L 2>&1) && gpus=$(grep -c '^GPU ' <<<"$listed") && break
  ((waited < DRIVER_SECONDS)) || hold "nvidia-smi does not show the GPUs after $DRIVER_SECONDS s: $listed"
  sleep 1
done

if [[ $(mode current) != Enabled ]]; then
  output=$(nvidia-smi -mig 1 2>&1)    # ends with 0 even where it could not
  now=$(mode current)
  if [[ $now != Enabled ]]; then
    [[ $(mode pending) == Enabled ]] || hold "MIG mode is $now: $output"
    # A GPU of the Ampere generation changes its mode by a reset, which a virtual machine may not do.
    [[ -e $REBOOTED ]] && hold "MIG mode is $now even after a reboot: $output"
    { mkdir -p "${REBOOTED%/*}" && touch "$REBOOTED" && sync; } ||
      hold "$REBOOTED cannot be written, and without it this node would reboot for ever"
    say "MIG mode needs a reboot"
    systemctl reboot || hold "MIG mode needs a reboot, and systemctl refused it"
    sleep infinity
  fi
fi

# Nothing uses the GPUs yet.  "No GPU instances found" is an error to nvidia-smi, and none to us.
output=$(nvidia-smi mig -dci 2>&1; nvidia-smi mig -dgi 2>&1)
left=$(nvidia-smi mig -lgi 2>/dev/null | grep -c ' MIG ')    # -L would not show one without a compute instance
((left == 0)) || hold "$left slices from before cannot be removed: $output"

output=$(nvidia-smi mig -cgi "$LAYOUT" -C 2>&1) || hold "$LAYOUT cannot be made: $output"

# "  MIG 1g.5gb     Device  0: (UUID: MIG-...)"
made=$(nvidia-smi -L | sed -n 's/^ *MIG \([^ ]*\) .*/\1/p' | counted)
wanted=$(for ((gpu = 0; gpu < gpus; gpu++)); do tr , '\n' <<<"$LAYOUT"; done | counted)
[[ $made == "$wanted" ]] || hold "made ${made:-nothing}, wanted $wanted"

rm -f "$REBOOTED"
say "cut $gpus GPUs into $LAYOUT each"
