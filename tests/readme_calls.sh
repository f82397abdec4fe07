#!/usr/bin/env bash
# Starts `make serve` and runs the README's curl commands exactly as they stand, only with this run's port in them.
set -euo pipefail
cd "$(dirname "$0")/.."
port="${PORT:-3217}"
log="$(mktemp)"
work="$(mktemp -d)"

# Whoever answers already would answer the calls below as well, and nothing of what was started would have been tried.
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "Port $port is taken by another process; end it, or choose a free port: PORT=3218 tests/readme_calls.sh."
    exit 1
fi

setsid make serve PORT="$port" >"$log" 2>&1 &
server=$!
trap 'kill -TERM -- "-$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT

for _ in $(seq 240); do
    curl --silent --fail --output /dev/null "http://127.0.0.1:$port/readyz" && break
    kill -0 "$server" 2>/dev/null || { echo "make serve ended:"; cat "$log"; exit 1; }
    sleep 0.25
done
curl --silent --show-error --fail --output /dev/null "http://127.0.0.1:$port/readyz" || { cat "$log"; exit 1; }
kill -0 "$server" 2>/dev/null || { echo "Port $port answers, but make serve has ended:"; cat "$log"; exit 1; }

calls="$(grep -E '^curl ' README.md | sed "s/localhost:3000/127.0.0.1:$port/; s#-o \([a-z.]*\)#-o $work/\1#")"
[ "$(wc -l <<<"$calls")" -ge 2 ] || { echo "README.md shows fewer than two curl commands"; exit 1; }
while read -r call; do
    echo "+ $call"
    answer="$(bash -c "$call --silent --show-error --fail")"
    [ -z "$answer" ] || head -c 400 <<<"$answer"
    echo
    case "$call" in
        *overlay.png*) head -c 8 "$work/overlay.png" | grep -q PNG || { echo "the overlay is not a PNG"; exit 1; } ;;
        */predict*) grep -q '"probabilities"' <<<"$answer" || { echo "no probabilities in the answer"; exit 1; } ;;
    esac
done <<<"$calls"

if .venv-serve/bin/pip list 2>/dev/null | grep -qiE '^(timm|torchvision|onnx|scikit-learn|matplotlib) '; then
    echo "the serving environment holds a training dependency"; exit 1
fi
echo "README calls: 1 passed, 0 failed"
