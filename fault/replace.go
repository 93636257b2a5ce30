package fault

// Faults that replace files of a node keep the original in the fault's directory. It is
// copied, synced and renamed, because the two directories may be different filesystems;
// both ways the file gets its new content under a hidden name, and then its own.

// replace has the functions for files. swap keeps the file $1 as $2 and gives it the
// output of the rest, a filter; without one it removes the file. unswap puts the file
// $1 back that is kept as $2, wherever swap was interrupted, unless somebody has put
// another one in place.
const replace = `hide() { echo "$(dirname "$1")/.faultline-$(basename "$d")"; }
swap() {
  file=$(readlink -f "$1")
  tag=$2
  shift 2
  cp -p "$file" "$d/copy"
  sync "$d/copy"
  mv "$d/copy" "$d/$tag.saved"
  sync "$d"
  [ $# -gt 0 ] || { rm "$file"; return; }
  hidden=$(hide "$file")
  cp -p "$file" "$hidden"
  "$@" < "$d/$tag.saved" > "$hidden"
  if cmp -s "$hidden" "$file"; then echo "found nothing to replace in $file" >&2; exit 1; fi
  cp -p "$hidden" "$d/$tag.ours"
  sync "$hidden" "$d/$tag.ours"
  mv "$hidden" "$file"
}
unswap() {
  file=$(readlink -f "$1")
  hidden=$(hide "$file")
  rm -f "$hidden" "$d/copy"
  [ -e "$d/$2.saved" ] || return 0
  if [ ! -e "$file" ] || cmp -s "$d/$2.ours" "$file"; then
    cp -p "$d/$2.saved" "$hidden"
    sync "$hidden"
    mv "$hidden" "$file"
  fi
  cmp -s "$d/$2.saved" "$file" && return
  echo "somebody put another $file in place; the old one is kept as $d/$2.saved: compare them and remove that" >&2
  exit 1
}
forget() { rm -f "$d/$1.ours" "$d/$1.saved"; }
`

// restart has a function that kills the processes of the name $1 which have the number
// of a copy that matches $2, so that they are restarted.
const restart = `restart() {
  for p in $(pgrep -x "$1"); do
    copy=$(tr '\0' '\n' < "/proc/$p/environ" 2> /dev/null | sed -n 's/^FAULTLINE_COPY=//p')
    case "$copy" in $2) kill -s KILL "$p" 2> /dev/null || true ;; esac
  done
}
`

// rewriteScript gives the file $2 the output of a filter, $5 and the rest, for the fault
// $1, and kills the processes $3 that are copies $4.
const rewriteScript = enter + armed + replace + restart + `file=$2
name=$3
copies=$4
shift 4
swap "$file" file "$@"
restart "$name" "$copies"
`

// renewed has a function that tells whether somebody has given the file $1, which is kept as
// $2, a certificate that the authority $3 has signed and that is good now.
const renewed = "certificate() {\n" + readScript + "\n}\n" + `renewed() {
  [ -e "$d/$2.saved" ] && [ -e "$1" ] && ! cmp -s "$d/$2.saved" "$1" && ! cmp -s "$d/$2.ours" "$1" &&
    certificate "$1" | openssl verify -CAfile "$3.crt" > /dev/null 2>&1
}
`

// putBackScript undoes rewriteScript, where the authority $5 has signed what may be in place by
// now. Without a name nothing has to be killed.
const putBackScript = enter + replace + renewed + restart + `renewed "$2" file "$5" || unswap "$2" file
if [ -e "$d/file.saved" ] && [ "$3" ]; then restart "$3" "$4"; fi
forget file
` + leave
