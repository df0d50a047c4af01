// What forms gain by a script: a count of keywords, what rules would refuse, text to copy. All of them work without.

for (const field of document.querySelectorAll("[data-keywords]")) {
  const output = document.querySelector("[data-keyword-count]");
  const count = () => {
    const lines = field.value.split("\n").map((line) => line.trim()).filter(Boolean);
    const words = lines.flatMap((line) => (line.includes(":") ? line.slice(line.indexOf(":") + 1).split(",") : [line]));
    const labels = new Set(lines.map((line) => line.split(":")[0].trim())).size;
    const keywords = words.filter((word) => word.trim()).length;
    output.textContent = lines.length ? `${labels} label${labels === 1 ? "" : "s"}, ${keywords} keyword${keywords === 1 ? "" : "s"}` : "";
  };
  field.addEventListener("input", count);
  count();
}

for (const form of document.querySelectorAll("[data-rules]")) {
  const verdict = form.querySelector("[data-verdict]");
  for (const spare of form.querySelectorAll("[data-without-script]")) spare.hidden = true;
  let waiting, asking;

  const rules = () => {
    const asked = {};
    const formats = new FormData(form).getAll("rule_formats");
    for (const field of form.querySelectorAll("input[type=number]")) {
      if (field.value.trim()) asked[field.name.replace("rule_", "")] = field.value.trim();
    }
    if (formats.length) asked.formats = formats;
    if (form.elements.rule_keep_duplicates.checked) asked.keep_duplicates = true;
    return asked;
  };

  const count = async () => {
    asking?.abort();
    asking = new AbortController();
    const headers = {
      "Content-Type": "application/json",
      "X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content,
    };
    try {
      const body = JSON.stringify({ rules: rules() });
      const answer = await fetch(form.dataset.rules, { method: "POST", headers, body, signal: asking.signal });
      const found = await answer.json();
      const say = (n) => n.toLocaleString("en");
      verdict.textContent = answer.ok
        ? `${say(found.valid)} of ${say(found.total)} images would be valid.`
        : found.message.replace(/^body\.rules: (Value error, )?/, "");
      for (const output of form.querySelectorAll("[data-rule]")) {
        const refused = answer.ok ? found.invalid[output.dataset.rule] : 0;
        output.textContent = refused ? `would refuse ${say(refused)}` : "";
      }
    } catch (error) {
      if (error.name !== "AbortError") verdict.textContent = "The server cannot be reached just now.";
    }
  };

  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(count, 250);
  });
  count();
}
