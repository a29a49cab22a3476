// A pointer over a curve reads each curve's own value at the nearest step, never the mean that is drawn thick.
const shown = (value) => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(3)));
const curvesOf = (plot) => {
  const found = new Map();
  for (const path of plot.querySelectorAll("path[data-name]")) {
    const at = path.dataset.at.split(" ").map(Number), own = path.dataset.own.split(" ").map(Number);
    const points = found.get(path.dataset.name) || [];
    at.forEach((x, k) => points.push([x, own[k]]));
    found.set(path.dataset.name, points);
  }
  return found;
};
const stepName = (plot, x) => {
  const stages = JSON.parse(plot.dataset.stages || "[]");
  const stage = stages.find(([, offset, steps]) => x > offset && x <= offset + steps);
  return stage ? stage[0] + " step " + shown(x - stage[1]) : plot.dataset.title + " " + shown(x);
};
const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
for (const plot of document.querySelectorAll("g.plot")) {
  const svg = plot.ownerSVGElement, figure = svg.closest("figure");
  const [lo, hi, start, end] = plot.dataset.x.split(" ").map(Number), y = plot.dataset.y.split(" ").map(Number);
  const curves = curvesOf(plot);
  if (!curves.size) continue;
  const box = document.createElement("div"), hair = document.createElementNS(svg.namespaceURI, "line");
  box.className = "readout";
  hair.setAttribute("class", "hair");
  svg.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
    const wanted = lo + (at - start) / (end - start) * (hi - lo);
    const near = [...curves].map(([name, points]) => [name, nearest(points, wanted)]);
    const x = near.map(([, point]) => point).reduce((a, b) => (Math.abs(b[0] - wanted) < Math.abs(a[0] - wanted) ? b : a))[0];
    const drawn = start + (x - lo) / (hi - lo) * (end - start);
    hair.setAttribute("x1", drawn); hair.setAttribute("x2", drawn);
    hair.setAttribute("y1", y[3]); hair.setAttribute("y2", y[2]);
    // A curve that has no value at this step is read at its own nearest step, which is then named.
    box.textContent = stepName(plot, x) + ": " + near.map(([name, [place, value]]) =>
      name + " " + shown(value) + (place === x ? "" : " (" + stepName(plot, place) + ")")).join(", ");
    plot.append(hair);
    figure.append(box);
  });
  svg.addEventListener("pointerleave", () => { box.remove(); hair.remove(); });
}
// Each figure can be taken away, as numbers and as a picture.
const handOver = (blob, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};
const fileName = (figure, ending) => {
  const words = document.querySelector("h1").textContent + "-" + figure.querySelector("figcaption").textContent;
  return words.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") + ending;
};
const quoted = (word) => (/[",\n]/.test(word) ? '"' + word.replaceAll('"', '""') + '"' : word);
const asCsv = (figure) => {
  const plot = figure.querySelector("g.plot");
  const curves = plot ? curvesOf(plot) : new Map();
  if (!curves.size) {
    const rows = [...figure.querySelectorAll(".numbers tr")];
    return rows.map((row) => [...row.cells].map((cell) => quoted(cell.textContent)).join(",")).join("\n") + "\n";
  }
  const stages = JSON.parse(plot.dataset.stages || "[]");
  const at = [...new Set([...curves.values()].flatMap((points) => points.map((point) => point[0])))].sort((a, b) => a - b);
  const values = [...curves.values()].map((points) => new Map(points));
  const rows = at.map((x) => {
    const stage = stages.find(([, offset, steps]) => x > offset && x <= offset + steps);
    const place = stages.length ? (stage ? [stage[0], x - stage[1]] : ["", x]) : [x];
    return [...place, ...values.map((own) => (own.has(x) ? own.get(x) : ""))];
  });
  const head = [...(stages.length ? ["stage", "step"] : [plot.dataset.title]), ...curves.keys()];
  return [head, ...rows].map((row) => row.map((cell) => quoted(String(cell))).join(",")).join("\n") + "\n";
};
const asPng = (figure) => {
  const svg = figure.querySelector("svg"), copy = svg.cloneNode(true), scale = 3;
  const { width, height } = svg.viewBox.baseVal, head = 24;
  const picture = document.createElementNS(svg.namespaceURI, "svg");
  const style = document.createElementNS(svg.namespaceURI, "style"), ground = document.createElementNS(svg.namespaceURI, "rect");
  const title = document.createElementNS(svg.namespaceURI, "text");
  style.textContent = document.getElementById("figure-style").textContent + " svg { font-family: system-ui, sans-serif }";
  title.textContent = figure.querySelector("figcaption").textContent;
  title.setAttribute("class", "strong"); title.setAttribute("x", 2); title.setAttribute("y", 15);
  for (const [name, value] of Object.entries({ width, height: height + head, fill: "#fff" })) ground.setAttribute(name, value);
  for (const [name, value] of Object.entries({ y: head, width, height })) copy.setAttribute(name, value);
  for (const [name, value] of Object.entries({ width: width * scale, height: (height + head) * scale, viewBox: `0 0 ${width} ${height + head}` })) picture.setAttribute(name, value);
  picture.append(style, ground, title, copy);
  const text = new XMLSerializer().serializeToString(picture);
  return new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = width * scale; canvas.height = (height + head) * scale;
      canvas.getContext("2d").drawImage(image, 0, 0);
      canvas.toBlob(done, "image/png");
    };
    image.onerror = failed;
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  });
};
for (const figure of document.querySelectorAll("figure")) {
  const tools = document.createElement("span");
  tools.className = "tools";
  const kinds = { CSV: async () => new Blob([asCsv(figure)], { type: "text/csv" }), PNG: () => asPng(figure) };
  for (const [kind, made] of Object.entries(kinds)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = kind;
    button.setAttribute("aria-label", kind + " of " + figure.querySelector("figcaption").textContent);
    button.addEventListener("click", async () => handOver(await made(), fileName(figure, "." + kind.toLowerCase())));
    tools.append(button);
  }
  figure.querySelector(".numbers > summary").append(tools);
}
