// On a small screen the menu is closed until it is asked for.
const menu = document.querySelector("details.menu");
if (menu && matchMedia("(max-width: 59.99rem)").matches) menu.open = false;
// On a large one it scrolls in itself: where somebody is stands in its middle.
const nav = menu?.querySelector("nav");
const here = nav?.querySelector("[aria-current]");
if (here) nav.scrollTop = here.offsetTop - nav.offsetTop - nav.clientHeight / 2;

// On a small screen a row stands alone (console.css): each cell knows what its column is called, and
// the table stays one for whoever hears it.
function name(table) {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])].map((each) => each.textContent.trim());
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  const fits = (row) => row.cells.length >= heads.length && [...row.cells].every((each) => each.colSpan === 1);
  if (!heads.length || !rows.length || !rows.every(fits)) return;
  table.classList.add("labelled");
  table.setAttribute("role", "table");
  for (const group of [table.tHead, ...table.tBodies]) group.setAttribute("role", "rowgroup");
  for (const head of table.tHead.rows[0].cells) head.setAttribute("role", "columnheader");
  for (const row of [table.tHead.rows[0], ...rows]) row.setAttribute("role", "row");
  for (const row of rows) {
    for (const [place, cell] of [...row.cells].entries()) {
      cell.dataset.label = heads[place] ?? "";
      cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
      const said = cell.textContent.trim();
      if (!cell.querySelector("input, button, a") && (said === "" || said === "\u2013")) cell.classList.add("nothing");
    }
  }
}
const nameAll = () => document.querySelectorAll("table:not(.labelled)").forEach(name);
nameAll();
document.addEventListener("sakk:loaded", nameAll);

// What is clicked twice is sent once: the second click of a double one would show the second answer.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 2000);
});
