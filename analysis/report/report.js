// The report's only script: names the runs behind points, draws their curves, sorts and filters
// tables. Text goes into the page through textContent alone, so no name of a run can be markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const runs = data.runs;
  const rowOf = new Map(runs.ids.map((id, row) => [id, row]));
  const SVG = "http://www.w3.org/2000/svg";
  const PAGE = data.page;

  // Building elements ------------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function draw(parent, tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  // 1.2e9 as 1.2 x 10^9, as the rest of the page sets it.
  function typeset(text) {
    const parts = /^(\d(?:\.\d+)?)e(-?\d{1,3})$/.exec(text);
    if (!parts) return [text];
    return [(parts[1] === "1" ? "" : `${parts[1]} × `) + "10", make("sup", {}, parts[2])];
  }

  // The number that a cell shows: 41.7k, 1.2e9, 12,345, 3 %; NaN for words and dashes.
  const UNITS = { k: 1e3, M: 1e6, B: 1e9, T: 1e12 };
  function parsed(text) {
    const parts = /^([-+]?[\d.,]+(?:e[-+]?\d+)?)\s*([kMBT])?\s*(?:[%x*]\s*)*$/.exec(text.trim());
    return parts ? Number(parts[1].replaceAll(",", "")) * (UNITS[parts[2]] ?? 1) : NaN;
  }

  const address = (id) => "#run-" + encodeURIComponent(id);
  const fact = (row, column) => runs.cells[row][runs.columns.indexOf(column)] ?? "";
  const said = (row, ...columns) =>
    columns.map((c) => [c, fact(row, c)]).filter(([, value]) => value !== "");

  // Points of figures ------------------------------------------------------------------------

  const tip = make("div", { class: "tip", role: "tooltip", id: "tip", hidden: "" });
  const live = make("div", { class: "unseen", "aria-live": "polite" });
  document.body.append(tip, live);
  tip.addEventListener("mousedown", (event) => event.preventDefault());  // keeps the plot's focus

  const SHORT = [["N", "n_params"], ["D", "n_tokens"], ["C", "flops"], ["loss", "loss"]];
  const SPEC = ["shape", "recipe", "data", "batch_tokens", "lr_peak", "schedule", "seed", "device"];

  function fillTip(row, touch) {
    const list = make("dl");
    for (const [label, column] of SHORT) {
      const value = fact(row, column);
      if (value) list.append(make("div", {}, make("dt", {}, label), make("dd", {}, ...typeset(value))));
    }
    const spec = said(row, ...SPEC).map(([c, value]) => `${c.replaceAll("_", " ")} ${value}`);
    const curve = make("a", { href: address(runs.ids[row]) }, "its curve and full spec");
    const how = touch ? [curve] : [curve, " (click, or Enter)"];
    tip.replaceChildren(
      make("strong", {}, fact(row, "run")), list,
      make("p", {}, spec.join(" · ")), make("p", { class: "how" }, ...how));
  }

  function prepare(plot) {
    const svg = plot.querySelector("svg");
    const own = data.figures[plot.dataset.figure];
    if (!svg || !own || !own.length) return;
    const points = own.map(([row, x, y]) => ({ row, x, y })).sort((a, b) => a.x - b.x || a.y - b.y);
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    const named = new Set(points.map((p) => p.row)).size;
    plot.setAttribute("aria-label",
      `Points of ${named} runs. Left and right arrows walk through them, Enter shows a run.`);
    const ring = draw(svg, "circle", { class: "ring", r: 6, visibility: "hidden" });
    let at = -1;

    function hide() {
      tip.hidden = true;
      ring.setAttribute("visibility", "hidden");
      plot.style.cursor = "";
    }

    function show(index, touch = false, walked = false) {
      const point = points[index];
      at = index;
      ring.setAttribute("cx", point.x);
      ring.setAttribute("cy", point.y);
      ring.setAttribute("visibility", "visible");
      fillTip(point.row, touch);
      tip.hidden = false;
      if (walked) ring.scrollIntoView({ block: "nearest", inline: "nearest" });
      const spot = new DOMPoint(point.x, point.y).matrixTransform(svg.getScreenCTM());
      const box = tip.getBoundingClientRect();
      const width = document.documentElement.clientWidth;
      const left = Math.min(Math.max(8, spot.x - box.width / 2), width - box.width - 8);
      const above = spot.y - box.height - 14;
      tip.style.left = `${left + scrollX}px`;
      tip.style.top = `${(above > 4 ? above : spot.y + 16) + scrollY}px`;
    }

    function nearest(event, reach) {
      const matrix = svg.getScreenCTM();
      const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      let best = -1;
      let least = (reach / matrix.a) ** 2;
      points.forEach((p, index) => {
        const distance = (p.x - spot.x) ** 2 + (p.y - spot.y) ** 2;
        if (distance < least) [best, least] = [index, distance];
      });
      return best;
    }

    plot.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      const index = nearest(event, 14);
      plot.style.cursor = index < 0 ? "" : "pointer";
      if (index < 0) hide();
      else if (index !== at || tip.hidden) show(index);
    });
    plot.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch" && !tip.contains(event.relatedTarget)) hide();
    });
    plot.addEventListener("click", (event) => {
      const touch = event.pointerType === "touch";
      const index = nearest(event, touch ? 26 : 14);
      if (index < 0) return hide();
      show(index, touch);
      if (!touch) open(points[index].row);
    });
    plot.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: points.length - 1 };
      if (event.key in steps) {
        event.preventDefault();
        show(Math.min(Math.max(steps[event.key], 0), points.length - 1), false, true);
        const row = points[at].row;
        const facts = SHORT.map(([label, column]) => `${label} ${fact(row, column)}`).join(", ");
        live.textContent = `${fact(row, "run")}: ${facts}`;
      } else if (event.key === "Enter" && at >= 0) open(points[at].row);
      else if (event.key === "Escape") hide();
    });
    plot.addEventListener("blur", (event) => tip.contains(event.relatedTarget) || hide());
    addEventListener("resize", hide);
  }

  // One run ----------------------------------------------------------------------------------

  const panel = make("dialog", { id: "run", "aria-labelledby": "run-title" });
  document.body.append(panel);
  panel.addEventListener("close", () => {
    if (location.hash.startsWith("#run-")) {
      history.replaceState(null, "", location.pathname + location.search);
    }
  });
  panel.addEventListener("click", (event) => event.target === panel && panel.close());

  function open(row) {
    tip.hidden = true;
    const close = make("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
    close.addEventListener("click", () => panel.close());
    const list = make("dl", { class: "spec" });
    runs.columns.forEach((column, i) => {
      const value = runs.cells[row][i];
      if (value !== "") {
        const label = make("dt", {}, column.replaceAll("_", " "));
        list.append(make("div", {}, label, make("dd", {}, ...typeset(value))));
      }
    });
    const title = make("h2", { id: "run-title" }, fact(row, "run"));
    panel.replaceChildren(close, title, curve(row), list);
    if (!panel.open) panel.showModal();
  }

  function curve(row) {
    const own = runs.curves[runs.ids[row]];
    if (!own || own[0].length < 2) {
      return make("p", {}, "No training curve of this run is on this page.");
    }
    const [wide, high, left, bottom, edge] = [innerWidth < 700 ? 380 : 640, 300, 52, 40, 12];
    const all = Object.entries(runs.curves)
      .filter(([id, c]) => c[0].length > 1 && fact(rowOf.get(id), "data") === fact(row, "data"))
      .map(([, c]) => c);
    const spread = (values) => [Math.min(...values), Math.max(...values)];
    const [x0, x1] = spread(all.flatMap((c) => spread(c[0])).map(Math.log10));
    const lows = all.map((c) => Math.min(...c[1]));
    const ends = [...own[1], ...all.map((c) => c[1].at(-1))];
    const [y0, y1] = spread([...lows, ...ends].map(Math.log10)).map((v, i) => v + (i ? 0.01 : -0.01));
    const px = (v) => left + ((Math.log10(v) - x0) / (x1 - x0 || 1)) * (wide - left - edge);
    const py = (v) => edge + ((y1 - Math.log10(v)) / (y1 - y0 || 1)) * (high - bottom - edge);
    const figure = document.createElementNS(SVG, "svg");
    for (const [key, value] of Object.entries({
      viewBox: `0 0 ${wide} ${high}`, role: "img", class: "curve",
      "aria-label": `Loss of ${fact(row, "run")} against training compute, from `
        + `${own[1][0]} to ${own[1].at(-1)}; the other runs on this data behind it.`,
    })) figure.setAttribute(key, value);
    const clip = draw(draw(figure, "defs", {}), "clipPath", { id: "curve-clip" });
    draw(clip, "rect", { x: left, y: 0, width: wide - left, height: high - bottom });
    for (let power = Math.ceil(x0); power <= x1; power++) {
      const x = px(10 ** power);
      draw(figure, "line", { class: "grid", x1: x, x2: x, y1: edge, y2: high - bottom });
      const label = draw(figure, "text", { x, y: high - bottom + 16, "text-anchor": "middle" }, "10");
      draw(label, "tspan", { dy: -5, "font-size": "75%" }, String(power));
    }
    const span = 10 ** y1 - 10 ** y0;
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5].find((s) => span / s <= 6) ?? 10;
    for (let v = Math.ceil(10 ** y0 / step) * step; v < 10 ** y1; v += step) {
      draw(figure, "line", { class: "grid", x1: left, x2: wide - edge, y1: py(v), y2: py(v) });
      draw(figure, "text", { x: left - 6, y: py(v) + 4, "text-anchor": "end" }, String(+v.toFixed(2)));
    }
    const path = (c) => c[0].map((f, i) => `${i ? "L" : "M"}${px(f).toFixed(1)} ${py(c[1][i]).toFixed(1)}`);
    const lines = draw(figure, "g", { "clip-path": "url(#curve-clip)" });
    for (const other of all) if (other !== own) draw(lines, "path", { class: "other", d: path(other).join("") });
    draw(lines, "path", { class: "own", d: path(own).join("") });
    draw(figure, "text", { x: (wide + left) / 2, y: high - 6, "text-anchor": "middle" }, "training compute C (FLOPs)");
    draw(figure, "text", { transform: `translate(12 ${(high - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "loss (nats/token)");
    return figure;
  }

  function follow() {
    if (!location.hash.startsWith("#run-")) return;
    const row = rowOf.get(decodeURIComponent(location.hash.slice(5)));
    if (row !== undefined) open(row);
  }

  // Tables -----------------------------------------------------------------------------------

  // Words that must occur, and conditions such as loss<2 or n_params>=1e5; null if none is meant.
  function condition(word, columns) {
    const parts = /^([^<>=]+)(<=|>=|<|>|=)(.*)$/.exec(word);
    if (!parts) return (cells) => cells.some((c) => c.toLowerCase().includes(word.toLowerCase()));
    const column = columns.findIndex((c) => c.toLowerCase() === parts[1].toLowerCase());
    if (column < 0) throw new Error(`no column ${parts[1]}; there are ${columns.join(", ")}`);
    const asked = parsed(parts[3]);
    return (cells) => {
      const value = parsed(cells[column]);
      switch (parts[2]) {
        case "<": return value < asked;
        case ">": return value > asked;
        case "<=": return value <= asked;
        case ">=": return value >= asked;
        default:
          return Number.isNaN(asked)
            ? cells[column].toLowerCase() === parts[3].toLowerCase() : value === asked;
      }
    };
  }

  function compare(a, b) {
    const [x, y] = [parsed(a), parsed(b)];
    if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b, "en", { numeric: true });
    // Words and dashes come after numbers.
    return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : x - y;
  }

  function enhance(table) {
    const { cells, ids } = data.tables[table.id];
    const heads = [...table.tHead.rows[0].cells];
    const columns = heads.map((head) => head.textContent);
    const numeric = heads.map((head) => head.classList.contains("number"));
    const input = make("input", { type: "search", placeholder: `filter: words, or ${columns.includes("loss") ? "loss<2" : `${columns[0]}=…`}`, "aria-label": "Filter rows", "aria-controls": table.id, spellcheck: "false" });
    const status = make("span", { role: "status" });
    const back = make("button", { type: "button" }, "previous");
    const on = make("button", { type: "button" }, "next");
    table.parentElement.before(make("div", { class: "tools" }, input, status, back, on));
    table.closest("section")?.querySelector(`[data-of="${table.id}"]`)?.remove();
    let order = cells.map((_, row) => row);
    let kept = order;
    let page = 0;

    function paint() {
      const pages = Math.max(1, Math.ceil(kept.length / PAGE));
      page = Math.min(page, pages - 1);
      const first = page * PAGE;
      const shown = kept.slice(first, first + PAGE);
      table.tBodies[0].replaceChildren(...shown.map((row) => make("tr", {}, ...cells[row].map((text, i) => {
        const linked = i === 0 && ids.length && rowOf.has(ids[row]);
        const content = linked ? [make("a", { href: address(ids[row]) }, text)] : typeset(text);
        const look = numeric[i] ? "number" : text.length > 36 ? "long" : "";
        return make("td", look ? { class: look } : {}, ...content);
      }))));
      const range = shown.length ? `${(first + 1).toLocaleString("en")} to ${(first + shown.length).toLocaleString("en")} of ` : "";
      const total = kept.length < cells.length ? ` (filtered from ${cells.length.toLocaleString("en")})` : "";
      status.textContent = `rows ${range}${kept.length.toLocaleString("en")}${total}`;
      back.hidden = on.hidden = pages === 1;
      back.disabled = page === 0;
      on.disabled = page === pages - 1;
    }

    function select() {
      try {
        const tests = input.value.split(/\s+/).filter(Boolean).map((word) => condition(word, columns));
        kept = order.filter((row) => tests.every((test) => test(cells[row])));
        input.setAttribute("aria-invalid", "false");
        page = 0;
        paint();
      } catch (error) {
        input.setAttribute("aria-invalid", "true");
        status.textContent = error.message;
      }
    }

    heads.forEach((head, i) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const sign = up ? 1 : -1;
        order.sort((a, b) => sign * compare(cells[a][i], cells[b][i]) || a - b);
        select();
      });
    });
    input.addEventListener("input", select);
    back.addEventListener("click", () => { page--; paint(); });
    on.addEventListener("click", () => { page++; paint(); });
    paint();
  }

  document.querySelectorAll("table[data-sortable]").forEach(enhance);
  document.querySelectorAll(".plot[data-figure]").forEach(prepare);
  addEventListener("hashchange", follow);
  follow();
})();
