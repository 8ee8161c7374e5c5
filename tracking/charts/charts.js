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
  const tools = element("p", { className: "tools" }, element("label", {}, "Show ", choice), ...files);
  const leads = page.runs && chart.rows.some((row) => row.run) ? " A click on a seed opens its run." : "";
  const hint = `Drag to move, Ctrl and the wheel to zoom, a double click for the first view.${leads}`;
  const frame = element("div", { className: "chart" }, tools, checkboxes(), target,
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
