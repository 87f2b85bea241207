#!/bin/sh
# Place an order and wait for its receipt: order.sh SKU QTY
# Needs ELASTIK_URL and ELASTIK_WRITE_TOKEN.
set -eu
number="$(date +%s)-$$"
auth="Authorization: Bearer $ELASTIK_WRITE_TOKEN"

printf '{"sku": "%s", "qty": %d}' "$1" "$2" |
    curl -fsS -X PUT -H "$auth" -H "Content-Type: application/json" --data-binary @- \
        "$ELASTIK_URL/home/order/$number"

# The receipt appears when the worker has taken the order; ten seconds are enough for a tea.
for _ in $(seq 100); do
    if curl -fsS -H "$auth" "$ELASTIK_URL/home/receipt/$number" 2>/dev/null; then
        echo
        exit 0
    fi
    sleep 0.1
done
echo "order.sh: no receipt for $number" >&2
exit 1
