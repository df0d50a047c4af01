// Looking through images by keyboard, and more of them at the end of the page. Without this the page works by its form.
const form = document.querySelector("[data-gallery]");
const grid = form?.querySelector(".tiles");
const dialog = document.querySelector("dialog.large");
const says = form?.querySelector("[data-says]");
const token = document.querySelector("meta[name=csrf-token]").content;
let at = 0;
let large = 0;

const tiles = () => [...grid.children];
const linkOf = (tile) => tile.querySelector("a");
const boxOf = (tile) => tile.querySelector("input");
const columns = () => getComputedStyle(grid).gridTemplateColumns.split(" ").length;

function stand(place) {
  linkOf(tiles()[at]).tabIndex = -1;
  linkOf(tiles()[(at = place)]).tabIndex = 0;
}

function focus(place) {
  stand(Math.max(0, Math.min(place, tiles().length - 1)));
  if (dialog.open) enlarge();
  else linkOf(tiles()[at]).focus();
  if (at > tiles().length - 12) more();
}

function enlarge() {
  large = at;
  const tile = tiles()[at];
  const title = linkOf(tile).textContent.trim() || tile.querySelector("img")?.alt || "Image";
  Object.assign(dialog.querySelector("img"), { src: tile.dataset.large, alt: title });
  dialog.querySelector("h2").textContent = [title, tile.querySelector(".says").textContent].filter(Boolean).join(": ");
  dialog.querySelector("[data-details]").href = linkOf(tile).href;
  if (!dialog.open) dialog.showModal();
}

const ticked = () => tiles().filter((tile) => boxOf(tile)?.checked);
const pictures = (n) => `${n} ${n === 1 ? "picture" : "pictures"}`;
const made = []; // what was decided here, the latest last: images, each with what was decided about it before

async function send(choice, wanted) {
  let done = 0;
  for (let start = 0; start < wanted.length; start += 1000) {
    const group = wanted.slice(start, start + 1000);
    const image_ids = group.map((tile) => Number(tile.dataset.image));
    const answer = await fetch(form.dataset.gallery, {
      method: choice ? "POST" : "DELETE",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
      body: JSON.stringify(choice ? { choice, image_ids } : { image_ids }),
    }).catch(() => null);
    const said = await answer?.json().catch(() => null);
    if (!answer?.ok) throw new Error(said?.message ?? "The server does not answer. Try again.");
    done += said.pictures;
    for (const tile of group) {
      tile.dataset.choice = tile.querySelector(".says").textContent = choice;
      boxOf(tile).checked = false;
    }
    count();
  }
  return done;
}

async function decideNow(choice) {
  while (made.at(-1)?.size === 0) made.pop();
  const several = dialog.open ? [] : ticked();
  const wanted = (several.length ? several : [tiles()[at]]).filter(boxOf);
  if (choice === "undo") {
    const last = !several.length && made.at(-1);
    const before = last || new Map(wanted.map((tile) => [tile, ""]));
    let undone = 0;
    for (const then of new Set(before.values())) undone += await send(then, [...before.keys()].filter((tile) => before.get(tile) === then));
    if (last) focus(tiles().indexOf([...made.pop().keys()][0]));
    else for (const each of made) wanted.forEach((tile) => each.delete(tile));
    says.textContent = undone ? `${pictures(undone)} undone.` : "There was nothing to undo.";
  } else if (wanted.length) {
    const before = new Map(wanted.map((tile) => [tile, tile.dataset.choice]));
    says.textContent = `${pictures(await send(choice, wanted))} ${choice === "keep" ? "kept" : "rejected"}.`;
    made.push(before);
    if (wanted.length === 1 && wanted[0] === tiles()[at]) focus(at + 1);
  }
}

// One after the other: what is pressed before the last answer is meant for the image that comes then.
let work = Promise.resolve();
const decide = (choice) => (work = work.then(() => decideNow(choice)).catch((error) => (says.textContent = error.message)));

const ends = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && more(), { rootMargin: "800px" });
let loading = false;
async function more() {
  const link = document.querySelector("[data-next]");
  if (!link || loading) return;
  loading = true;
  const text = await fetch(link.href).then((answer) => (answer.ok ? answer.text() : "")).catch(() => "");
  loading = false;
  if (!text) return;
  const next = new DOMParser().parseFromString(text, "text/html");
  const added = [...next.querySelectorAll(".tiles > li")].map((tile) => document.adoptNode(tile));
  grid.append(...added);
  for (const tile of added) linkOf(tile).tabIndex = -1;
  count();
  const on = next.querySelector("[data-next]");
  if (!on) return link.closest("p").remove();
  link.href = on.href;
  ends.unobserve(link);
  ends.observe(link); // tells at once when the end is still near
}

const all = form?.querySelector("[data-all]");
function count() {
  const [several, boxes] = [ticked().length, tiles().filter(boxOf).length];
  if (!all) return;
  [all.checked, all.indeterminate] = [several > 0 && several === boxes, several > 0 && several < boxes];
  form.querySelector("[data-count]").textContent = several ? `${several} selected` : "";
}

let last = 0; // the image whose box was clicked before: a range begins there
function tick({ target, shiftKey }) {
  if (!target.matches("input")) return;
  const place = tiles().indexOf(target.closest("li"));
  const range = shiftKey && place >= 0 ? tiles().slice(Math.min(last, place), Math.max(last, place) + 1) : [];
  for (const tile of (target === all ? tiles() : range).filter(boxOf)) boxOf(tile).checked = target.checked;
  if (place >= 0) last = place;
  count();
}

function pressed(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.closest("input:not([type=checkbox]), select, textarea, summary, button")) return;
  if (!grid) return document.querySelector({ ArrowLeft: "a[rel=prev]", ArrowRight: "a[rel=next]" }[key] ?? "_")?.click();
  if (!tiles().length || !(dialog.open || target === document.body || grid.contains(target))) return;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns(), Home: -Infinity, End: Infinity };
  const choices = { k: "keep", r: "reject", u: "undo" };
  if (key in steps) focus(at + steps[key]);
  else if (key in choices && all) decide(choices[key]);
  else if (key === "x") boxOf(tiles()[at])?.click();
  else if (key === " " && !target.closest("input")) dialog.open ? dialog.close() : enlarge();
  else return;
  event.preventDefault();
}

document.addEventListener("keydown", pressed);
if (grid) {
  for (const tile of tiles().slice(1)) linkOf(tile).tabIndex = -1;
  grid.addEventListener("focusin", (event) => stand(tiles().indexOf(event.target.closest("li"))));
  form.addEventListener("click", tick);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    decide(event.submitter.value);
  });
  for (const part of form.querySelectorAll("[data-with-script]")) part.hidden = false;
  count(); // a page that one comes back to has its ticks
  dialog.addEventListener("close", () => focus(large)); // the browser goes back to where it was opened
  for (const end of document.querySelectorAll("[data-next]")) ends.observe(end);
}
