// Looking through images by keyboard, and more of them at the end of the page. Without this the page works by its form.
const form = document.querySelector("[data-gallery]");
const grid = form?.querySelector(".tiles");
const dialog = document.querySelector("dialog.large");
const says = form?.querySelector("[data-says]");
const token = document.querySelector("meta[name=csrf-token]").content;
const changeable = Boolean(form?.querySelector(".toolbar"));
let at = 0;
let large = 0;

const tiles = () => [...grid.children];
const linkOf = (tile) => tile.querySelector("a");

function focus(place) {
  const all = tiles();
  linkOf(all[at]).tabIndex = -1;
  at = Math.max(0, Math.min(place, all.length - 1));
  linkOf(all[at]).tabIndex = 0;
  if (dialog.open) enlarge();
  else linkOf(all[at]).focus();
  if (at > all.length - 12) more();
}

function rove(added) {
  for (const tile of added) linkOf(tile).tabIndex = -1;
  if (tiles().length) linkOf(tiles()[at]).tabIndex = 0;
}

function columns() {
  const all = tiles();
  const top = all[0].offsetTop;
  const below = all.findIndex((tile) => tile.offsetTop > top);
  return below < 0 ? all.length : below;
}

function enlarge() {
  large = at;
  const tile = tiles()[at];
  const title = linkOf(tile).textContent.trim() || tile.querySelector("img")?.alt || "Image";
  const picture = dialog.querySelector("img");
  picture.src = tile.dataset.large;
  picture.alt = title;
  dialog.querySelector("h2").textContent = [title, tile.querySelector(".says").textContent].filter(Boolean).join(": ");
  dialog.querySelector("[data-details]").href = linkOf(tile).href;
  if (!dialog.open) dialog.showModal();
}

function chosen() {
  const ticked = tiles().filter((tile) => tile.querySelector("input:checked"));
  return ticked.length && !dialog.open ? ticked : [tiles()[at]];
}

async function decideNow(choice) {
  const wanted = chosen().filter((tile) => tile.querySelector("input"));
  if (!wanted.length) return;
  const [undo, groups] = [choice === "undo", []];
  for (let start = 0; start < wanted.length; start += 1000) groups.push(wanted.slice(start, start + 1000));
  for (const group of groups) {
    const ids = group.map((tile) => Number(tile.dataset.image));
    const answer = await fetch(form.dataset.gallery, {
      method: undo ? "DELETE" : "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
      body: JSON.stringify(undo ? { image_ids: ids } : { choice, image_ids: ids }),
    }).catch(() => null);
    if (!answer?.ok) {
      says.textContent = (await answer?.json().catch(() => null))?.message ?? "The server does not answer. Try again.";
      return;
    }
    for (const tile of group) {
      tile.dataset.choice = undo ? "" : choice;
      tile.querySelector(".says").textContent = undo ? "" : choice;
      tile.querySelector("input").checked = false;
    }
  }
  const done = { keep: "kept", reject: "rejected", undo: "undone" }[choice];
  says.textContent = `${wanted.length} ${wanted.length === 1 ? "image" : "images"} ${done}.`;
  if (wanted.length === 1 && wanted[0] === tiles()[at] && !undo) focus(at + 1);
}

// One after the other: what is pressed before the last answer is meant for the image that comes then.
let work = Promise.resolve();
const decide = (choice) => (work = work.then(() => decideNow(choice)));

const ends = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && more(), { rootMargin: "800px" });
let loading = false;
async function more() {
  const link = document.querySelector("[data-next]");
  if (!link || loading) return;
  loading = true;
  try {
    const answer = await fetch(link.href);
    if (!answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const added = [...next.querySelectorAll(".tiles > li")].map((tile) => document.adoptNode(tile));
    grid.append(...added);
    rove(added);
    const on = next.querySelector("[data-next]");
    if (!on) return link.closest("p").remove();
    link.href = on.href;
    ends.unobserve(link);
    ends.observe(link); // tells at once when the end is still near
  } finally {
    loading = false;
  }
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea, summary, button");
  if (typing || !tiles().length || !(dialog.open || event.target === document.body || grid.contains(event.target))) return;
  const on = event.target.closest("input");
  const actions = {
    ArrowLeft: () => focus(at - 1),
    ArrowRight: () => focus(at + 1),
    ArrowUp: () => focus(at - columns()),
    ArrowDown: () => focus(at + columns()),
    Home: () => focus(0),
    End: () => focus(tiles().length - 1),
    k: () => changeable && decide("keep"),
    r: () => changeable && decide("reject"),
    u: () => changeable && decide("undo"),
    x: () => tiles()[at].querySelector("input")?.click(),
    " ": () => (dialog.open ? dialog.close() : enlarge()),
  };
  if (!(event.key in actions) || (event.key === " " && on)) return;
  event.preventDefault();
  actions[event.key]();
}

if (grid) {
  rove(tiles());
  grid.addEventListener("focusin", (event) => {
    const place = tiles().indexOf(event.target.closest("li"));
    if (place >= 0 && place !== at) {
      linkOf(tiles()[at]).tabIndex = -1;
      at = place;
      linkOf(tiles()[at]).tabIndex = 0;
    }
  });
  document.addEventListener("keydown", pressed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    decide(event.submitter.value);
  });
  form.querySelector(".keys")?.removeAttribute("hidden");
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => focus(large)); // the browser goes back to where it was opened
  const end = document.querySelector("[data-next]");
  if (end) ends.observe(end);
}
