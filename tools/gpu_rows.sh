#!/usr/bin/env bash
# What waits for a GPU, in this order, as far as the time goes: LambdaResNet-18 (three seeds), its twin of
# convolutions, ResNet-18, `lambdalib bench`, small. At the end: how many seconds each run took to 94 %.
#
#     tools/gpu_rows.sh [MINUTES]        default: 14
#
# It stops in time; the next call goes on where this one stopped. Variables, all optional; folders are relative to
# the project's:
#     OUT     what to take home: each run's log and its weights in float16, bench.json (default: runs/gpu)
#     WORK    the runs themselves, from which the next call goes on (default: runs/gpu-work)
#     JOBS    words: tiny:0 is `lambdalib train --row tiny --seed 0`, bench:layer is `lambdalib bench --part layer`
#     ARGS    further arguments of `lambdalib train`, such as "--source sample --max-steps 2"
#     PYTHON  default: .venv/bin/python where it is there, else python3
set -eu
cd "$(dirname "$0")/.."

end=$(awk -v minutes="${1:-14}" 'BEGIN { print int(60 * minutes) }')
out=${OUT:-runs/gpu} work=${WORK:-runs/gpu-work} code=0
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
lambda=lambda-resnet18-u4
jobs=${JOBS:-$lambda:0 $lambda:1 $lambda:2 $lambda-convolutions:0 resnet18:0
    bench:layer bench:orders bench:step bench:alternatives bench:growth small:0}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$out" "$work"

left() { # seconds; the last 30 are for a run's last evaluation and for what is copied
    echo $((end - 30 - SECONDS))
}

train() { # ROW SEED
    local name=$1-seed$2 resume=
    [ ! -e "$work/$name/state.pt" ] || resume=--resume
    if grep -qs '"kind": "end"' "$work/$name/log.jsonl"; then
        echo "$name: done before"
    else
        echo "$name: $(left) seconds left"
        $python -m lambdalib train --row "$1" --seed "$2" --out "$work/$name" $resume --quiet \
            --minutes "$(awk -v seconds="$(left)" 'BEGIN { print seconds / 60 }')" ${ARGS:-} || return
    fi
    mkdir -p "$out/$name"
    cp "$work/$name/log.jsonl" "$out/$name/"
    if [ -e "$work/$name/weights.safetensors" ] && [ ! -e "$out/$name/$1.safetensors" ]; then
        $python tools/ship.py "$work/$name" "$1" --only-round "$out/$name"
    fi
}

bench() { # PART
    if grep -qs "^ \"$1\": {" "$work/bench.json"; then
        echo "bench, $1: done before"
    else
        echo "bench, $1: $(left) seconds left"
        timeout "$(left)" $python -m lambdalib bench --part "$1" --out "$work/bench.json" || return
        cp "$work/bench.json" "$out/"
    fi
}

for job in $jobs; do
    if [ "$(left)" -le 0 ]; then
        echo "$job: no time left"
    elif [ "${job%:*}" = bench ]; then
        bench "${job#*:}" || { echo "$job: stopped, or failed" && code=1; }
    else
        train "${job%:*}" "${job#*:}" || { echo "$job: failed" && code=1; }
    fi
done

$python - "$out" << 'END'
import json, pathlib, sys
for log in sorted(pathlib.Path(sys.argv[1]).glob("*/log.jsonl")):
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    there = [line["seconds"] for line in lines if line["kind"] == "epoch" and line.get("test_accuracy", 0) >= 0.94]
    print(f"{log.parent.name}: {f'94 % after {there[0]:.0f} s' if there else '94 % not reached'}")
END
exit $code
