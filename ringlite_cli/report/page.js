"use strict";
// Tables sort by a click on a column's head. Without this script they stand in the order of the run.
for (const table of document.querySelectorAll("table:not(.numbers table)")) {
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
// A pointer over a curve reads its values at the nearest step, worked back from what is drawn.
const valueAt = (scale, at) => {
  const [lo, hi, start, end, log] = scale, share = (at - start) / (end - start);
  return log ? lo * Math.pow(hi / lo, share) : lo + share * (hi - lo);
};
const shown = (value) => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(3)));
for (const plot of document.querySelectorAll("g.plot")) {
  const svg = plot.ownerSVGElement, figure = svg.closest("figure");
  const xScale = plot.dataset.x.split(" ").map(Number), yScale = plot.dataset.y.split(" ").map(Number);
  const curves = [...plot.querySelectorAll("path[data-name]")].map((path) => ({
    name: path.dataset.name,
    points: path.getAttribute("d").slice(1).split("L").map((pair) => pair.split(",").map(Number)),
  }));
  const box = document.createElement("div"), hair = document.createElementNS(svg.namespaceURI, "line");
  box.className = "readout";
  hair.setAttribute("class", "hair");
  svg.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
    const near = curves.map((curve) => curve.points.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a)));
    if (!near.length) return;
    const x = near[0][0];
    hair.setAttribute("x1", x); hair.setAttribute("x2", x);
    hair.setAttribute("y1", yScale[3]); hair.setAttribute("y2", yScale[2]);
    box.textContent = plot.dataset.title + " " + shown(valueAt(xScale, x)) + ": " +
      curves.map((curve, k) => curve.name + " " + shown(valueAt(yScale, near[k][1]))).join(", ");
    plot.append(hair);
    figure.append(box);
  });
  svg.addEventListener("pointerleave", () => { box.remove(); hair.remove(); });
}
// On paper nothing can be opened: print what is folded, but for the numbers of figures that are printed.
addEventListener("beforeprint", () => document.querySelectorAll("details:not(.numbers)").forEach((each) => { each.open = true; }));
