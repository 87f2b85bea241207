"""The page that shows a client's traced requests (see `Elastik.enable_debug`)."""

PANEL = """<!DOCTYPE html>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; connect-src 'self';
               script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>elastik requests</title>
<style>
  body { margin: 1.5rem; font: 14px/1.5 ui-monospace, monospace; color-scheme: light dark; }
  table { border-collapse: collapse; }
  td { padding: 0 1rem 0 0; white-space: pre; }
  .slow { color: #b36b00; }
  .failed { color: #c02020; }
</style>
<h1>Requests</h1>
<p id="summary">nothing recorded yet</p>
<table id="rows"></table>
<script>
const SOURCE = "/tmp/debug/requests", ROWS = 500;
const summary = document.getElementById("summary"), rows = document.getElementById("rows");
const count = { all: 0, failed: 0, slow: 0 };
let read = 0;

function show(record) {
  const kind = record.status >= 400 ? "failed" : record.client_ms >= 100 ? "slow" : "";
  count.all += 1;
  if (kind) count[kind] += 1;
  const row = rows.insertRow();
  row.className = kind;
  const took = record.client_ms.toFixed(1) + " ms";
  for (const text of [record.method, record.path, record.status, took])
    row.insertCell().textContent = text;
  if (rows.rows.length > ROWS) rows.deleteRow(0);
}

async function update() {
  const answer = await fetch(SOURCE, { cache: "no-store" });
  if (!answer.ok) { summary.textContent = "cannot read the record: " + answer.status; return; }
  const lines = (await answer.text()).split("\\n").slice(0, -1);
  lines.slice(read).forEach(line => show(JSON.parse(line)));
  read = lines.length;
  summary.textContent = `${count.all} requests, ${count.failed} failed, ${count.slow} slow`;
}

update();
const events = new EventSource("/listen" + SOURCE);
for (const kind of ["put", "post", "lag"]) events.addEventListener(kind, update);
</script>
"""
