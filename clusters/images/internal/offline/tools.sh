# Runs in a container of the root filesystem and writes, as a tar stream, the
# layer that all preloaded images share: a shell, a few tools, everything that
# changes the kernel's network rules, and the certificate authorities.
set -euo pipefail
stage=$(mktemp -d)

# Copies a file under its real folder, and what it links to.
put() {
  local path
  path="$(readlink -f "$(dirname "$1")")/$(basename "$1")"
  cp -a --parents "$path" "$stage"
  if [ -L "$path" ]; then put "$(readlink -f "$path")"; fi
}

# Copies a program and its libraries.
program() {
  put "$1"
  ldd "$1" 2>/dev/null | grep -o '/[^ )]*' | while read -r library; do put "$library"; done || true
}

for name in sh cat ls mkdir rm ln mv chmod sleep grep ip ipset nft conntrack kmod modprobe; do
  program "$(command -v "$name")"
done
for name in xtables-nft-multi xtables-legacy-multi; do program "/usr/sbin/$name"; done
cp -a --parents /usr/lib/*/xtables "$stage"
ldd /usr/lib/*/xtables/*.so | awk '$2 == "=>" { print $3 }' | sort -u | while read -r library; do put "$library"; done
put /etc/ssl/certs/ca-certificates.crt
put /etc/passwd
put /etc/group
mkdir -p "$stage/run" "$stage/var" "$stage/proc" "$stage/sys" "$stage/dev"
mkdir -m 1777 "$stage/tmp"
for link in bin sbin lib lib64; do if [ -L "/$link" ]; then cp -a "/$link" "$stage/"; fi; done

# The first use of iptables settles whether this node uses nft or legacy.
for mode in nft legacy; do
  for family in iptables ip6tables; do
    for suffix in "" -save -restore; do ln -s "xtables-$mode-multi" "$stage/usr/sbin/$family-$mode$suffix"; done
  done
done
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
  ln -s iptables-chooser "$stage/usr/sbin/$name"
done
cat > "$stage/usr/sbin/iptables-chooser" <<'CHOOSER'
#!/bin/sh
# Uses the same kind of iptables as the kubelet of this node, which left a
# hint; without one, the kind that has more rules.
set -eu
rules() { ("$1" -t "$2" 2>/dev/null || true) | grep -c "$3" || true; }
if [ "$(rules iptables-nft-save mangle KUBE-IPTABLES-HINT)" -gt 0 ]; then mode=nft
elif [ "$(rules iptables-legacy-save mangle KUBE-IPTABLES-HINT)" -gt 0 ]; then mode=legacy
elif [ "$(rules iptables-legacy-save nat ^-)" -gt "$(rules iptables-nft-save nat ^-)" ]; then mode=legacy
else mode=nft
fi
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
  ln -s "xtables-$mode-multi" "/usr/sbin/.$name.$$"
  mv -f "/usr/sbin/.$name.$$" "/usr/sbin/$name"
done
exec "$0" "$@"
CHOOSER
chmod 0755 "$stage/usr/sbin/iptables-chooser"

tar -C "$stage" --sort=name --mtime=@1577836800 --numeric-owner --owner=0 --group=0 -c .
rm -rf "$stage"
