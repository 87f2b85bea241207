// Orders go out by PUT, receipts come in by events. The path is the whole contract.
const ORDERS = "/home/order/", RECEIPTS = "/home/receipt/";

async function place(sku, qty, options = {}) {
  const number = `${Date.now()}-${Math.floor(Math.random() * 1e6)}`;
  const answer = await fetch((options.base || "") + ORDERS + number, {
    method: "PUT",
    body: JSON.stringify({ sku, qty }),
    headers: { "Content-Type": "application/json", ...options.headers },
  });
  if (!answer.ok) throw new Error(`order refused: ${answer.status}`);
  return number;
}

async function receipt(path, options = {}) {
  return (await fetch((options.base || "") + path, { headers: options.headers })).json();
}

if (typeof document !== "undefined") {
  const list = document.getElementById("receipts");
  const events = new EventSource(`/listen${RECEIPTS}*`);
  events.addEventListener("put", async event => {
    const path = event.data.match(/^path: (.*)$/m)[1];
    const { status, total } = await receipt(path);
    list.append(Object.assign(document.createElement("li"), {
      textContent: `${path.slice(RECEIPTS.length)}: ${status}, ${total}`,
    }));
  });
  document.getElementById("order").addEventListener("submit", event => {
    event.preventDefault();
    const form = new FormData(event.target);
    place(form.get("sku"), Number(form.get("qty")));
  });
} else {
  module.exports = { place, receipt, RECEIPTS };
}
