// Shows the charts of a page in the places that it has for them, instead of pictures. `vegaEmbed` is Vega's own function.
const page = JSON.parse(document.querySelector("#charts").textContent);
for (const chart of page.charts) chart.rows = chart.rows.flatMap(unpacked);
const hidden = new Set(); // methods
const shown = []; // by chart: the view that is seen
const narrow = matchMedia("(max-width: 44rem)").matches;
const font = getComputedStyle(document.body).fontFamily;
const config = {
  font,
  background: "white",
  axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", gridColor: "#d1d9e0", labelColor: "#59636e",
    labelLimit: narrow ? 90 : 220 },
  legend: { orient: "bottom", columns: narrow ? 1 : 3, labelFontSize: 12, labelLimit: narrow ? 280 : 260, symbolLimit: 0,
    symbolOpacity: 1 },
  padding: 10,
  view: { stroke: null },
};
const options = { ast: true, renderer: "svg", actions: false, config };

function unpacked({ fields, values }) {
  return values.map((row) => Object.fromEntries(fields.map((field, place) => [field, row[place]])));
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function labelsShown() {
  return page.methods.filter((label) => !hidden.has(label));
}

function checkboxes() {
  const boxes = page.methods.map((label) => {
    const box = element("input", { type: "checkbox", checked: true, value: label, className: "method" });
    box.addEventListener("change", () => {
      hidden[box.checked ? "delete" : "add"](label);
      for (const other of document.querySelectorAll("input.method")) other.checked = !hidden.has(other.value);
      for (const view of shown) view?.signal("shown", labelsShown()).runAsync();
    });
    return element("label", {}, box, label);
  });
  return element("fieldset", {}, element("legend", { textContent: "Methods" }), ...boxes);
}

async function save(place, kind, name) {
  const href = await shown[place].toImageURL(kind, kind === "png" ? 2 : 1);
  element("a", { href, download: `${page.sweep}-${name}.${kind}` }).click();
}

const step = 0.1; // of what is seen
const factor = 0.8;
const moves = { // by key: along x and along y, as shares of what is seen, and by what that is multiplied
  ArrowLeft: [-step, 0, 1], ArrowRight: [step, 0, 1], ArrowDown: [0, -step, 1], ArrowUp: [0, step, 1],
  "+": [0, 0, factor], "=": [0, 0, factor], "-": [0, 0, 1 / factor], 0: null,
};

// As the pointer does it: Vega-Lite keeps the ends of an axis in a signal; null is the first view.
function move(view, by) {
  for (const { field, channel } of view.signal("zoom_tuple_fields")) {
    const scale = view.scale(channel);
    const [first, last] = scale.range();
    const ends = by && [-0.5, 0.5].map((end) => 0.5 + end * by[2] + by[channel === "x" ? 0 : 1]);
    const values = ends && ends.map((share) => scale.invert(first + share * (last - first)));
    view.signal(`zoom_${field.replace(/\W/g, "_")}`, values);
  }
  view.runAsync();
}

function moveByKey(event, place) {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(moves, event.key)) return;
  event.preventDefault(); // the page would move too
  move(shown[place], moves[event.key]);
}

async function show(chart, place, target, title) {
  shown[place]?.finalize();
  target.replaceChildren();
  const picture = target.closest("figure").querySelector("img");
  const spec = { ...chart.views[title], data: { values: chart.rows }, width: "container", height: narrow ? 260 : 340,
    autosize: { type: "fit-x", contains: "padding" }, description: picture?.alt ?? `${chart.heading}: ${title}` };
  const { view } = await vegaEmbed(target, spec, options);
  shown[place] = view;
  view.addEventListener("click", (event, item) => {
    const run = item?.datum?.run;
    if (page.runs && run) location.assign(page.runs + run);
  });
  await view.signal("shown", labelsShown()).runAsync();
}

async function add(chart, place) {
  const figure = document.getElementById(chart.name);
  const target = element("div", { className: "vega" });
  const choice = element("select");
  for (const title of Object.keys(chart.views)) choice.append(element("option", { textContent: title }));
  choice.addEventListener("change", () => show(chart, place, target, choice.value));
  const files = ["svg", "png"].map((kind) => {
    const button = element("button", { type: "button", textContent: kind.toUpperCase() });
    button.setAttribute("aria-label", `Save ${chart.heading} as ${kind.toUpperCase()}`);
    button.addEventListener("click", () => save(place, kind, chart.name));
    return button;
  });
  const zooms = [["Zoom in", "+"], ["Zoom out", "-"], ["First view", "0"]].map(([name, key]) => {
    const button = element("button", { type: "button", textContent: name });
    button.setAttribute("aria-label", `${name} of ${chart.heading}`);
    button.addEventListener("click", () => move(shown[place], moves[key]));
    return button;
  });
  const held = element("div", { className: "held", tabIndex: 0 }, target); // Vega gives `target` a role of its own
  held.setAttribute("role", "group");
  held.setAttribute("aria-label", `${chart.heading}: the arrows move it, + and − zoom, 0 leads back`);
  held.addEventListener("keydown", (event) => moveByKey(event, place));
  const tools = element("p", { className: "tools" }, element("label", {}, "Show ", choice), ...zooms, ...files);
  const leads = page.runs && chart.rows.some((row) => row.run) ? " A click on a seed opens its run." : "";
  const hint = `Drag to move, Ctrl and the wheel to zoom, a double click for the first view; by keyboard, the arrows, + and −, and 0.${leads}`;
  const frame = element("div", { className: "chart" }, tools, checkboxes(), held,
    element("p", { className: "files", textContent: hint }));
  const picture = figure.querySelector(".picture");
  const caption = figure.querySelector(".caption");
  const ofPicture = caption.textContent;
  figure.hidden = false;
  figure.append(frame);
  try {
    await show(chart, place, target, choice.value);
    if (picture) picture.hidden = true;
    caption.textContent = chart.caption;
  } catch (error) {
    console.error(error);
    frame.remove();
    caption.textContent = ofPicture;
    figure.hidden = !picture;
  }
}

async function main() {
  for (const [place, chart] of page.charts.entries()) await add(chart, place);
}

main();
