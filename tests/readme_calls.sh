#!/usr/bin/env bash
# Starts `make serve` and runs the curl commands of README.md and docs/ exactly as they stand, only with this run's port in them.
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

# Feedback and incidents of the calls stay out of the records of this folder.
CXR_DATABASE_URL="sqlite:///$work/records.db" setsid make serve PORT="$port" >"$log" 2>&1 &
server=$!
trap 'kill -TERM -- "-$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT

for _ in $(seq 240); do
    curl --silent --fail --output /dev/null "http://127.0.0.1:$port/readyz" && break
    kill -0 "$server" 2>/dev/null || { echo "make serve ended:"; cat "$log"; exit 1; }
    sleep 0.25
done
curl --silent --show-error --fail --output /dev/null "http://127.0.0.1:$port/readyz" || { cat "$log"; exit 1; }
kill -0 "$server" 2>/dev/null || { echo "Port $port answers, but make serve has ended:"; cat "$log"; exit 1; }

# What a document's calls write, such as overlay.png, goes into a folder of its own.
ln -s "$PWD/tests" "$work/tests"
curl() { command curl --silent --show-error --fail "$@"; }
total=0
for document in README.md docs/*.md; do
    calls="$(grep -E '^(curl |[a-z_]+=\$\(curl )' "$document" | sed "s/localhost:3000/127.0.0.1:$port/")" || continue
    while read -r call; do
        echo "+ $call"
        cd "$work"
        eval "$call" >answer || { echo "$document: this call failed"; exit 1; }
        cd - >/dev/null
        case "$call" in
            */audit*) grep -q '"rows"' "$work/answer" || { echo "no rows in the answer"; exit 1; } ;;
            *overlay.png*) head -c 8 "$work/overlay.png" | grep -q PNG || { echo "the overlay is not a PNG"; exit 1; } ;;
            "curl "*/predict*) grep -q '"probabilities"' "$work/answer" || { echo "no probabilities in the answer"; exit 1; } ;;
        esac
        head -c 400 "$work/answer"
        echo
        total=$((total + 1))
    done <<<"$calls"
done
[ "$total" -ge 10 ] || { echo "README.md and docs/ show $total curl commands only"; exit 1; }

if .venv-serve/bin/pip list 2>/dev/null | grep -qiE '^(timm|torchvision|onnx|scikit-learn|matplotlib) '; then
    echo "the serving environment holds a training dependency"; exit 1
fi
echo "README calls: $total passed, 0 failed"
