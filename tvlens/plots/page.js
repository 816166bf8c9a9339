// Figures of a page: drawn when they come near the screen, in the colours of its theme; their data,
// and tables, as files.
(() => {
  const $ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const settings = JSON.parse(document.getElementById("figure-settings").textContent);

  // On a dark page black and white change places, and dark colours get as light as can be seen.
  function onDark(colour) {
    const hex = /^#(..)(..)(..)$/.exec(colour);
    const [red, green, blue, alpha] = hex
      ? hex.slice(1).map((each) => parseInt(each, 16))
      : colour.match(/[\d.]+/g).map(Number);
    const rgb = [red, green, blue];
    const light = 0.21 * red + 0.72 * green + 0.07 * blue;
    const grey = Math.max(...rgb) - Math.min(...rgb) < 20;
    if (grey ? light > 110 && light < 200 : light >= 135) return colour;
    const share = (135 - light) / (255 - light);
    const mixed = rgb.map((each) => Math.round(grey ? 255 - each : each + (255 - each) * share));
    return alpha === undefined ? `rgb(${mixed})` : `rgba(${mixed},${alpha})`;
  }

  function darkened(value, key) {
    if (key === "colorscale") return value;
    if (typeof value === "string") return /^(#\w{6}|rgba?\(.*)$/.test(value) ? onDark(value) : value;
    if (Array.isArray(value)) return value.map((each) => darkened(each));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([k, each]) => [k, darkened(each, k)]));
  }

  function spec(figure, theme) {
    const light = JSON.parse(figure.querySelector("script").textContent);
    const shown = theme === "dark" ? darkened(light) : light;
    shown.layout.template = settings.templates[theme];
    return shown;
  }

  async function draw(figure) {
    figure.dataset.drawn = "underway";
    const { data, layout, frames } = spec(figure, document.documentElement.dataset.theme);
    const canvas = figure.querySelector(".canvas");
    Plotly.purge(canvas);
    await Plotly.newPlot(canvas, data, layout, settings.config);
    if (frames) await Plotly.addFrames(canvas, frames);
    figure.dataset.drawn = "yes";
  }

  function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (rows) => rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n";

  // Plotly keeps arrays of numbers as typed arrays once a figure is drawn.
  const list = (value) => (Array.isArray(value) || ArrayBuffer.isView(value) ? [...value] : []);

  // The title of the panel that a trace is in: the lowest one right above it.
  function panel(layout, trace) {
    const axis = (name) => layout[(trace[`${name}axis`] ?? name).replace(name, `${name}axis`)];
    const domain = (name) => (layout[trace.scene]?.domain ?? { [name]: axis(name)?.domain })[name];
    const [across, up] = ["x", "y"].map((name) => domain(name) ?? [0, 1]);
    const above = (layout.annotations ?? []).filter(
      ({ xref, x, y }) =>
        xref === "paper" && Math.abs(x - (across[0] + across[1]) / 2) < 0.01 && y > up[1] - 0.02,
    );
    const nearest = above.sort((one, other) => one.y - other.y)[0];
    return nearest ? nearest.text.replace(/<sup>.*/, "").replace(/<[^>]*>/g, " ").trim() : "";
  }

  // A row for each point or cell of each trace that is shown; customdata is what hovering tells.
  function points(canvas) {
    const rows = [];
    for (const trace of canvas._fullData) {
      if (trace.visible !== true || trace.hoverinfo === "skip") continue;
      const told = String(list(trace.hovertemplate)[0] ?? trace.hovertemplate ?? "");
      const name = [panel(canvas._fullLayout, trace), trace.name, told.replace(/<[^>]*>/g, " ")];
      const more = list(trace.customdata).map((each) => (list(each).length ? list(each) : [each]));
      const [x, y, z] = [list(trace.x), list(trace.y), list(trace.z)];
      if (trace.type === "heatmap")
        z.forEach((row, i) => list(row).forEach((cell, j) =>
          rows.push([...name, x[j], y[i], cell, ...list(more[i]?.[j] ?? [])])));
      else
        for (let i = 0; i < Math.max(x.length, y.length); i++)
          rows.push([...name, x[i], y[i], z[i], ...(more[i] ?? [])]);
    }
    const named = ["panel", "trace", "hover", "x", "y", "z"];
    const width = Math.max(...rows.map((row) => row.length));
    const more = Array.from({ length: width - named.length }, (_, i) => `customdata[${i}]`);
    return csv([[...named, ...more], ...rows]);
  }

  function cells(table) {
    return csv($("tr", table).map((row) => $("th,td", row).map((cell) => cell.textContent)));
  }

  async function copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages opened as files have no clipboard in some browsers.
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const label = button.textContent;
    button.textContent = "copied";
    setTimeout(() => (button.textContent = label), 1200);
  }

  const actions = {
    csv: (figure) => save(`${figure.id}.csv`, "text/csv", points(figure.querySelector(".canvas"))),
    json: (figure) => save(`${figure.id}.json`, "application/json", JSON.stringify(spec(figure, "light"))),
    // As it stands, sliders and all; but a dark figure would be lost on white paper.
    svg: (figure) => {
      const canvas = figure.querySelector(".canvas");
      const { width, height } = canvas._fullLayout;
      const dark = document.documentElement.dataset.theme === "dark";
      const image = { format: "svg", filename: figure.id, width, height };
      Plotly.downloadImage(dark ? spec(figure, "light") : canvas, image);
    },
  };
  for (const figure of $("figure"))
    for (const button of $("button", figure))
      button.onclick = () => actions[button.dataset.action](figure);
  for (const block of $(".with-table"))
    block.querySelector("button").onclick = (event) =>
      copy(event.target, block.querySelector("script")?.textContent ?? cells(block));

  const near = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries)
        if (isIntersecting && !target.dataset.drawn) draw(target);
    },
    { rootMargin: "600px" },
  );
  $("figure").forEach((figure) => near.observe(figure));
  addEventListener("beforeprint", () => $("figure:not([data-drawn])").forEach(draw));

  function show(theme) {
    document.documentElement.dataset.theme = theme;
    for (const figure of $("figure[data-drawn]")) {
      delete figure.dataset.drawn;
      near.unobserve(figure);
      near.observe(figure);
    }
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  show(dark.matches ? "dark" : "light");
  dark.onchange = () => show(dark.matches ? "dark" : "light");
  document.getElementById("theme").onclick = () =>
    show(document.documentElement.dataset.theme === "dark" ? "light" : "dark");

  const links = $("nav.contents a");
  const seen = new Set();
  const here = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries)
        isIntersecting ? seen.add(target.id) : seen.delete(target.id);
      const first = $("section[id]").find((section) => seen.has(section.id));
      if (first) links.forEach((link) => link.classList.toggle("here", link.hash === `#${first.id}`));
    },
    { rootMargin: "0px 0px -70% 0px" },
  );
  $("section[id]").forEach((section) => here.observe(section));
  const contents = document.querySelector("nav.contents details");
  if (contents && innerWidth < 992) {
    contents.open = false;
    links.forEach((link) => link.addEventListener("click", () => (contents.open = false)));
  }
})();
