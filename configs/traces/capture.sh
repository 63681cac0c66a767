#!/bin/sh
# Captures the bundled traces anew: ./capture.sh [sort|wordcount|sqlite]...
# Needs valgrind, sort, mawk, sqlite3, and bin/splitkernel (make build). Takes
# some ten minutes. The traces hold this machine's versions of the programs
# and libraries, so run `go test ./sim/trace -run TestPinnedMisses -update`
# afterwards, and say in the commit what changed.
#
# ROWS, LINES_OF_TEXT and WORDS make smaller inputs, to try the script;
# OUT is where the traces go.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
splitkernel=${SPLITKERNEL:-$here/../../bin/splitkernel}
out=$(cd "${OUT:-$here}" && pwd)
for need in valgrind sort mawk sqlite3 "$splitkernel"; do
	command -v "$need" >/dev/null || { echo "capture.sh: $need is missing" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work"

# capture NAME THIN PROGRAM ARGS...: with next to no environment, because its
# size moves the stack.
capture() {
	name=$1 thin=$2
	shift 2
	echo "capturing $name" >&2
	env -i PATH="$PATH" LC_ALL=C "$splitkernel" trace capture --thin "$thin" --out "$out/$name.skt" -- "$@" 2>"$name.err" ||
		{ tail -5 "$name.err" >&2; exit 1; }
}

[ $# -gt 0 ] || set -- sort wordcount sqlite
for name in "$@"; do
	case $name in
	sort) # from 131072 lines on sort uses its second thread
		mawk -v what=sort -v seed=1 -v lines="${LINES_OF_TEXT:-133000}" -f "$here/generate.awk" >sort.in
		capture sort 64 sort --parallel=2 -S 32M -o so.out sort.in </dev/null
		;;
	wordcount)
		mawk -v what=words -v seed=2 -v count="${WORDS:-175000}" -v vocabulary=24000 -v rare=10 -f "$here/generate.awk" >words.in
		cp "$here/count.awk" .
		capture wordcount 64 mawk -f count.awk words.in </dev/null
		;;
	sqlite) # the cache (64 MiB) holds the whole table
		mawk -v what=sql -v seed=3 -v rows="${ROWS:-13000}" -v updates=2000 -v batch=1000 -f "$here/generate.awk" >items.sql
		capture sqlite 16 sqlite3 -init /dev/null items.db <items.sql
		;;
	*)
		echo "capture.sh: $name: want sort, wordcount or sqlite" >&2
		exit 2
		;;
	esac
done
