"""Ending what runs in a container, from inside, with nothing but bash's own commands.

A command runs below a docker-init of its own, which takes in its orphans (`-s`, PR_SET_CHILD_SUBREAPER): so all that it
started, however it forked, is found below that process. The bash in there may have been replaced by whoever worked in
the container; so what these scripts did is never believed but looked at from outside, by the engine.
"""

from __future__ import annotations

INIT = "/sbin/docker-init"
"""The engine's own init, mounted read-only into every container with `Init` (moby, `oci_linux.go`)."""
_PASSES = 40

_LOOK = r"""
declare -A parent state
look() {
  parent=() state=()
  local file line
  for file in /proc/[0-9]*/stat; do
    IFS= read -r line 2> /dev/null < "$file" || continue
    set -- ${line##*) }
    file=${file#/proc/}
    if [[ $1 == Z ]] && (( ${18} > 1 )); then set -- R "$2"; fi  # its first thread has ended, others run on
    state[${file%/stat}]=$1 parent[${file%/stat}]=$2
  done
}
"""

_KILL_COMMAND = (
    _LOOK
    + r"""
mark=$1 roots=
for file in /proc/[0-9]*/cmdline; do
  line=
  while IFS= read -r -d '' word; do line+=" $word"; done 2> /dev/null < "$file"
  if [[ $line == " INIT "*" $mark "* ]]; then file=${file#/proc/}; roots+=" ${file%/cmdline}"; fi
done
[[ $roots ]] || exit 0
kill -STOP $roots 2> /dev/null
for ((pass = 0; pass < PASSES; pass++)); do
  look
  below=$roots found=
  while [[ $below ]]; do
    next=
    for pid in "${!parent[@]}"; do
      if [[ " $below " == *" ${parent[$pid]} "* ]]; then
        next+=" $pid"
        [[ ${state[$pid]} == Z ]] || found+=" $pid"
      fi
    done
    below=$next
  done
  [[ $found ]] || break
  kill -STOP $found 2> /dev/null
  kill -KILL $found 2> /dev/null
done
kill -KILL $roots 2> /dev/null
exit 0
"""
)

_KILL_ALL = (
    _LOOK
    + r"""
declare -A keep
for pid in 1 $$ "$@"; do keep[$pid]=1; done
if (( $# == 0 )); then
  oldest=
  for file in /proc/[0-9]*/stat; do
    IFS= read -r line 2> /dev/null < "$file" || continue
    pid=${file#/proc/} pid=${pid%/stat}
    set -- ${line##*) }
    (( pid == 1 )) && continue
    if [[ -z $oldest ]] || (( ${20} < born )); then oldest=$pid born=${20}; fi
  done
  keep[$oldest]=1
fi
for ((pass = 0; pass < PASSES; pass++)); do
  look
  found=
  for pid in "${!parent[@]}"; do
    [[ ${keep[$pid]} || ${state[$pid]} == Z || ${parent[$pid]} == $$ ]] || found+=" $pid"
  done
  [[ $found ]] || exit 0
  kill -STOP $found 2> /dev/null
  kill -KILL $found 2> /dev/null
done
exit 1
"""
)

_LIST = r"""for file in /proc/[0-9]*; do [[ ${file#/proc/} == $$ ]] || echo "${file#/proc/}"; done"""


def _script(text: str) -> str:
    return text.replace("INIT", INIT).replace("PASSES", str(_PASSES))


def below_init(mark: str, argv: tuple[str, ...]) -> list[str]:
    """Return the command line that runs `argv` below an init of its own, known by `mark`.

    The mark stands there as a variable to unset, which nothing notices.
    """
    return [INIT, "-s", "--", "env", "-u", mark, *argv]


def kill_command(mark: str) -> list[str]:
    """Return the command line that kills what runs below the init known by `mark`, and that init."""
    return ["bash", "--norc", "--noprofile", "-c", _script(_KILL_COMMAND), "bash", mark]


def kill_all(kept: tuple[str, ...]) -> list[str]:
    """Return the command line that kills everything but process 1, the main process and the `kept` process ids."""
    return ["bash", "--norc", "--noprofile", "-c", _script(_KILL_ALL), "bash", *kept]


def list_processes() -> list[str]:
    """Return the command line that prints the process ids inside."""
    return ["bash", "--norc", "--noprofile", "-c", _LIST]
