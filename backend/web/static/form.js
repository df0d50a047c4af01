// What forms gain by a script: a count of keywords, lists that are uploaded, what rules would refuse.

const token = document.querySelector("meta[name=csrf-token]").content;
const say = (n) => n.toLocaleString("en");
const counted = (n, noun) => `${say(n)} ${noun}${n === 1 ? "" : "s"}`;
const post = (url, options) =>
  fetch(url, { ...options, method: "POST", headers: { ...options.headers, "X-CSRF-Token": token } });

for (const field of document.querySelectorAll("[data-keywords]")) {
  const count = () => {
    const lines = field.value.split("\n").filter((line) => line.trim());
    const labels = new Set(lines.map((line) => line.split(":")[0].trim()));
    const words = lines.flatMap((line) => line.replace(/^[^:]*:/, "").split(line.includes(":") ? "," : "\n"));
    const keywords = words.filter((word) => word.trim()).length;
    document.querySelector("[data-keyword-count]").textContent = `${counted(labels.size, "label")}, ${counted(keywords, "keyword")}`;
  };
  field.addEventListener("input", count);
  if (field.value) count(); // written before this script was here
}

for (const field of document.querySelectorAll("[data-upload]")) {
  const [file, key] = field.querySelectorAll("input");
  file.removeAttribute("name"); // it goes up at once, and not again with the form
  const upload = async () => {
    const body = new FormData();
    body.append("file", file.files[0] ?? "");
    const answer = await post(field.dataset.upload, { body }).catch(() => null);
    const list = (await answer?.json()) ?? { message: "The server cannot be reached just now." };
    key.value = list.key ?? "";
    field.querySelector("[role=status]").textContent = list.key ? `${list.name}: ${counted(list.rows, "row")}, ready.` : list.message;
  };
  file.addEventListener("change", upload);
  if (file.files.length) upload(); // chosen before this script was here
}

for (const form of document.querySelectorAll("[data-rules]")) {
  for (const spare of form.querySelectorAll("[data-without-script]")) spare.hidden = true;
  let waiting, asking;
  const count = async () => {
    asking?.abort();
    asking = new AbortController();
    const rules = {};
    for (const [name, value] of new FormData(form))
      if (value && name.startsWith("rule_")) rules[name.slice(5)] = [rules[name.slice(5)], value].filter(Boolean).join();
    const options = { body: JSON.stringify({ rules }), headers: { "Content-Type": "application/json" }, signal: asking.signal };
    const answer = await post(form.dataset.rules, options).catch(() => null);
    if (!answer) return;
    const found = await answer.json();
    form.querySelector("[data-verdict]").textContent = answer.ok
      ? `${say(found.valid)} of ${say(found.total)} images would be valid.`
      : found.message.replace(/^body\.rules\S*: /, "");
    for (const output of form.querySelectorAll("[data-rule]")) {
      const refused = found.invalid?.[output.dataset.rule];
      output.textContent = refused ? `would refuse ${say(refused)}` : "";
    }
  };
  form.addEventListener("input", () => (clearTimeout(waiting), (waiting = setTimeout(count, 250))));
  count();
}
