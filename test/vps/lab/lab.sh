#!/usr/bin/env bash
# Throw-away VPSs: real systemd as PID 1, sshd, apt, as systemd-nspawn containers on a bridge that
# exists in a network namespace of its own, so that nothing can leave it. Needs root and
# systemd-container debootstrap dpkg-dev iproute2 openssh-client.
#
#   lab.sh base DISTRIBUTION            builds the image of bookworm or trixie once (about a minute)
#   lab.sh net COMMAND...               runs a command in the lab's network
#   lab.sh up NAME DISTRIBUTION [LAYER] starts a host on top of an image, or of a layer kept before
#   lab.sh keep NAME LAYER              stops a host and keeps what it wrote as a layer for others
#   lab.sh reboot|crash NAME            clean stop and start; power cut and start
#   lab.sh down [NAME...]               stops and deletes hosts (all: the network and layers too)
#   lab.sh leader|log NAME              pid of the host's init seen from outside; the console
set -euo pipefail

LAB=${ZDD_LAB:-/var/tmp/zdd-lab} # everything the lab keeps
NS=${ZDD_LAB_NAME:-zddlab} # prefix of namespaces, links and cgroups: two labs can stand side by side
NET=10.77.0
RECIPE=3 # raise it when customise() changes
PACKAGES=systemd,systemd-sysv,dbus,libpam-systemd,libnss-systemd,sudo,openssh-server,iproute2,curl,ca-certificates,procps,rsync,netbase,logrotate,libatomic1,faketime,man-db
# Not installed, but to be had by `apt-get install` inside: a host has no way out.
OFFERED="haproxy polkitd libsystemd0"
NODE=${ZDD_LAB_NODE:-$(command -v node)} # the apps' own runtime

[ "$(id -u)" = 0 ] || { echo 'lab.sh: must be root' >&2; exit 2; }
mkdir -p "$LAB"/{hosts,layers,keys,log,debs}
say() { printf 'lab: %s\n' "$*" >&2; }

# ---------------------------------------------------------------- images
# shellcheck disable=SC2016 # apt's own placeholder
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/$' | sed 's#/$##'; }
image() { printf '%s/image-%s-%s' "$LAB" "$1" "$(printf '%s|%s|%s|%s' "$PACKAGES" "$OFFERED" "$RECIPE" "$("$NODE" -v)" | sha256sum | cut -c1-12)"; }

base() { # DISTRIBUTION
  local image making
  image=$(image "$1"); making=$LAB/making-$1
  exec 8>"$LAB/base-$1.lock"; flock 8
  if [ ! -e "$image/.ready" ]; then
    say "building the image of $1 (about a minute)"
    rm -rf --one-file-system "$making"
    debootstrap --variant=minbase --cache-dir="$LAB/debs" --include="$PACKAGES" "$1" "$making" "$(mirror)" \
      >"$LAB/log/debootstrap-$1.log" 2>&1 || { tail -5 "$LAB/log/debootstrap-$1.log" >&2; return 1; }
    customise "$making" "$1" >"$LAB/log/customise-$1.log" 2>&1 || { tail -5 "$LAB/log/customise-$1.log" >&2; return 1; }
    touch "$making/.ready"
    mv "$making" "$image"
  fi
  exec 8>&-
  echo "$image"
}

customise() { # ROOT DISTRIBUTION
  local r=$1 mirror unit
  mirror=$(mirror)
  printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nMaxStartups 100\n' >"$r/etc/ssh/sshd_config.d/lab.conf"
  rm -f "$r"/etc/ssh/ssh_host_*
  # The login that people have on their VPS: not root, but may use sudo.
  chroot "$r" useradd -m -u 1000 -s /bin/bash -G sudo deploy
  echo 'deploy ALL=(ALL) NOPASSWD:ALL' >"$r/etc/sudoers.d/deploy"; chmod 440 "$r/etc/sudoers.d/deploy"
  printf '#!/bin/sh\nexit 101\n' >"$r/usr/sbin/policy-rc.d"; chmod 755 "$r/usr/sbin/policy-rc.d"
  printf 'deb %s %s main\ndeb %s %s-updates main\ndeb %s %s-security main\n' \
    "$mirror" "$2" "$mirror" "$2" "${mirror%/debian}/debian-security" "$2" >"$r/etc/apt/sources.list"
  cp -L /etc/resolv.conf "$r/etc/resolv.conf"
  chroot "$r" apt-get -q update
  DEBIAN_FRONTEND=noninteractive chroot "$r" apt-get -qy upgrade
  # A repository inside the image, so that installing and upgrading go through the real apt.
  chroot "$r" apt-get -qy clean
  # shellcheck disable=SC2086 # a list of package names
  DEBIAN_FRONTEND=noninteractive chroot "$r" apt-get -qy --no-install-recommends --reinstall --download-only install $OFFERED
  mkdir -p "$r/opt/packages"; mv "$r"/var/cache/apt/archives/*.deb "$r/opt/packages/"
  (cd "$r/opt/packages" && dpkg-scanpackages --multiversion . >Packages)
  echo 'deb [trusted=yes] file:/opt/packages ./' >"$r/etc/apt/sources.list"
  chroot "$r" apt-get -q update
  rm -f "$r/usr/sbin/policy-rc.d" "$r/etc/resolv.conf"
  # nspawn mounts the controllers of cgroup v1 read-only: limits would be ignored without a word.
  # shellcheck disable=SC2016 # for the shell in there
  printf '#!/bin/sh\nfor c in memory cpu cpuacct pids blkio; do mount -o remount,bind,rw /sys/fs/cgroup/$c 2>/dev/null; done\nexec /lib/systemd/systemd "$@"\n' >"$r/usr/local/sbin/lab-init"
  chmod 755 "$r/usr/local/sbin/lab-init"
  install -m755 "$NODE" "$r/usr/bin/node"
  for unit in systemd-networkd-wait-online.service systemd-networkd.service systemd-networkd.socket apt-daily.timer \
    apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service man-db.timer \
    systemd-timesyncd.service console-getty.service getty.target systemd-firstboot.service; do
    ln -sf /dev/null "$r/etc/systemd/system/$unit"
  done
  mkdir -p "$r/var/log/journal" # kept over a reboot, as on a VPS
  : >"$r/etc/machine-id"; rm -f "$r/var/lib/dbus/machine-id"
}

# ---------------------------------------------------------------- network
alive_ns() { # a file left by a machine that went down is no namespace
  [ -e "/run/netns/$1" ] || return 1
  [ "$(stat -f -c %T "/run/netns/$1")" = nsfs ] || { rm -f "/run/netns/$1"; return 1; }
}
hub() {
  alive_ns "$NS" && return 0
  ip netns add "$NS"
  ip -n "$NS" link set lo up
  ip -n "$NS" link add br0 type bridge
  ip -n "$NS" addr add "$NET.1/24" dev br0
  ip -n "$NS" link set br0 up
}
address() { cat "$LAB/hosts/$1/address"; }
choose_address() { # HOST: the lowest number that is free
  local number
  for number in $(seq 11 250); do
    mkdir "$LAB/hosts/.$number" 2>/dev/null || continue
    echo "$number" >"$LAB/hosts/$1/number"; echo "$NET.$number" >"$LAB/hosts/$1/address"
    return 0
  done
  say 'no address is left'; return 1
}
plug() { # HOST: its namespace stands before it boots
  local ns=$NS-$1 number
  alive_ns "$ns" && return 0
  number=$(cat "$LAB/hosts/$1/number")
  ip netns add "$ns"
  ip -n "$NS" link add "v$number" type veth peer name eth0 netns "$ns"
  ip -n "$NS" link set "v$number" master br0 up
  ip -n "$ns" link set lo up
  ip -n "$ns" addr add "$(address "$1")/24" dev eth0
  ip -n "$ns" link set eth0 up
}
in_net() { nsenter --net="/run/netns/$NS" -- "$@"; } # `ip netns exec` would hide /sys/fs/cgroup

# ---------------------------------------------------------------- cgroups
# --keep-unit uses the caller's cgroup, so each host enters one of its own first.
cgroups_of() {
  local controllers path controller
  awk -F: '{print $2" "$3}' /proc/self/cgroup | while read -r controllers path; do
    case $controllers in
      cpuset) continue ;;
      name=*) controller=${controllers#name=} ;;
      /*) path=$controllers; controller=unified ;; # "0::/path"
      *) controller=$controllers ;;
    esac
    if [ -d "/sys/fs/cgroup/$controller" ]; then
      # This very shell may stand in a host's cgroup already.
      printf '/sys/fs/cgroup/%s%s/%s-%s\n' "$controller" "${path%%/"$NS"-*}" "$NS" "$1"
    fi
  done
}
enter_cgroups() {
  local folder
  for folder in $(cgroups_of "$1"); do mkdir -p "$folder" && echo "$BASHPID" >"$folder/cgroup.procs"; done
}

# ---------------------------------------------------------------- hosts
running() { # prints the pid of the host's nspawn if it is alive and ours
  local pid
  pid=$(cat "$LAB/hosts/$1/pid" 2>/dev/null) && [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "-D $LAB/hosts/$1/root " && echo "$pid"
}
leader() {
  local pid child
  pid=$(running "$1") || return 1
  local children
  read -ra children <"/proc/$pid/task/$pid/children" || true
  for child in "${children[@]}"; do
    if [ "$(awk '/^NSpid/{print $NF}' "/proc/$child/status")" = 1 ]; then echo "$child"; return 0; fi
  done
  return 1
}
lay_out() { # NAME DISTRIBUTION [LAYER]
  local home=$LAB/hosts/$1 lower
  [ -e "$home/lower" ] && return 0
  lower=$(image "$2")
  [ -e "$lower/.ready" ] || { say "there is no image of $2: lab.sh base $2"; return 1; }
  if [ -n "${3:-}" ]; then
    [ -d "$LAB/layers/$3" ] || { say "there is no layer $3"; return 1; }
    lower=$LAB/layers/$3:$lower
  fi
  mkdir -p "$home"/{root,upper,work}
  choose_address "$1"
  echo "$lower" >"$home/lower"
}
identity() { # NAME: what differs from host to host
  local root=$LAB/hosts/$1/root
  printf '%s-%s' "$NS" "$1" | md5sum | cut -c1-32 >"$root/etc/machine-id"
  echo "$1" >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n%s.1 runner\n%s %s\n' "$NET" "$(address "$1")" "$1" >"$root/etc/hosts"
  ( # two hosts that are the first ones of a lab come here at once
    flock 7
    [ -e "$LAB/keys/id_ed25519.pub" ] || ssh-keygen -q -t ed25519 -N '' -C lab -f "$LAB/keys/id_ed25519"
  ) 7>"$LAB/keys/.lock"
  install -d -m700 "$root/root/.ssh"
  install -m600 "$LAB/keys/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
  install -d -m700 -o 1000 -g 1000 "$root/home/deploy/.ssh"
  install -m600 -o 1000 -g 1000 "$LAB/keys/id_ed25519.pub" "$root/home/deploy/.ssh/authorized_keys"
  rm -f "$root"/etc/ssh/ssh_host_*
  ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$root/etc/ssh/ssh_host_ed25519_key"
  (umask 077; printf '%s %s\n' "$1" "$(cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub")" >"$LAB/hosts/$1/known_hosts")
  touch "$LAB/hosts/$1/made"
}
start() { # NAME
  local name=$1 home=$LAB/hosts/$1 try
  running "$name" >/dev/null && return 0
  mountpoint -q "$home/root" || mount -t overlay "$NS-$name" \
    -o "lowerdir=$(cat "$home/lower"),upperdir=$home/upper,workdir=$home/work" "$home/root"
  [ -e "$home/made" ] || identity "$name"
  plug "$name"
  (
    enter_cgroups "$name"
    exec </dev/null >>"$LAB/log/$name.log" 2>&1
    exec setsid env -i PATH="$PATH" SYSTEMD_LOG_LEVEL=err \
      systemd-nspawn -D "$home/root" --kill-signal=SIGRTMIN+3 --machine="$NS-$name" --hostname="$name" \
      --register=no --keep-unit --console=read-only --link-journal=no --timezone=off \
      --network-namespace-path="/run/netns/$NS-$name" --resolv-conf=off /usr/local/sbin/lab-init
  ) &
  echo $! >"$home/pid"
  for try in $(seq 100); do
    tr '\0' ' ' <"/proc/$(cat "$home/pid")/cmdline" 2>/dev/null | grep -q '^systemd-nspawn' && return 0
    [ "$try" -lt 100 ] || { say "$name: nspawn did not start"; return 1; }
    sleep .05
  done
}
ready() { # NAME: sshd answers
  local name=$1 try
  for try in $(seq 300); do
    in_net ssh -i "$LAB/keys/id_ed25519" -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=5 -o LogLevel=ERROR \
      -o UserKnownHostsFile="$LAB/hosts/$name/known_hosts" -o StrictHostKeyChecking=yes -o HostKeyAlias="$name" \
      "root@$(address "$name")" true </dev/null 2>/dev/null && return 0
    running "$name" >/dev/null || { say "$name died:"; tail -5 "$LAB/log/$name.log" >&2; return 1; }
    [ "$try" -lt 300 ] || { say "$name: sshd does not answer"; return 1; }
    sleep .1
  done
}
stop() { # NAME: a clean shutdown, after 30 s the hard way
  local name=$1 pid init try
  pid=$(running "$name") || return 0
  init=$(leader "$name" || true)
  kill -TERM "$pid"
  for try in $(seq 300); do
    [ -d "/proc/$pid" ] || return 0
    sleep .1
  done
  say "$name: still up after $((try / 10)) s, forced"
  [ -z "$init" ] || kill -KILL "$init" 2>/dev/null || true
  kill -KILL "$pid" 2>/dev/null || true
  gone "$pid"
}
gone() { # PID
  local try
  for try in $(seq 200); do
    [ -d "/proc/$1" ] || return 0
    [ "$try" -lt 200 ] || return 1
    sleep .05
  done
}
delete() { # NAME
  local name=$1 home=$LAB/hosts/$1 tree
  mountpoint -q "$home/root" && { umount "$home/root" || umount -l "$home/root"; }
  [ -e "$home/number" ] && rm -rf "$LAB/hosts/.$(cat "$home/number")"
  rm -rf --one-file-system "$home"
  alive_ns "$NS-$name" && ip netns del "$NS-$name"
  for tree in /sys/fs/cgroup/ /sys/fs/cgroup/*/; do
    find "$tree" -depth -type d -path "*/$NS-$name*" -exec rmdir {} + 2>/dev/null || true
  done
  rmdir "/run/systemd/nspawn/propagate/$NS-$name" 2>/dev/null || true
}
hosts() { find "$LAB/hosts" -mindepth 1 -maxdepth 1 -not -name '.*' -printf '%f\n'; }

action=${1:-help}
shift || true
case $action in
  base) base "$1" ;;
  net) hub; in_net "$@" ;;
  up) hub; mkdir -p "$LAB/hosts/$1"; lay_out "$@"; start "$1"; ready "$1"; address "$1" ;;
  reboot) stop "$1"; start "$1"; ready "$1" ;;
  crash)
    pid=$(running "$1"); kill -KILL "$(leader "$1")"; gone "$pid"
    start "$1"; ready "$1" ;;
  keep)
    stop "$1"; umount "$LAB/hosts/$1/root"
    rm -rf --one-file-system "$LAB/layers/$2"; mv "$LAB/hosts/$1/upper" "$LAB/layers/$2"
    delete "$1" ;;
  leader) leader "$1" ;;
  log) cat "$LAB/log/$1.log" ;;
  down)
    names=${*:-$(hosts)}
    for name in $names; do stop "$name" & done; wait
    for name in $names; do delete "$name"; done
    if [ $# = 0 ]; then
      rm -rf --one-file-system "$LAB"/hosts/.[0-9]* "$LAB"/layers/*
      if alive_ns "$NS"; then ip netns del "$NS"; fi
    fi ;;
  *) sed -n '2,13p' "$0" ;;
esac
