#!/bin/sh
# Renew the certificates of a master that have expired or are about to.
#
#   renew-certificates.sh [DAYS]
#
# Run it as root on a control-plane node that kubeadm has set up, with a member of etcd and the
# keys of the authorities on it; on one master after the other. It renews all that kubeadm
# has issued to the control plane, the kubelet's own certificate where it has expired, and starts
# etcd and the control plane of this node anew. Nothing is changed while all are good for DAYS
# more, 30 unless you say so, or when an authority itself has expired or its key is elsewhere.
# Workers whose kubelets have been away for so long have to join again.
# It needs kubeadm, crictl and openssl.
set -eu
[ $# -le 1 ] || { echo "usage: renew-certificates.sh [DAYS]" >&2; exit 2; }
days=${1:-30} pki=/etc/kubernetes/pki kubelet=/var/lib/kubelet/pki/kubelet-client-current.pem log=/var/log/kubeadm-renew.log
case "$days" in "" | *[!0-9]*) echo "usage: renew-certificates.sh [DAYS]" >&2; exit 2 ;; esac
refuse() { echo "$1; nothing was changed" >&2; exit 1; }
for authority in ca etcd/ca front-proxy-ca; do
  [ -s "$pki/$authority.key" ] || refuse "the key of the authority $pki/$authority.crt is not on this node"
  openssl x509 -checkend 0 -noout -in "$pki/$authority.crt" >/dev/null 2>&1 || refuse "the authority $pki/$authority.crt itself has expired"
done

# ending prints those files whose certificates expire within $1 seconds. A kubeconfig may name a file instead.
ending() {
  within=$1
  shift
  for file; do
    case "$file" in
      *.conf) text=$(sed -n 's/^ *client-certificate-data: *//p' "$file" | base64 -d) ;;
      *) text=$(cat "$file" 2>/dev/null || true) ;;
    esac
    case "$text" in *CERTIFICATE*) echo "$text" | openssl x509 -checkend "$within" -noout >/dev/null || echo "$file" ;; esac
  done
}
old=$(
  ending $((days * 86400)) $(find "$pki" -name '*.crt' ! -name '*ca.crt') /etc/kubernetes/*.conf
  ending 0 "$kubelet" # the kubelet renews it by itself, in time
)
[ -n "$old" ] || refuse "every certificate is good for more than $days days"

umask 077
work=$(mktemp -d)
# Without the kubelet nothing starts before everything is there, and it waits for nothing afterwards.
trap 'rm -rf "$work"; systemctl start kubelet.service' EXIT
echo "renewing, because they expire:" $old
systemctl stop kubelet.service
kubeadm certs renew all </dev/null >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
case "$old" in
  *"$kubelet"*)
    openssl x509 -x509toreq -in "$kubelet" -signkey "$kubelet" -out "$work/request" 2>/dev/null
    printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nbasicConstraints=critical,CA:FALSE\n' >"$work/extensions"
    openssl x509 -req -in "$work/request" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$(openssl rand -hex 16)" -days 365 \
      -extfile "$work/extensions" -out "$work/certificate" 2>/dev/null
    renewed=/var/lib/kubelet/pki/kubelet-client-$(date +%Y-%m-%d-%H-%M-%S).pem
    { cat "$work/certificate"; sed -n '/-BEGIN .*PRIVATE KEY-/,/-END .*PRIVATE KEY-/p' "$kubelet"; } >"$renewed"
    ln -sfn "$renewed" "$kubelet"
    ;;
esac
for name in kube-scheduler kube-controller-manager kube-apiserver etcd; do
  for container in $(crictl ps --quiet --name "^$name\$"); do crictl stop --timeout 10 "$container" >/dev/null; done
done
systemctl start kubelet.service
for try in $(seq 300); do
  [ "$(curl --silent --insecure --max-time 5 https://127.0.0.1:6443/readyz || true)" != ok ] || { echo "the API is ready: give /etc/kubernetes/admin.conf to those who use it"; exit 0; }
  sleep 1
done
echo "the API is not ready after five minutes: look at journalctl -u kubelet and crictl ps -a" >&2
exit 1
