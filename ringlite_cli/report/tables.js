"use strict";
// Tables sort by a click on a column's head. Without this script they stand in the order of the run.
for (const table of document.querySelectorAll("table:not(.numbers table, .matrix)")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent || "\u00a0";
    if (!head.textContent) button.setAttribute("aria-label", "sort by column " + (column + 1));
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const numeric = head.classList.contains("num");
      const value = (row) => {
        const cell = row.cells[column];
        return numeric ? parseFloat(cell.dataset.sort) : cell.textContent;
      };
      const rows = [...body.rows].sort((a, b) => {
        const x = value(a), y = value(b);
        if (numeric) {
          if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // rows without a number stay last
          return down ? y - x : x - y;
        }
        return (down ? -1 : 1) * x.localeCompare(y, undefined, { numeric: true });
      });
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...rows);
    });
  });
}
// On paper nothing can be opened: print what is folded, but for the numbers of figures that are printed.
addEventListener("beforeprint", () => document.querySelectorAll("details:not(.numbers, .rules)").forEach((each) => { each.open = true; }));
