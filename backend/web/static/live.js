// Follows a run: what each event says goes, as text, into the elements that name it. Without this the page reloads.

const root = document.querySelector("[data-events]");
const at = (run, path) => path.split(".").reduce((value, key) => value?.[key], run);

const formats = {
  number: (n) => n.toLocaleString("en", { maximumFractionDigits: Number.isInteger(n) ? 0 : 1 }),
  bytes(n) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    while (n >= 1000 && units.length > 1) [n] = [n / 1000, units.shift()];
    return `${n.toFixed(units[0] === "B" || n >= 100 ? 0 : 1)} ${units[0]}`;
  },
  duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    const spans = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];
    const [unit, length, below, part] = spans.find((span) => whole >= span[1]) ?? [];
    return unit ? `${Math.floor(whole / length)} ${unit} ${Math.floor((whole % length) / part)} ${below}` : `${whole} s`;
  },
};

function showFields(run) {
  for (const element of root.querySelectorAll("[data-field]")) {
    const value = at(run, element.dataset.field);
    if (element instanceof HTMLProgressElement) element.value = value ?? 0;
    else element.textContent = value == null ? "–" : formats[element.dataset.as](value);
  }
  for (const badge of root.querySelectorAll("[data-state]")) {
    const state = at(run, badge.dataset.state) ?? "pending";
    if (badge.textContent !== state) [badge.textContent, badge.className] = [state, `badge ${state}`];
  }
  for (const part of root.querySelectorAll("[data-part]")) part.hidden = !run[part.dataset.part];
  for (const part of root.querySelectorAll("[data-when]")) part.hidden = !part.dataset.when.split(" ").includes(run.status);
  const failed = ["crawl_job", "validation_job", "export_job"].map((job) => run[job]?.error_message).find(Boolean);
  for (const message of root.querySelectorAll("[data-error]")) [message.hidden, message.textContent] = [!failed, failed ?? ""];
}

function showChunks(chunks) {
  const strip = root.querySelector("[data-chunks]");
  if (!strip) return;
  if (strip.children.length !== chunks.length) {
    const size = `height="1" width="${1 - Math.min(0.15, 0.002 * chunks.length)}"`;
    strip.setAttribute("viewBox", `0 0 ${Math.max(1, chunks.length)} 1`);
    strip.innerHTML = chunks.map((_, place) => `<rect x="${place}" ${size}/>`).join("");
  }
  chunks.forEach((chunk, place) => strip.children[place].setAttribute("class", chunk.status));
}

function showRows(field, rows) {
  const body = root.querySelector(`[data-rows="${field}"]`);
  if (!body) return;
  const template = body.querySelector("template");
  while (body.rows.length > rows.length) body.deleteRow(-1);
  while (body.rows.length < rows.length) body.append(template.content.cloneNode(true));
  rows.forEach(([name, amount, of], place) => {
    const cell = (which) => body.rows[place].querySelector(`[data-cell="${which}"]`);
    const links = body.rows[place].querySelectorAll("[data-href]");
    cell("name").textContent = links.length ? name.replaceAll("_", " ") : name;
    for (const link of links) link.href = link.dataset.href + encodeURIComponent(name);
    cell("amount").textContent = formats.number(amount);
    cell("bar").max = of || 1;
    cell("bar").value = amount;
    cell("bar").setAttribute("aria-label", `Share of ${name}`);
  });
  root.querySelector(`[data-nothing="${field}"]`).hidden = rows.length > 0;
}

function show(run) {
  showFields(run);
  showChunks(run.chunks);
  const part = ({ name, downloaded, wanted }) => [name, downloaded, wanted ?? downloaded];
  for (const field of ["labels", "sources"]) showRows(field, run[field].map(part));
  for (const field of ["failures", "invalid"]) {
    const most = Math.max(...Object.values(run[field]));
    showRows(field, Object.entries(run[field]).map(([name, count]) => [name, count, most]));
  }
}

const events = new EventSource(root.dataset.events);
events.addEventListener("progress", (event) => {
  const [run, { failed, reload }] = [JSON.parse(event.data), root.dataset];
  show(run);
  if (run.settled) events.close();
  // The page has more to show than figures now. Something older may go on: it is not loaded again and again at once.
  if (failed < run.crawl_job.failed_chunks || (run.settled && reload != null)) setTimeout(() => location.reload(), 3000 - performance.now());
});
