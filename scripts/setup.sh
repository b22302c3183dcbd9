#!/bin/bash
# Makes this machine ready for Weft's demo and tests, and may be run again at any time:
#   setup.sh          Debian packages, npm packages, build, kernel check
#   setup.sh bench    the same with the benchmark's programs
#   setup.sh deps     npm packages only (no root needed)
# It installs only what is missing. Services that come with a package are neither started nor enabled;
# those that ran before are left as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
trap 'on_exit' EXIT
on_exit() { restore_policy; [ -z "${apt_log:-}" ] || rm -f "$apt_log"; }

# program:package
required="nft:nftables ip:iproute2 iptables:iptables dockerd:docker.io conntrack:conntrack ping:iputils-ping
  busybox:busybox-static nginx:nginx-light dnsmasq:dnsmasq-base curl:curl ps:procps
  nsenter:util-linux tar:tar serf:serf haproxy:haproxy dig:bind9-dnsutils openssl:openssl
  /usr/lib/python3/dist-packages/docker/__init__.py:python3-docker"
bench="wrk:wrk iperf3:iperf3 dnsperf:dnsperf
  /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream"

main() {
  case "${1:-}" in
    "") need_root; need_node; install_packages "$required" ;;
    bench) need_root; need_node; install_packages "$required $bench" ;;
    deps) need_node; install_modules; return ;;
    *) fail "unknown argument $1; it takes none, 'bench' or 'deps'" ;;
  esac
  install_modules
  export PATH=$PWD/node_modules/.bin:$PATH
  need_types
  say "Compiling"
  npm run -s build
  say "Checking the kernel"
  node --disable-warning=ExperimentalWarning src/lab/check.ts
}

need_root() {
  [ "$(id -u)" = 0 ] || fail "needs root: it installs Debian packages, and the lab's hosts are network
namespaces with a Docker Engine each. Run it as root ('sudo make …'); 'make check' works without."
}

need_node() {
  command -v node >/dev/null && command -v npm >/dev/null ||
    fail "Node.js 20 or newer with npm is missing; see https://nodejs.org/en/download (Debian 12's own is 18)."
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 20 ] || fail "Node.js 20 or newer is needed to install the project; this is $(node -v)."
}

# The pinned Node.js comes with npm ci on x86-64 only.
need_types() {
  [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 24 ] ||
    fail "this processor ($(uname -m)) has no pinned Node.js in npm: please install Node.js 24; this is $(node -v)."
}

# --- Debian packages -------------------------------------------------------

install_packages() {
  local pair missing=() packages=()
  for pair in $1; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null && continue
    [ ! -e "${pair%%:*}" ] || continue # a file that is no program
    missing+=("${pair%%:*}"); packages+=("${pair##*:}")
  done
  # Certificates have no program of their own; npm and curl need them.
  [ -e /etc/ssl/certs/ca-certificates.crt ] || { missing+=("CA certificates"); packages+=(ca-certificates); }
  if [ "${#missing[@]}" = 0 ]; then say "All Debian packages are there"; return; fi
  command -v apt-get >/dev/null ||
    fail "missing: ${missing[*]}. This is not a Debian system, so please install them yourself."
  say "Installing Debian packages: ${packages[*]}"
  forbid_service_starts
  apt_log=$(mktemp)
  apt "Updating package lists" update || say "Package lists could not be updated; going on with those at hand"
  local before; before=$(installed)
  apt "Installing" install -y --no-install-recommends "${packages[@]}" || {
    tail -n 20 "$apt_log" >&2
    fail "apt-get could not install ${packages[*]}; what it said is above."
  }
  restore_policy
  leave_disabled "$(comm -13 <(echo "$before") <(installed))"
}

# Runs apt-get with its output in a file and shows where it is.
apt() {
  local what=$1 done=0 pid last=""; shift
  : >"$apt_log"
  DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold \
    "$@" >>"$apt_log" 2>&1 </dev/null & pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    local step; step=$(grep -E '^(Get:|Unpacking |Setting up )' "$apt_log" | tail -n 1 | cut -c1-70 || true)
    if [ "$step" != "$last" ]; then printf '    %s: %s\n' "$what" "$step"; last=$step; fi
    sleep 1
  done
  wait "$pid" || done=$?
  return "$done"
}

installed() { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | awk '$1 == "ii" { print $2 }' | sort; }

# Debian starts a service when its package is installed, unless this program says no (policy-rc.d, 101).
policy=/usr/sbin/policy-rc.d
policy_kept=""
policy_ours=""
forbid_service_starts() {
  if [ -e "$policy" ]; then policy_kept=$policy.weft-setup; mv "$policy" "$policy_kept"; fi
  policy_ours=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}
restore_policy() {
  [ -n "$policy_ours" ] || return 0
  rm -f "$policy"
  [ -z "$policy_kept" ] || mv "$policy_kept" "$policy"
  policy_ours="" policy_kept=""
}

# A service of a package that is new here shall not start at the next boot either.
leave_disabled() {
  local package units
  command -v systemctl >/dev/null || return 0
  units=$(for package in $1; do dpkg -L "$package"; done |
    sed -n 's|^\(/usr\)\?/lib/systemd/system/\([^/@]*\.\(service\|socket\)\)$|\2|p' | sort -u)
  [ -n "$units" ] || return 0
  # shellcheck disable=SC2086 # a list of names
  systemctl disable -q $units >/dev/null 2>&1 || true
  say "Installed but neither started nor enabled: $(echo $units)"
}

# --- npm packages ----------------------------------------------------------

install_modules() {
  if modules_current; then say "All npm packages are there"; return; fi
  [ ! -L node_modules ] || fail "node_modules is a link to $(readlink node_modules) and is out of date; run 'npm ci' there."
  say "Installing npm packages (npm ci; up to a minute, 186 MB of it the pinned Node.js)"
  npm ci --no-audit --no-fund --loglevel=error & local pid=$! seconds=0
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1; seconds=$((seconds + 1))
    [ $((seconds % 10)) != 0 ] || printf '    npm ci: %d s\n' "$seconds"
  done
  wait "$pid" || fail "npm ci failed; what it said is above."
  modules_current || fail "npm ci ended well, but the packages are not those of package-lock.json."
}

# Whether every package of the lock file is installed in its version, those for other systems aside.
modules_current() {
  node -e '
    const { readFileSync } = require("node:fs");
    const packages = (file) => JSON.parse(readFileSync(file, "utf8")).packages;
    let have;
    try { have = packages("node_modules/.package-lock.json"); } catch { process.exit(1); }
    const wanted = Object.entries(packages("package-lock.json")).filter(([path]) => path !== "");
    const lacks = ([path, { version, optional }]) =>
      have[path] === undefined ? !optional : have[path].version !== version;
    process.exit(wanted.some(lacks) ? 1 : 0);
  '
}

main "$@"
