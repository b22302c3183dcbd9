#!/bin/sh
# install-units.sh: systemd's units for the Weft in this directory, wherever it is: the keeper and the daemon, started
# now and at each boot. With DESTDIR they are only written below it.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
case $root in
*[!A-Za-z0-9/._+@-]*)
  echo "install-units: systemd's units cannot name a directory such as '$root': move Weft to one without blanks and signs" >&2
  exit 1
  ;;
esac
target=${DESTDIR:-}/etc/systemd/system
mkdir -p "$target"
for unit in "$root"/packaging/*.service; do
  sed "s#/opt/weft#$root#g" "$unit" >"$target/$(basename "$unit")"
  echo "Wrote $target/$(basename "$unit")"
done
[ -z "${DESTDIR:-}" ] || exit 0
systemctl daemon-reload
systemctl enable --now weft-keeper.service weft.service
