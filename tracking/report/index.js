const mlflow = document.body.dataset.mlflow;
if (mlflow && location.hash.startsWith("#/")) location.replace(mlflow + location.hash); // a link to MLflow's page at "/"

const table = document.querySelector("table");
const body = table.tBodies[0];
const filter = document.querySelector("#filter");
const count = document.querySelector("#count");

filter.closest("p").hidden = false;
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/);
  const sweeps = new Set();
  let shown = 0;
  for (const row of body.rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
    if (!row.hidden) sweeps.add(row.cells[0].firstChild.textContent.trim());
  }
  for (const figure of document.querySelectorAll("figure")) figure.hidden = !sweeps.has(figure.dataset.sweep);
  count.textContent = `${shown} of ${body.rows.length} lines`;
});

const heads = [...table.tHead.rows[0].cells];
heads.forEach((head, place) => {
  const button = document.createElement("button");
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const isNumber = head.classList.contains("number");
    const key = (row) => {
      const cell = row.cells[place];
      return isNumber ? parseFloat(cell.dataset.value) : cell.textContent;
    };
    const compare = (first, second) => {
      const [a, b] = [key(first), key(second)];
      if (!isNumber) return sign * a.localeCompare(b);
      if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b); // what is missing comes last, whichever way
      return sign * (a - b);
    };
    body.append(...[...body.rows].sort(compare));
  });
});
