#!/bin/bash
# Installs zdd-agent on a Debian or Ubuntu server, upgrades it in place, and takes it away again.
# --help says how to call it, docs/install.md what it does and why.
#
# First everything is checked and nothing is changed. Then come the steps, in the order of `install`
# below. Each step looks at the host and changes only what is not yet as it should be, each file is
# replaced by one rename: killed at any moment, the next run goes on from there.
# shellcheck disable=SC2317 # most functions are called by their name, through `change`
set -Eeuo pipefail
umask 022
outer_path=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C

# Where things lie; docs/install.md has the whole table.
prefix=/usr/lib/zdd-agent
etc=/etc/zdd-agent
var=/var/lib/zdd-agent
units=/etc/systemd/system
haproxy_cfg=/etc/haproxy/haproxy.cfg
haproxy_dir=/etc/haproxy/zdd
haproxy_backup=$haproxy_cfg.before-zdd-agent
drop_in=$units/haproxy.service.d/zdd-agent.conf
socket_watch=zdd-haproxy-socket
region_socket=/run/haproxy/zdd.sock # made by the managed region where HAProxy's own will not do
begin_marker='# >>> zdd-agent: managed region, '
end_marker='# <<< zdd-agent: end of the managed region <<<'
min_haproxy=2.6
min_systemd=252

# What the host must have beside the package itself, KiB. The agent leaves 256 MiB free: below that
# it is installed, but no push is accepted.
min_var_kib=65536
push_var_kib=524288

# Exit codes, also in --help.
failed=1
wrong_usage=2
not_ready=3
needs_consent=4

usage() {
  cat <<'END'
Installs zdd-agent on this server, or upgrades it without touching traffic.

  sudo ./install.sh                    install or upgrade
  sudo ./install.sh --check            report what stands in the way; change nothing
  sudo ./install.sh --dry-run          print each step; change nothing
  sudo ./install.sh --uninstall        the agent goes; apps and HAProxy run on
  sudo ./install.sh --uninstall --purge   everything goes, the apps too

  --deploy-user NAME   NAME may deploy: joins the group zdd
  --bind ADDRESS       where HAProxy listens for the apps, instead of *:80; again for more;
                       "none" when your own frontend does (it is asked for only once:
                       afterwards agent.yaml says it)
  --adopt              take over a customised haproxy.cfg: the managed region is added at
                       its end, every other byte stays (without it you are shown the
                       difference and asked)
  --restart-haproxy    restart an adopted HAProxy instead of reloading it: cuts every
                       connection it has
  --configure          everything but copying or removing program files: what the Debian
                       package calls
  --yes                answer every question with yes
  -h, --help

Exit codes: 0 done, 1 a step failed (run it again to go on), 2 wrong usage,
3 the host is not ready and nothing was changed, 4 your consent is needed (--adopt).
END
}

# ---------------------------------------------------------------- words

paint_for() { # FD: colours only for people
  bold='' dim='' green='' yellow='' red='' plain=''
  [[ -t $1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]] || return 0
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' yellow=$'\e[33m' red=$'\e[31m' plain=$'\e[0m'
}

say() { printf '%s\n' "$*"; }
line() { printf '  %-11s %s\n' "$1" "$2"; }

# die CODE MESSAGE [TRY...]
die() {
  local code=$1 message=$2
  shift 2
  trap - ERR
  printf '\n%sError:%s %s\n' "$red" "$plain" "$message" >&2
  tries "$@" >&2
  exit "$code"
}

tries() { # TRY...: the commands that mend it
  local lead='Try:' try
  for try in "$@"; do
    printf '%-4s %s\n' "$lead" "$try"
    lead=''
  done
}

# ask QUESTION: yes only on a terminal, or with --yes.
ask() {
  [[ $yes == no ]] || return 0
  [[ $configure == no && -t 0 && -t 1 ]] || return 1
  local answer
  read -r -p "  $1 [y/N] " answer
  [[ $answer == [yY] || $answer == [yY][eE][sS] ]]
}

# ---------------------------------------------------------------- checks: nothing here changes anything

on_check_error() {
  ((BASH_SUBSHELL == 0)) || return 1
  die "$failed" "looking at this host failed (line $1: $2); nothing was changed" "bash -x $0 --check"
}

passed=0
problems=0
consent_needed=no

ok() {
  passed=$((passed + 1))
  [[ $action != check ]] || printf '  %sok%s    %-11s %s\n' "$green" "$plain" "$1" "$2"
}

note() {
  passed=$((passed + 1))
  printf '  %snote%s  %-11s %s\n' "$yellow" "$plain" "$1" "$2"
}

bad() { # LABEL TEXT [TRY...]
  problems=$((problems + 1))
  printf '  %sFAIL%s  %-11s %s\n' "$red" "$plain" "$1" "$2"
  shift 2
  tries "$@" | sed 's/^/                    /'
}

# at_least VERSION MINIMUM
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1) == "$2" ]]; }

check_host() {
  local id='' version='' name=''
  # shellcheck source=/dev/null
  [[ ! -r /etc/os-release ]] ||
    { read -r id; read -r version; read -r name; } < <(
      . /etc/os-release
      printf '%s\n%s\n%s\n' "${ID:-}" "${VERSION_ID:-}" "${PRETTY_NAME:-}"
    )
  distribution=${name:-an unknown system}
  case $id in
    debian) least=12 ;;
    ubuntu) least=24.04 ;;
    *) least='' ;;
  esac
  # Debian's testing and unstable have no version: newer than every release.
  if [[ -z $least ]] || ! at_least "${version:-99}" "$least"; then
    bad system "$distribution: supported are Debian 12 and Ubuntu 24.04, or newer"
  elif [[ $(uname -sm) != 'Linux x86_64' ]]; then
    bad system "$(uname -sm): supported is 64-bit x86 Linux (x86_64)"
  else
    ok system "$distribution, x86_64"
  fi
  check_systemd
  check_places
  check_space
}

check_systemd() {
  local version
  if [[ $(cat /proc/1/comm) != systemd || ! -d /run/systemd/system ]]; then
    bad systemd "process 1 is $(cat /proc/1/comm), not systemd (a container?)"
    return
  fi
  version=$(systemctl --version | awk 'NR == 1 { print $2 }')
  if at_least "$version" "$min_systemd"; then
    ok systemd "$version"
  else
    bad systemd "$version is too old: $min_systemd or newer is needed"
  fi
}

check_places() {
  local place closed=''
  for place in /etc /etc/systemd/system /etc/haproxy /usr/lib /usr/lib/systemd/system /var/lib; do
    # Even for root, a read-only file system is not writable.
    [[ ! -e $place || -w $place ]] || closed="$closed $place"
  done
  if [[ -n $closed ]]; then
    bad folders "read-only:$closed" "findmnt -T ${closed##* }"
  else
    ok folders '/etc, /usr and /var can be written'
  fi
}

# free_kib FOLDER: on the file system where FOLDER is, or would be made.
free_kib() {
  local folder=$1
  until [[ -d $folder ]]; do folder=$(dirname "$folder"); done
  df --output=avail -k "$folder" | tail -n1
}

check_space() {
  local need_usr=0 free_usr free_var free_etc
  # During an upgrade the new files lie beside the old ones.
  [[ $configure == yes ]] || need_usr=$(($(du -sk "$source_dir/usr" | cut -f1) + 8192))
  free_usr=$(free_kib "$prefix")
  free_var=$(free_kib "$var")
  free_etc=$(free_kib "$etc")
  if ((free_usr < need_usr)); then
    bad space "$prefix needs $((need_usr / 1024)) MB free, there are $((free_usr / 1024))" "df -h $prefix"
  elif ((free_etc < 1024)); then
    bad space "/etc has $free_etc kB free" 'df -h /etc'
  elif ((free_var < min_var_kib)); then
    bad space "$var needs $((min_var_kib / 1024)) MB free, there are $((free_var / 1024))" 'df -h /var'
  elif ((free_var < push_var_kib)); then
    note space "/var has $((free_var / 1024)) MB free: pushes need 256 MB and the size of a release"
  else
    ok space "$((free_usr / 1024)) MB free in /usr, $((free_var / 1024)) MB in /var"
  fi
}

# package_files: every file and link of the package, by its path on the host.
package_files() { (cd "$source_dir" && find usr \( -type f -o -type l \) -printf '/%p\n' | sort); }

check_package() {
  local listed owner
  if owner=$(dpkg-query -W -f '${db:Status-Abbrev}' zdd-agent 2>/dev/null) && [[ $owner == ?i* && $configure == no ]]; then
    bad package 'zdd-agent is installed from a Debian package: upgrade that one' \
      'dpkg -i zdd-agent_VERSION_amd64.deb' 'apt-get remove zdd-agent    # apps run on; then this again'
    return
  fi
  if [[ $configure == yes ]]; then
    ok package "$version, installed"
    return
  fi
  listed=$(cut -c67- "$source_dir/SHA256SUMS" 2>/dev/null | sed -n 's#^\(\./\)\{0,1\}usr/#/usr/#p' | sort)
  if ! (cd "$source_dir" && sha256sum --check --strict --quiet SHA256SUMS) >/dev/null 2>&1 ||
    [[ -n $(comm -13 <(printf '%s\n' "$listed") <(cd "$source_dir" && find usr -type f -printf '/%p\n' | sort)) ]]; then
    bad package 'damaged: its files are not those of SHA256SUMS' 'unpack the tarball again, or copy it again'
  elif [[ -e $prefix/FILES || -e $prefix/bin ]] && [[ ! -e $prefix/INSTALLED ]]; then
    note package "$version; an earlier install did not come to its end: going on with it"
  else
    ok package "$version, checksums right"
  fi
}

check_database() {
  local said
  if said=$("$source_dir$prefix/bin/zdd-agentd" check --config "$planned_yaml" 2>&1); then
    [[ ! -e $var/agent.db ]] || ok database "$(tail -n1 <<<"$said" | sed "s#^$var/agent.db: ##")"
  else
    bad agent "$(sed 's/^Error: *//; /^Try:/,$d' <<<"$said" | sed '2,$s/^/                     /')" \
      "$prefix/bin/zdd-agentd check"
  fi
}

check_deploy_user() {
  [[ -n $deploy_user ]] || return 0
  if getent passwd "$deploy_user" >/dev/null; then
    ok user "$deploy_user"
  else
    bad user "there is no user $deploy_user" "adduser $deploy_user"
  fi
}

# ---- HAProxy

# setting NAME: a value of host.env, written when it was decided how HAProxy is run.
setting() { [[ ! -r $etc/host.env ]] || sed -n "s/^$1=//p" "$etc/host.env" | tail -n1; }

# conffile_untouched PATH: as dpkg put it there.
conffile_untouched() {
  local recorded
  [[ -f $1 && ! -L $1 ]] || return 1
  recorded=$(dpkg-query -W -f '${Conffiles}\n' haproxy 2>/dev/null | awk -v file="$1" '$1 == file { print $2 }')
  [[ -n $recorded && $recorded == "$(md5sum <"$1" | cut -d' ' -f1)" ]]
}

foreign_drop_ins() {
  systemctl show -p DropInPaths --value haproxy.service | tr ' ' '\n' | grep -vxF -e "$drop_in" -e '' || true
}

# What stands on this host: absent, ours (installed before), untouched (as the distribution ships
# it), customised, or odd with the reason in haproxy_odd.
find_haproxy() {
  local elsewhere
  haproxy_kind=odd haproxy_odd=''
  elsewhere=$(PATH=$outer_path:/usr/local/sbin:/usr/local/bin:$PATH type -P haproxy || true)
  if [[ ! -x /usr/sbin/haproxy ]]; then
    [[ -z $elsewhere ]] && haproxy_kind=absent || haproxy_odd="$elsewhere is not the distribution's"
  elif ! dpkg-query -S /usr/sbin/haproxy >/dev/null 2>&1; then
    haproxy_odd='/usr/sbin/haproxy is not of a Debian package'
  elif ! systemctl cat haproxy.service >/dev/null 2>&1; then
    haproxy_odd='there is no haproxy.service'
  elif [[ $(systemctl show -p LoadState --value haproxy.service) == masked ]]; then
    haproxy_odd='haproxy.service is masked'
  elif [[ $(systemctl show -p ExecStart --value haproxy.service) != *'path=/usr/sbin/haproxy '* ]]; then
    haproxy_odd='haproxy.service runs another program than /usr/sbin/haproxy'
  elif [[ -L $haproxy_cfg ]]; then
    if [[ $(readlink -m "$haproxy_cfg") == "$haproxy_dir/haproxy.cfg" ]]; then
      haproxy_kind=ours
    else
      haproxy_odd="$haproxy_cfg is a link to $(readlink "$haproxy_cfg"); make it a plain file first"
    fi
  elif [[ -d $var/apps && -n $(ls "$var/apps") ]]; then
    haproxy_odd="$haproxy_cfg was replaced while apps run by $haproxy_dir/haproxy.cfg"
  elif { [[ ! -e $haproxy_cfg ]] || conffile_untouched "$haproxy_cfg"; } && conffile_untouched /etc/default/haproxy &&
    [[ -z $(foreign_drop_ins) ]] &&
    [[ $(systemctl show -p FragmentPath --value haproxy.service) != /etc/* ]]; then
    haproxy_kind=untouched
  else
    haproxy_kind=customised
  fi
}

check_haproxy() {
  local version
  case $haproxy_kind in
    absent)
      version=$(apt-cache policy haproxy 2>/dev/null | sed -n 's/^ *Candidate: *//p')
      ;;
    odd)
      bad haproxy "$haproxy_odd" "systemctl cat haproxy.service; ls -l /usr/sbin/haproxy $haproxy_cfg"
      return
      ;;
    *) version=$(haproxy -v | sed -n '1s/^.*version \([^ ]*\).*/\1/p') ;;
  esac
  if [[ -n $version && $version != '(none)' ]] && ! at_least "$version" "$min_haproxy"; then
    bad haproxy "$version is too old: $min_haproxy or newer is needed"
    return
  fi
  case $haproxy_kind in
    absent) note haproxy "not here yet: ${version/(none)/a version} comes from $distribution" ;;
    ours) ok haproxy "$version, $([[ $(setting ZDD_HAPROXY) == adopted ]] && echo adopted || echo 'run by zdd-agent')" ;;
    untouched) ok haproxy "$version, as $distribution ships it" ;;
    customised) check_adoption "$version" ;;
  esac
  if [[ -x /usr/bin/pkaction ]] && ! at_least "$(pkaction --version | awk '{ print $NF }')" 0.106; then
    bad polkit "$(pkaction --version | awk '{ print $NF }') knows no rules in JavaScript"
  fi
}

# A customised HAProxy: what would change, and whether the agent could work with it.
check_adoption() {
  local version=$1 said
  if [[ $(setting ZDD_HAPROXY) == managed ]]; then
    bad haproxy "$haproxy_cfg or its unit was changed since an install began" \
      "$0 --uninstall --purge" "$0 --adopt"
  elif ! systemctl is-active --quiet haproxy.service; then
    bad haproxy 'customised, but it does not run' 'systemctl status haproxy' 'systemctl start haproxy'
  elif [[ -z $master_socket ]]; then
    bad haproxy 'customised, and runs without a master socket (-S)' \
      "echo 'EXTRAOPTS=\"-S /run/haproxy-master.sock\"' >>/etc/default/haproxy; systemctl restart haproxy"
  elif [[ ! $running_line =~ \ -f\ $haproxy_cfg\  || $running_line =~ \ -f\ .*\ -f\  ]]; then
    bad haproxy "it reads other files than $haproxy_cfg alone" 'grep -v "^#" /etc/default/haproxy'
  elif ! said=$(cd / && haproxy -c -f "$haproxy_cfg" 2>&1); then
    bad haproxy "$haproxy_cfg is not right as it stands" "haproxy -c -f $haproxy_cfg"
  elif ! render "$haproxy_cfg" >"$scratch/haproxy.cfg" 2>"$scratch/said"; then
    bad haproxy "$(head -n1 "$scratch/said")"
  elif ! said=$(cd / && haproxy -c -f "$scratch/haproxy.cfg" 2>&1); then
    bad haproxy "with the managed region it is no longer right: $(grep -m1 ALERT <<<"$said")"
  elif ! readable_for_agent "$said"; then
    :
  else
    ok haproxy "$version, customised"
    if [[ $adopt == no ]]; then consent_needed=yes; fi
  fi
}

# The agent checks the file before it replaces it, with the rights of group haproxy: what the file
# names must be readable for that group too. root's own right is no measure.
readable_for_agent() {
  local group said file files=''
  group=$(getent group haproxy | cut -d: -f3)
  chmod 755 "$scratch"
  chmod 644 "$scratch/haproxy.cfg"
  said=$(cd / && setpriv --reuid=65534 --regid="$group" --clear-groups haproxy -c -f "$scratch/haproxy.cfg" 2>&1) && return 0
  # The words HAProxy quotes are files, or folders of them.
  while read -r file; do
    [[ ! -e $file ]] || setpriv --reuid=65534 --regid="$group" --clear-groups test -r "$file" || files="$files $file"
  done < <(grep -oE "/[A-Za-z0-9_./@%+=:,-]+" <<<"$said" | sed 's/[:.,]*$//' | sort -u)
  if [[ -n $files ]]; then
    bad haproxy "the agent cannot read what $haproxy_cfg names:$files" \
      "chgrp -R haproxy$files && chmod -R g+rX$files" \
      'namei -l FILE    # each folder above needs x for group haproxy'
  else
    bad haproxy "the agent's user cannot check $haproxy_cfg: $(grep -m1 ALERT <<<"$said")"
  fi
  return 1
}

# listeners PORT: names and pids of the processes that listen there, on any address.
listeners() {
  local hex inode fd
  hex=$(printf '%04X' "$1")
  awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }' \
    /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u | while read -r inode; do
    fd=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" -print -quit 2>/dev/null || true)
    fd=${fd#/proc/}
    [[ -n $fd ]] && printf '%s (pid %s)\n' "$(cat "/proc/${fd%%/*}/comm")" "${fd%%/*}" || echo 'another program'
  done | sort -u
}

check_ports() {
  local address port who
  for address in "${binds[@]}"; do
    port=${address##*:}
    who=$(listeners "$port" | grep -v '^haproxy ' | head -n1 || true)
    if [[ -n $who ]]; then
      bad "port $port" "taken by $who" "systemctl disable --now ${who%% *}" "$0 --bind '*:8080'    # or leave it to it"
    else
      ok "port $port" "$([[ -n $(listeners "$port") ]] && echo "HAProxy's" || echo free)"
    fi
  done
}

# ---- what would be written, made in advance so that it can be checked

# Where the frontend of the apps listens: what agent.yaml says already, else --bind, else *:80. An
# admin's HAProxy that listens there itself keeps it: bound a second time, requests would go to
# either at random.
plan_binds() {
  local address
  if [[ -e $etc/agent.yaml ]]; then
    mapfile -t binds < <(sed -n "s/^ *bind: *\[\(.*\)\].*/\1/p" "$etc/agent.yaml" | tr ',' '\n' | sed "s/^ *['\"]//; s/['\"] *$//; /^ *$/d")
  elif ((${#binds[@]} == 0)); then
    binds=('*:80')
    if [[ $haproxy_kind == customised ]] && listeners 80 | grep -q '^haproxy '; then binds=(); fi
  elif [[ ${binds[*]} == none ]]; then
    binds=()
  fi
  for address in "${binds[@]}"; do
    [[ $address =~ ^[][0-9A-Za-z*.:_-]*:[0-9]+$ ]] || die "$wrong_usage" "--bind $address: expected ADDRESS:PORT; nothing was changed" "$0 --bind '*:80'"
  done
}

# Sockets of a HAProxy that runs as its admin wants it. The admin socket is opened by the managed
# region when HAProxy's own is not for group haproxy.
plan_sockets() {
  local pid
  sockets_dir=$(setting ZDD_SOCKETS_DIR)
  haproxy_mode=$(setting ZDD_HAPROXY)
  admin_socket=/run/haproxy/admin.sock admin_in_region=no master_socket='' running_line=''
  if [[ -z $haproxy_mode ]]; then
    [[ $haproxy_kind == customised ]] && haproxy_mode=adopted || haproxy_mode=managed
  fi
  if [[ $haproxy_mode == managed ]]; then
    master_socket=/run/haproxy/master.sock
    sockets_dir=${sockets_dir:-/run/zdd-agent/apps}
    return
  fi
  pid=$(systemctl show -p MainPID --value haproxy.service)
  [[ $pid == 0 ]] || running_line=" $(tr '\0' ' ' <"/proc/$pid/cmdline")"
  master_socket=$(sed -n 's/.* -S \([^ ,]*\).*/\1/p' <<<"$running_line")
  chroot=$(awk '$1 ~ /^(global|defaults|frontend|backend|listen)$/ { section = $1 }
    section == "global" && $1 == "chroot" { gsub(/"/, "", $2); sub(/\/+$/, "", $2); print $2 }' "$haproxy_cfg" | tail -n1)
  sockets_dir=${sockets_dir:-${chroot:+$chroot/zdd}}
  sockets_dir=${sockets_dir:-/run/zdd-agent/apps}
  local path
  path=$(awk '$1 ~ /^(global|defaults|frontend|backend|listen)$/ { section = $1 }
    section == "global" && $1 == "stats" && $2 == "socket" && / level +admin/ { print $3 }' "$haproxy_cfg" |
    sed 's/^unix@//' | while read -r path; do
    [[ ! -S $path || $(stat -c %G "$path") != haproxy || $(stat -c %A "$path") != ?????w* ]] || echo "$path"
  done | head -n1)
  if [[ -n $path ]]; then admin_socket=$path; else admin_socket=$region_socket admin_in_region=yes; fi
}

agent_yaml() {
  local list=''
  ((${#binds[@]} == 0)) || list=$(printf ", '%s'" "${binds[@]}")
  cat <<END
# Configuration of zdd-agentd. Made by install.sh, never overwritten by it.
#   check it: sudo zdd-agentd check        take it over: sudo systemctl reload zdd-agentd
# What is not said here has a default: /usr/share/doc/zdd-agent, or docs/config.md.

runner: systemd              # each instance is a unit: zdd-app-<app>@<slot>.service
sockets_dir: $sockets_dir    # where instances listen, and HAProxy connects
# ports: { from: 20000, to: 29999 }      # for apps with \`listen: port\`
# path: /usr/local/bin:/usr/bin:/bin     # PATH of the instances

haproxy:
  mode: system
  binary: /usr/sbin/haproxy
  admin_socket: $admin_socket
  master_socket: $master_socket
END
  if [[ $admin_in_region == yes ]]; then
    say '  admin_socket_in_region: true   # your own stats socket is not for group haproxy'
  fi
  if ((${#binds[@]} == 0)); then
    say '  bind: []                   # your own frontend routes to the backends zdd_<app>'
  else
    say "  bind: [${list#, }]             # the frontend of all apps"
  fi
  cat <<'END'

# limits: { artifact_bytes: 1073741824, unpacked_bytes: 4294967296, reserve_bytes: 268435456 }
# log_level: info
END
}

host_env() {
  cat <<END
# Read by the scripts that root runs for zdd-agent. Made by install.sh.
ZDD_SOCKETS_DIR=$sockets_dir
ZDD_HAPROXY=$haproxy_mode
END
}

# render FILE: FILE with the managed region, by the agent of this package.
render() { "$source_dir$prefix/bin/zdd-agentd" haproxy render --config "$planned_yaml" --file "$1"; }

plan() {
  find_haproxy
  if [[ $haproxy_kind == odd ]]; then
    haproxy_mode=managed sockets_dir=/run/zdd-agent/apps master_socket='' admin_socket='' admin_in_region=no
    binds=()
  else
    plan_sockets
    plan_binds
  fi
  planned_yaml=$etc/agent.yaml
  [[ -e $planned_yaml ]] && return
  planned_yaml=$scratch/agent.yaml
  agent_yaml >"$planned_yaml"
}

check_all() {
  check_host
  check_package
  # Its runtime must not be run before it is known to be whole.
  ((problems == 0)) || return 0
  plan
  check_haproxy
  check_ports
  check_database
  check_deploy_user
}

# consent: the difference, and a yes. Only a customised haproxy.cfg needs one.
consent() {
  [[ $haproxy_kind == customised ]] || return 0
  say
  line adopt "$haproxy_cfg is customised. This would be added, and nothing else changed:"
  diff -u --label "$haproxy_cfg" --label "$haproxy_dir/haproxy.cfg" "$haproxy_cfg" "$scratch/haproxy.cfg" |
    sed "s/^/    /; s/^    +.*/$green&$plain/; s/^    -.*/$red&$plain/" || true
  say
  line '' "The file moves to $haproxy_dir/haproxy.cfg, a link takes its place;"
  line '' "today's is kept as $haproxy_backup."
  line '' "HAProxy is reloaded, not restarted, and stays as you run it;"
  line '' "$(reload_words)."
  ((${#binds[@]} > 0)) || line '' 'Your HAProxy listens on port 80 itself: no second frontend is added.'
  [[ $consent_needed == yes && $action == install && $dry_run == no ]] || return 0
  ask 'Add it?' && return 0
  die "$needs_consent" "$haproxy_cfg is yours: it is changed only with your consent; nothing was changed" \
    "$0 --adopt"
}

# ---------------------------------------------------------------- steps

changes=0
current=start

# change LABEL TEXT COMMAND...: something that is not yet as it should be. --dry-run only names it.
change() {
  local label=$1 text=$2
  shift 2
  changes=$((changes + 1))
  current=$label
  line "$label" "$text"
  [[ $dry_run == yes ]] || "$@"
}

# What fails in a subshell fails in the command that waits for it, and is told there.
on_error() {
  ((BASH_SUBSHELL == 0)) || return 1
  die "$failed" "the step \"$current\" failed; what came before it is done" "$0    # again: it goes on from there" "$0 --check"
}

# put MODE OWNER PATH: stdin becomes the file, whole or not at all. Its folder must be root's.
put() {
  local temporary=$3.zdd-new
  rm -f "$temporary"
  cat >"$temporary"
  chown "$2" "$temporary"
  chmod "$1" "$temporary"
  sync "$temporary"
  mv -fT "$temporary" "$3"
}

install_packages() {
  local missing=()
  [[ -x /usr/sbin/haproxy ]] || missing+=(haproxy)
  command -v pkaction >/dev/null || missing+=(polkitd)
  [[ -e /usr/lib/systemd/system/dbus.socket || -e /lib/systemd/system/dbus.socket ]] || missing+=(dbus)
  ((${#missing[@]} > 0)) || return 0
  change packages "apt-get install ${missing[*]}" apt_install "${missing[@]}"
}

apt_install() {
  local log=$scratch/apt
  export DEBIAN_FRONTEND=noninteractive
  local get=(apt-get -qy -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold)
  # The lists may be old, or not there: they are fetched only if the packages cannot be had without.
  if ! "${get[@]}" install --no-install-recommends "$@" >"$log" 2>&1; then
    { "${get[@]}" update && "${get[@]}" install --no-install-recommends "$@"; } >"$log" 2>&1 || {
      tail -n8 "$log" | sed 's/^/              /' >&2
      die "$failed" "apt-get could not install $*; nothing else was changed" \
        "apt-get update && apt-get install $*    # then this again"
    }
  fi
}

# ---- program files

# same PATH: the host has the package's file, with its mode and root as owner.
same() {
  local from=$source_dir$1 mode
  if [[ -L $from ]]; then
    [[ -L $1 && $(readlink "$1") == $(readlink "$from") ]]
    return
  fi
  mode=$([[ -x $from ]] && echo 755 || echo 644)
  [[ -f $1 && ! -L $1 && $(stat -c '%u:%g %a' "$1") == "0:0 $mode" ]] && cmp -s "$from" "$1"
}

copy_files() {
  local file old=$scratch/old new=$scratch/new
  local -a changed=() gone=()
  [[ $configure == no ]] || return 0
  package_files | grep -vxF "$prefix/FILES" >"$new"
  if [[ -e $prefix/FILES ]]; then sort "$prefix/FILES" >"$old"; else : >"$old"; fi
  while read -r file; do same "$file" || changed+=("$file"); done <"$new"
  mapfile -t gone < <(comm -13 "$new" "$old")
  if ((${#changed[@]} + ${#gone[@]} == 0)) && cmp -s "$old" "$new"; then return 0; fi
  files_changed=yes
  # First a list of both, so that whatever a kill leaves behind is known to the next run.
  change files "${#changed[@]} of $(wc -l <"$new") files to /usr, ${#gone[@]} old ones go" replace_files "$old" "$new"
}

replace_files() {
  local old=$1 new=$2 file
  mkdir -p "$prefix"
  sort -u "$old" "$new" | put 644 root:root "$prefix/FILES"
  # All are laid beside the old ones and made durable before the first is put in place.
  for file in "${changed[@]}"; do stage "$file"; done
  sync -f "$prefix"
  for file in "${changed[@]}"; do mv -fT "$file.zdd-new" "$file"; done
  for file in "${gone[@]}"; do rm -f "$file"; done
  find "$prefix" -mindepth 1 -type d -empty -delete
  put 644 root:root "$prefix/FILES" <"$new"
}

stage() { # FILE
  mkdir -p "$(dirname "$1")"
  rm -f "$1.zdd-new"
  cp -P --no-preserve=all "$source_dir$1" "$1.zdd-new"
  [[ -L $1.zdd-new ]] || chmod "$([[ -x $source_dir$1 ]] && echo 755 || echo 644)" "$1.zdd-new"
}

# ---- users, folders, configuration

make_users() {
  if ! getent passwd zdd >/dev/null || ! getent group zdd >/dev/null; then
    change user 'zdd, the agent'\''s own' systemd-sysusers /usr/lib/sysusers.d/zdd-agent.conf
  fi
  if [[ -n $deploy_user ]] && ! id -nG "$deploy_user" 2>/dev/null | tr ' ' '\n' | grep -qx zdd; then
    change group "$deploy_user joins zdd: may deploy after the next login" usermod -aG zdd "$deploy_user"
  fi
}

# folders_wrong: the folders of our tmpfiles.d that are not there, or not as it says.
folders_wrong() {
  local kind path mode user group
  while read -r kind path mode user group _; do
    [[ $kind == d* ]] || continue
    [[ $(stat -c '%U:%G %a' "$path" 2>/dev/null) == "$user:$group ${mode#0}" ]] || say "$path"
  done </usr/lib/tmpfiles.d/zdd-agent.conf
}

make_folders() {
  if [[ -n $(folders_wrong 2>/dev/null || say all) ]]; then
    change folders "$var, /run/zdd-agent" systemd-tmpfiles --create /usr/lib/tmpfiles.d/zdd-agent.conf
  fi
  if [[ $sockets_dir != /run/zdd-agent/apps ]]; then
    local rule="d $sockets_dir 0711 root root -"
    if [[ $(cat /etc/tmpfiles.d/zdd-agent-sockets.conf 2>/dev/null) != "$rule" || ! -d $sockets_dir ]]; then
      change folders "$sockets_dir, inside HAProxy's chroot" make_sockets_dir "$rule"
    fi
  fi
}

make_sockets_dir() {
  put 644 root:root /etc/tmpfiles.d/zdd-agent-sockets.conf <<<"$1"
  systemd-tmpfiles --create /etc/tmpfiles.d/zdd-agent-sockets.conf
}

write_configuration() {
  if [[ ! -e $etc/agent.yaml ]]; then
    change config "$etc/agent.yaml" write_agent_yaml
  fi
  if [[ ! -e $etc/host.env ]]; then
    change config "$etc/host.env" put_host_env
  fi
}

write_agent_yaml() {
  mkdir -p "$etc"
  put 640 root:zdd "$etc/agent.yaml" <"$planned_yaml"
  planned_yaml=$etc/agent.yaml
}

put_host_env() { host_env | put 644 root:root "$etc/host.env"; }

# ---- HAProxy

configure_haproxy() {
  local from=$haproxy_cfg
  if [[ $haproxy_kind != ours ]]; then
    if [[ $haproxy_mode == managed ]]; then from=$prefix/templates/haproxy/haproxy.cfg; fi
    change haproxy "$haproxy_dir/haproxy.cfg $([[ $haproxy_mode == managed ]] && echo 'from the template' || echo "= $haproxy_cfg + region")" \
      write_haproxy_cfg "$from"
    change haproxy "$haproxy_cfg is a link to it, before: ${haproxy_backup##*/}" link_haproxy_cfg
  fi
  case $haproxy_mode in
    managed) run_haproxy_unprivileged ;;
    adopted) join_haproxy ;;
  esac
}

write_haproxy_cfg() { # FROM
  local temporary=/etc/haproxy/.haproxy.cfg.zdd-new group said
  group=$(getent group haproxy | cut -d: -f1)
  install -d -m 2750 -o zdd -g "$group" "$haproxy_dir"
  # Made in root's folder: in its own, which is the agent's, a link could wait for us.
  rm -f "$temporary"
  render "$1" >"$temporary"
  said=$(cd / && haproxy -c -f "$temporary" 2>&1) || { say "$said" >&2; return 1; }
  chown "zdd:$group" "$temporary"
  chmod 640 "$temporary"
  sync "$temporary"
  mv -fT "$temporary" "$haproxy_dir/haproxy.cfg"
}

link_haproxy_cfg() {
  local link=/etc/haproxy/.haproxy.cfg.zdd-link
  if [[ -e $haproxy_cfg ]]; then
    cp -p "$haproxy_cfg" "$haproxy_backup.zdd-new"
    sync "$haproxy_backup.zdd-new"
    mv -fT "$haproxy_backup.zdd-new" "$haproxy_backup"
  fi
  rm -f "$link"
  ln -s zdd/haproxy.cfg "$link"
  mv -fT "$link" "$haproxy_cfg"
  sync -f /etc/haproxy
}

# HAProxy of a fresh host has no user of its own site: one restart gives it its unprivileged user.
run_haproxy_unprivileged() {
  local wanted=$source_dir$prefix/templates/haproxy/service.conf pid
  if ! cmp -s "$wanted" "$drop_in"; then
    change haproxy "$drop_in: without root" put_drop_in "$wanted"
  fi
  pid=$(systemctl show -p MainPID --value haproxy.service)
  if [[ $(systemctl is-enabled haproxy.service 2>/dev/null) != enabled ]]; then
    change haproxy 'enable haproxy.service' systemctl enable --quiet haproxy.service
  fi
  # Only one that still runs as root has not seen the drop-in: later upgrades restart nothing.
  if [[ $pid == 0 || $(stat -c %U "/proc/$pid" 2>/dev/null) == root ]]; then
    change haproxy 'restart, once: from here on it is reloaded' restart_haproxy
  fi
}

put_drop_in() {
  mkdir -p "${drop_in%/*}"
  put 644 root:root "$drop_in" <"$1"
  systemctl daemon-reload
}

restart_haproxy() {
  systemctl restart haproxy.service || {
    journalctl -u haproxy.service -n 8 -o cat --no-pager | sed 's/^/              /' >&2
    return 1
  }
}

# An adopted HAProxy runs as its admin wants it. It makes its master socket anew, for root alone, at
# each reload; a small service gives it to group haproxy. From its next restart on, the drop-in makes
# HAProxy do so by itself. Measured: docs/haproxy.md, "An adopted HAProxy".
join_haproxy() {
  if ! cmp -s "$units/$socket_watch.service" <(socket_watch_service) || ! systemctl is-active --quiet "$socket_watch.service"; then
    change haproxy "$socket_watch.service: group haproxy may use the master socket" put_socket_watch
  fi
  if [[ ! -e $drop_in ]] && systemctl show -p Environment --value haproxy.service | grep -qF "\"EXTRAOPTS=-S $master_socket\""; then
    change haproxy "$drop_in: so from its next restart on" put_drop_in <(adopted_drop_in)
  fi
  if [[ $restart == yes ]]; then
    change haproxy 'restart, as asked: cuts the connections it has' restart_haproxy
  elif [[ $haproxy_kind != ours ]]; then
    change haproxy "$(reload_words)" reload_haproxy
  fi
}

# What a reload does to clients of the frontends that were there before.
reload_words() {
  local cut
  cut=$("$source_dir$prefix/bin/zdd-agentd" haproxy cuts --file "$haproxy_cfg" | paste -sd, | sed 's/,/, /g')
  if [[ -z $cut ]]; then
    echo 'reload: no connection is cut'
  else
    echo "reload: may cut a request that comes over an idle connection at that moment ($cut: no 'option idle-close-on-response')"
  fi
}

adopted_drop_in() {
  cat <<END
# The master socket for group haproxy, and so for zdd-agentd. Nothing else of yours is changed.
[Service]
Environment="EXTRAOPTS=-S $master_socket,mode,660,group,haproxy"
END
}

socket_watch_service() {
  cat <<END
[Unit]
Description=Give HAProxy's master socket to group haproxy, for zdd-agent
ConditionFileIsExecutable=$prefix/libexec/watch-master-socket

[Service]
ExecStart=$prefix/libexec/watch-master-socket $master_socket
Restart=always
RestartSec=1
RuntimeDirectory=$socket_watch
CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER
NoNewPrivileges=yes
PrivateNetwork=yes
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths=${master_socket%/*}

[Install]
WantedBy=multi-user.target
END
}

put_socket_watch() {
  socket_watch_service | put 644 root:root "$units/$socket_watch.service"
  systemctl daemon-reload
  systemctl enable --quiet "$socket_watch.service"
  systemctl restart "$socket_watch.service"
}

reload_haproxy() {
  systemctl reload haproxy.service
}

# ---- services

# fingerprint: of every program file. Differs from INSTALLED until all steps were done with them.
fingerprint() {
  # What is missing is no error: it makes the print another one.
  (cd / && { find usr/lib/zdd-agent usr/lib/systemd/system/zdd-* usr/lib/*/zdd-agent.conf usr/share/polkit-1/rules.d/*zdd-agent* \
    -type f ! -name INSTALLED ! -name FILES -print0 2>/dev/null || true; } | sort -z | xargs -0r sha256sum | sha256sum | cut -d' ' -f1)
}

start_services() {
  local print='' unit app
  print=$(fingerprint)
  if [[ $dry_run == yes && $files_changed == yes ]] || [[ $(cat "$prefix/INSTALLED" 2>/dev/null) != "$print" ]]; then
    change units 'daemon-reload, enable zdd-apps.service and zdd-agentd.service' enable_units
    # Each app's own units are made of the templates again: nothing happens where nothing differs.
    for app in "$var"/apps/*/; do
      [[ -d $app ]] || continue
      app=$(basename "$app")
      change provision "$app" systemctl start "zdd-provision@$app.service"
    done
    change agent "$(systemctl is-active --quiet zdd-agentd.service && echo 'restart (apps and traffic are not touched)' || echo start)" start_agent restart
    change files "$version is installed" put_installed "$print"
  fi
  for unit in zdd-apps.service zdd-agentd.service; do
    if [[ $dry_run == no && $(systemctl is-enabled "$unit" 2>/dev/null) != enabled ]]; then
      change units "enable $unit" systemctl enable --quiet "$unit"
    fi
  done
  if [[ $dry_run == no ]] && ! systemctl is-active --quiet zdd-agentd.service; then
    change agent start start_agent start
  fi
}

put_installed() { put 644 root:root "$prefix/INSTALLED" <<<"$1"; }

enable_units() {
  systemctl daemon-reload
  systemctl try-reload-or-restart polkit.service
  systemctl enable --quiet zdd-apps.service zdd-agentd.service
  # What --uninstall had put there so that apps came back without an agent.
  rm -f "$units"/multi-user.target.wants/zdd-app-*
}

# start_agent VERB: systemctl returns when the agent has said READY, or failed to.
start_agent() {
  systemctl reset-failed zdd-agentd.service 2>/dev/null || true
  systemctl "$1" zdd-agentd.service && return
  journalctl -u zdd-agentd.service -n 12 -o cat --no-pager | sed 's/^/              /' >&2
  die "$failed" 'the agent did not start; apps and traffic were not touched' \
    'journalctl -u zdd-agentd -n 50' 'zdd-agentd check'
}

# ---- what next

next_steps() {
  local address name
  say
  if ((changes == 0)); then
    say "${green}nothing to do:${plain} zdd-agent $version is installed, and everything is as it should be"
    return
  fi
  if [[ $dry_run == yes ]]; then
    say "that was --dry-run: nothing was changed"
    return
  fi
  address=$(hostname -I 2>/dev/null | awk '{ print $1 }')
  address=${address:-$(hostname)}
  name=${deploy_user:-${SUDO_USER:-deploy}}
  say "${green}zdd-agent $version runs${plain} on $(hostname)"
  say
  say 'Next'
  if ! id -nG "$name" 2>/dev/null | tr ' ' '\n' | grep -qx zdd; then
    say "  here      sudo usermod -aG zdd $name          $dim# who may deploy$plain"
  fi
  say "  here      zdd-agent doctor                   $dim# is everything right?$plain"
  say "  laptop    zdd-agent init --host $name@$address    $dim# in a project: writes its zdd.yaml$plain"
  say "            zdd-agent push --accept-new        $dim# the first time: the host's key is kept$plain"
  if ((${#binds[@]} > 0)); then
    say "  then      http://$address$(port_text)/"
  else
    say
    say "Your HAProxy listens by itself. After the first push of an app, say \"shop\", send it"
    say "its requests from your own frontend in $haproxy_cfg:"
    say '    use_backend zdd_shop if { hdr(host) -i shop.example.com }'
    say "and: haproxy -c -f $haproxy_cfg && systemctl reload haproxy"
  fi
}

port_text() { [[ ${binds[0]##*:} == 80 ]] || printf ':%s' "${binds[0]##*:}"; }

# ---------------------------------------------------------------- the two ways

set_up() {
  say "${bold}zdd-agent $version${plain} → $(hostname)"
  say
  trap 'on_check_error "$LINENO" "$BASH_COMMAND"' ERR
  check_all
  trap - ERR
  if ((problems > 0)); then
    die "$not_ready" "this host is not ready ($problems of $((passed + problems)) checks failed); nothing was changed" "$0 --check"
  fi
  [[ $action != check ]] || { report_check; return 0; }
  line checks "$passed of $passed passed"
  consent
  lock
  trap on_error ERR
  install_packages
  # What apt-get has just brought is looked at like what was there.
  if [[ $haproxy_kind == absent && $dry_run == no ]]; then
    find_haproxy
    check_haproxy
    [[ $haproxy_kind == untouched && $problems == 0 ]] || die "$failed" 'the HAProxy that apt-get installed cannot be used' "$0 --check"
  fi
  copy_files
  make_users
  make_folders
  write_configuration
  configure_haproxy
  start_services
  next_steps
}

report_check() {
  consent
  say
  if [[ $consent_needed == yes ]]; then
    say "${yellow}ready, with your consent${plain} for $haproxy_cfg: $0 --adopt"
    exit "$needs_consent"
  fi
  say "${green}ready:${plain} $passed of $passed checks passed; nothing was changed"
}

# Two installers at a time would undo each other's work.
lock() {
  [[ $dry_run == no ]] || return 0
  exec 9>/run/zdd-agent-install.lock
  flock -n 9 || die "$not_ready" 'another install.sh runs on this host; nothing was changed'
}

uninstall() {
  say "${bold}zdd-agent${plain} leaves $(hostname)"
  say
  lock
  trap on_error ERR
  if [[ $purge == yes ]]; then
    ask 'Every app, its releases, its data in shared folders and its users go. Sure?' ||
      die "$needs_consent" 'a purge takes every app and its data away; nothing was changed' "$0 --uninstall --purge --yes"
  else
    keep_apps_for_reboots
  fi
  if systemctl cat zdd-agentd.service >/dev/null 2>&1; then
    change agent 'stop and disable' systemctl disable --now --quiet zdd-agentd.service zdd-apps.service
  fi
  if [[ $purge == yes ]]; then purge_host; fi
  if [[ $configure == no ]]; then remove_files; fi
  rm -f /run/zdd-agent-install.lock
  say
  if [[ $purge == yes ]]; then
    say "zdd-agent is gone, and everything it made with it"
  else
    say "The agent is gone. Apps and HAProxy run on, after reboots too; nothing watches them."
    say "  back       install it again: it takes them over as they are"
    say "  all gone   install.sh --uninstall --purge"
  fi
}

# Without the agent's zdd-apps.service, plain links start the same units at boot.
keep_apps_for_reboots() {
  local file unit count=0
  for file in "$var"/active/*; do
    unit=${file##*/}
    [[ -f $file && $unit =~ ^zdd-app-[a-z0-9-]+@[a-z0-9._-]+\.(service|socket)$ ]] || continue
    count=$((count + 1))
    [[ $dry_run == yes ]] || systemctl add-wants --quiet multi-user.target "$unit"
  done
  ((count == 0)) || line apps "$count units start at boot without the agent"
}

remove_files() {
  local file
  [[ -e $prefix/FILES ]] || return 0
  change files "$(wc -l <"$prefix/FILES") of /usr" remove_listed
}

remove_listed() {
  local file
  while read -r file; do
    # Only what a package of ours can have put there.
    [[ $file == /usr/*zdd* ]] && rm -f "$file" "$file.zdd-new"
  done <"$prefix/FILES"
  rm -rf "$prefix"
  rmdir /usr/share/doc/zdd-agent 2>/dev/null || true
  systemctl daemon-reload
}

purge_host() {
  local mode sockets
  mode=$(setting ZDD_HAPROXY)
  sockets=$(setting ZDD_SOCKETS_DIR)
  if [[ $(readlink "$haproxy_cfg") == zdd/haproxy.cfg ]]; then
    change haproxy "$haproxy_cfg as it was" restore_haproxy "$mode"
  fi
  change apps 'stop every instance' stop_apps
  change units 'those of the apps' remove_app_units
  change state "$var, $etc, /run/zdd-agent" remove_state "$sockets"
  change users 'zdd, zdd-app-*' remove_users
}

# cut_region FILE: FILE without the managed region.
cut_region() {
  awk -v begin="$begin_marker" -v end="$end_marker" '
    index($0, begin) == 1 { inside = 1 }
    !inside { print }
    $0 == end { inside = 0 }' "$1"
}

# What stood there before, when nobody wrote anything but the region since; else an adopted file
# keeps what its admin wrote later.
restore_haproxy() {
  local mode=$1 now=$haproxy_dir/haproxy.cfg new=/etc/haproxy/.haproxy.cfg.zdd-new template
  rm -f "$new"
  cut_region "$now" >"$new"
  template=$prefix/templates/haproxy/haproxy.cfg
  [[ -e $template ]] || template=$etc/purge/haproxy.cfg
  if [[ $mode == managed ]] && [[ $(cat "$new") != "$(cat "$template" 2>/dev/null)" ]]; then
    cp "$new" "$haproxy_cfg.zdd-agent-kept"
    line '' "your changes are kept in $haproxy_cfg.zdd-agent-kept"
  fi
  # The command substitutions leave out line ends at the end: the region was set off by some.
  if [[ -e $haproxy_backup ]] && { [[ $mode == managed ]] || [[ $(cat "$new") == "$(cat "$haproxy_backup")" ]]; }; then
    mv -fT "$haproxy_backup" "$haproxy_cfg"
    rm -f "$new"
  else
    chmod 644 "$new"
    mv -fT "$new" "$haproxy_cfg"
    rm -f "$haproxy_backup"
  fi
  systemctl disable --now --quiet "$socket_watch.service" 2>/dev/null || true
  rm -f "$drop_in" "$units/$socket_watch.service"
  rmdir "${drop_in%/*}" 2>/dev/null || true
  rm -rf "$haproxy_dir"
  systemctl daemon-reload
  # It may have been removed before, or be stopped.
  systemctl is-active --quiet haproxy.service || return 0
  if [[ $mode == adopted ]]; then systemctl reload haproxy.service; else systemctl restart haproxy.service; fi
}

stop_apps() {
  local -a names
  mapfile -t names < <(systemctl list-units --all --plain --no-legend 'zdd-app-*@*' 'zdd-once-*@*' 'zdd-cron-*@*' 'zdd-provision@*' | awk '{ print $1 }')
  ((${#names[@]} == 0)) || systemctl stop "${names[@]}"
  ((${#names[@]} == 0)) || systemctl reset-failed "${names[@]}" 2>/dev/null || true
  systemctl disable --now --quiet zdd-sockets.service 2>/dev/null || true
  # systemd keeps the slices they ran in, as long as nobody stops those.
  systemctl stop zdd-apps.slice zdd.slice 'system-zdd*.slice' 2>/dev/null || true
}

remove_app_units() {
  rm -rf "$units"/zdd-app-*@.* "$units"/zdd-once-*@.* "$units"/zdd-cron-*@* "$units"/multi-user.target.wants/zdd-app-* \
    /etc/tmpfiles.d/zdd-app-*.conf /etc/tmpfiles.d/zdd-agent-sockets.conf \
    /etc/systemd/system.control/zdd-* /run/systemd/system.control/zdd-*
  systemctl daemon-reload
}

remove_state() { # SOCKETS_DIR
  # The tmpfs of zdd-sockets.service.
  if mountpoint -q "${1:-/run/zdd-agent/apps}"; then umount --lazy "${1:-/run/zdd-agent/apps}"; fi
  # Only a folder that is ours by its name: the setting is a file an admin may have edited.
  if [[ ${1##*/} == zdd ]]; then rm -rf --one-file-system "$1"; fi
  rm -rf --one-file-system "$var" "$etc" /run/zdd-agent /run/zdd-provision.lock "$region_socket"
}

remove_users() {
  local name
  for name in $(getent passwd | cut -d: -f1 | grep -E '^zdd(-agent|-app-[a-z0-9-]+)?$'); do
    userdel "$name"
  done
  for name in $(getent group | cut -d: -f1 | grep -E '^zdd(-agent|-app-[a-z0-9-]+)?$'); do
    groupdel "$name"
  done
}

# ---------------------------------------------------------------- start

from_clone() {
  local owner version package
  version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$source_dir/package.json")
  package=$source_dir/dist/zdd-agent-$version-linux-x64.tar.gz
  if PATH=$outer_path type -P npm >/dev/null; then
    say "This is a clone: its package is built first (npm run package) ..."
    owner=$(stat -c %U "$source_dir")
    # As the clone's owner, so that nothing in it becomes root's.
    if [[ $owner != root && $owner != UNKNOWN ]]; then
      runuser -u "$owner" -- env PATH="$outer_path" npm --prefix "$source_dir" run --silent package
    else
      env PATH="$outer_path" npm --prefix "$source_dir" run --silent package
    fi || die "$failed" 'npm run package failed; nothing was changed'
  elif [[ -e $package ]]; then
    say "This is a clone without npm: its dist/${package##*/} is taken ..."
  else
    die "$not_ready" 'this is a clone, and npm is not here to build its package; nothing was changed' \
      'npm run package    # on a machine with Node, then copy dist/ here'
  fi
  tar -xzf "$package" --no-same-owner -C "$scratch"
  "$scratch/zdd-agent-$version-linux-x64/install.sh" "$@"
}

parse() {
  action=install dry_run=no adopt=no purge=no configure=no yes=no restart=no deploy_user='' binds=()
  while (($# > 0)); do
    case $1 in
      --check) action=check ;;
      --dry-run) dry_run=yes ;;
      --uninstall) action=uninstall ;;
      --purge) purge=yes ;;
      --adopt) adopt=yes ;;
      --restart-haproxy) restart=yes ;;
      --configure) configure=yes ;;
      --yes) yes=yes ;;
      --deploy-user | --bind)
        [[ -n ${2:-} ]] || die "$wrong_usage" "$1 needs a value" "$0 --help"
        if [[ $1 == --bind ]]; then binds+=("$2"); else deploy_user=$2; fi
        shift
        ;;
      --deploy-user=*) deploy_user=${1#*=} ;;
      --bind=*) binds+=("${1#*=}") ;;
      -h | --help) usage && exit 0 ;;
      *) die "$wrong_usage" "unknown argument: $1" "$0 --help" ;;
    esac
    shift
  done
  [[ $purge == no || $action == uninstall ]] || die "$wrong_usage" '--purge belongs to --uninstall' "$0 --uninstall --purge"
  [[ $yes == no ]] || adopt=yes
}

main() {
  paint_for 1
  parse "$@"
  ((EUID == 0)) || die "$not_ready" 'install.sh needs root; nothing was changed' "sudo $0 $*"
  source_dir=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
  files_changed=no
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  if [[ $source_dir == "$prefix" || $source_dir == "$etc/purge" || $configure == yes ]]; then
    configure=$([[ $action == uninstall && -e $prefix/FILES ]] && echo no || echo yes)
    source_dir=''
  elif [[ ! -d $source_dir/usr ]] && [[ -e $source_dir/package.json && $action != uninstall ]]; then
    from_clone "$@"
    return
  fi
  version=$(cat "$source_dir$prefix/VERSION" 2>/dev/null || cat "$source_dir/VERSION" 2>/dev/null || echo unknown)
  if [[ $action == uninstall ]]; then uninstall; else set_up; fi
}

# Read whole before it runs: --uninstall and upgrades replace this very file.
main "$@"
exit
