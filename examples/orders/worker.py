"""The contract of orders: what appears at /home/order/ID is answered at /home/receipt/ID.

Server and token come from ELASTIK_URL and ELASTIK_WRITE_TOKEN. An order that arrives while the
worker is down is answered when it comes back, because its position is kept.
"""

import json
import os

import elastik

PRICES = {"tea": 3, "coffee": 4}


@elastik.listen("/home/order/*")
def on_order(body, path, method, e):
    if method == "DELETE":
        return
    order = json.loads(body)
    total = PRICES[order["sku"]] * order["qty"]
    number = path.rsplit("/", 1)[-1]
    e.put_json(f"/home/receipt/{number}", {"status": "accepted", "total": total})


elastik.run(
    state=os.environ.get("ORDERS_STATE", "orders.state"),
    after=0,
    dead_letters="/home/order-problems",
)
