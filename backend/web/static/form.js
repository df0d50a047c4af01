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
