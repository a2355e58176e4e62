# Sourced: starts and stops the server under test.

# serve [OPTION…]: starts `everwire serve` on free ports of loopback, with its log in the file $SERVE_LOG, and sets
# LISTEN and ADMIN (host:port) and SERVE_PID.
serve() {
  local tries
  : >"$SERVE_LOG" # what an earlier server said must not be taken for an answer
  "${EVERWIRE:-target/release/everwire}" serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 "$@" >"$SERVE_LOG" 2>&1 &
  SERVE_PID=$!
  for ((tries = 0; tries < 100; tries++)); do
    LISTEN=$(grep -v -i admin "$SERVE_LOG" | grep -m1 -oP 'http://\K127\.0\.0\.1:[0-9]+' || true)
    ADMIN=$(grep -i admin "$SERVE_LOG" | grep -m1 -oP 'http://\K127\.0\.0\.1:[0-9]+' || true)
    [ -z "$LISTEN" ] || [ -z "$ADMIN" ] || return 0
    kill -0 "$SERVE_PID" 2>/dev/null || break
    sleep 0.1
  done
  echo "the server did not say where it listens:" >&2
  tail -n 5 "$SERVE_LOG" >&2
  return 1
}

stop_serving() {
  [ -z "${SERVE_PID:-}" ] || kill "$SERVE_PID" 2>/dev/null || true
  SERVE_PID=
}
