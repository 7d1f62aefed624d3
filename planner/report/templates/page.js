"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const charts = [];
  const SERIES = 13;
  const DECIMALS = { count: 0, tenths: 1, cents: 2, fine: 4 };

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function number(value, decimals) {
    return value.toLocaleString("en-US", {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
  }

  /* Charts */

  function seriesColour(series, index) {
    if (series.role) return colour(series.role);
    return colour("s" + ((index % SERIES) + 1));
  }

  function bars(spec) {
    return spec.shape === "stacked" || spec.shape === "tornado";
  }

  function dataset(spec, series, index) {
    const ink = seriesColour(series, index);
    const set = {
      label: series.label, data: series.values, backgroundColor: ink, borderColor: ink,
      pointRadius: 0, pointHitRadius: 8, borderWidth: bars(spec) ? 0 : 2,
      pointStyle: bars(spec) ? "rect" : "line",
    };
    if (series.role === "target") set.borderDash = [6, 4];
    if (series.role === "planned") {
      Object.assign(set, { pointStyle: "rectRot", pointRadius: 8, pointHoverRadius: 10, order: -1 });
    }
    return set;
  }

  function axis(title, grid, apart) {
    return {
      title: { display: title !== "", text: title, color: colour("muted") },
      ticks: { color: colour("muted"), maxRotation: 60, autoSkipPadding: apart },
      grid: { display: grid, color: colour("grid") },
      border: { display: !grid, color: colour("rule") },
    };
  }

  function total(items, spec) {
    if (spec.shape !== "stacked" || items.length < 2) return "";
    const sum = items.reduce((held, item) => held + (item.parsed.y || 0), 0);
    return "Total: " + number(sum, spec.decimals) + " " + spec.y;
  }

  function measured(item, spec) {
    return spec.shape === "tornado" ? item.parsed.x : item.parsed.y;
  }

  function tooltip(spec) {
    return {
      callbacks: {
        title: (items) =>
          spec.shape === "scatter" ? number(items[0].parsed.x, 2) + " " + spec.x : items[0].label,
        label: (item) =>
          item.dataset.label + ": " + number(measured(item, spec), spec.decimals) + " " + spec.y,
        footer: (items) => total(items, spec),
      },
      filter: (item) => item.dataset.label
        && (spec.shape !== "stacked" || measured(item, spec) !== 0),
    };
  }

  function legend() {
    return {
      color: colour("ink"), usePointStyle: true, boxHeight: 9, padding: 12,
      sort: (a, b) => a.datasetIndex - b.datasetIndex, filter: (item) => item.text,
    };
  }

  function options(spec) {
    const lying = spec.shape === "tornado", scatter = spec.shape === "scatter";
    const labels = axis(scatter ? spec.x : "", false, bars(spec) ? 2 : 14);
    const values = axis(spec.y, true, 6);
    const scales = lying ? { x: values, y: labels } : { x: labels, y: values };
    labels.stacked = bars(spec);
    values.stacked = spec.shape === "stacked";
    values.beginAtZero = true;
    if (spec.start) values.min = spec.start;
    if (scatter) Object.assign(labels, { type: "linear", beginAtZero: true });
    return {
      animation: false, responsive: true, maintainAspectRatio: false,
      indexAxis: lying ? "y" : "x",
      interaction: scatter
        ? { mode: "nearest", intersect: false }
        : { mode: "index", intersect: false, axis: lying ? "y" : "x" },
      scales,
      plugins: {
        legend: { position: "bottom", labels: legend() },
        tooltip: tooltip(spec),
      },
    };
  }

  function draw(spec) {
    const canvas = document.getElementById(spec.id);
    const figure = canvas.closest("figure");
    figure.querySelector(".plot").hidden = false;
    figure.querySelector("details").open = false;
    const chart = new Chart(canvas, {
      type: { stacked: "bar", tornado: "bar", lines: "line", scatter: "scatter" }[spec.shape],
      data: {
        labels: spec.labels,
        datasets: spec.series.map((series, index) => dataset(spec, series, index)),
      },
      options: options(spec),
    });
    if (spec.shape === "scatter") chart.data.datasets.forEach((set) => { set.showLine = true; });
    chart.update("none");
    charts.push({ chart, spec });
  }

  function recolour() {
    for (const { chart, spec } of charts) {
      chart.options = options(spec);
      spec.series.forEach((series, index) => {
        const ink = seriesColour(series, index);
        Object.assign(chart.data.datasets[index], { backgroundColor: ink, borderColor: ink });
      });
      chart.resize();
      chart.update("none");
    }
  }

  /* Long tables: search, filter, sort */

  function text(column, row) {
    const value = column.values[row];
    if (column.words) return column.words[value];
    if (value === null) return "";
    if (value === 0) return "–";
    if (column.style === "percent") return number(value * 100, 1) + "%";
    if (column.style in DECIMALS) return number(value, DECIMALS[column.style]);
    return number(value, decimalsFor(value));
  }

  function decimalsFor(value) {
    const size = Math.abs(value);
    if (Number.isInteger(value) || size >= 1000) return 0;
    return size >= 0.1 ? 2 : Math.min(12, 3 - Math.floor(Math.log10(size)));
  }

  function element(name, attributes, words) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    if (words !== undefined) made.textContent = words;
    return made;
  }

  function compare(column, a, b) {
    const x = column.values[a], y = column.values[b];
    if (column.words) return column.words[x].localeCompare(column.words[y], "en", { numeric: true });
    if (x === null || y === null) return (x === null) - (y === null);
    return x - y;
  }

  function grid(spec) {
    const place = document.getElementById(spec.id);
    const table = place.querySelector("table"), body = table.tBodies[0];
    const state = { words: "", chosen: new Map(), column: -1, down: false, all: false };
    const everything = Array.from({ length: spec.count }, (_, row) => row);
    const haystack = everything.map((row) =>
      spec.columns.map((column) => text(column, row)).join(" ").toLowerCase());
    const tools = element("div", { class: "tools", role: "search" });
    const count = element("output", { "aria-live": "polite" });
    const more = element("button", { type: "button" });

    function kept() {
      const wanted = state.words.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = everything.filter((row) =>
        wanted.every((word) => haystack[row].includes(word)) &&
        [...state.chosen].every(([column, value]) => text(spec.columns[column], row) === value));
      if (state.column >= 0) {
        const column = spec.columns[state.column], sign = state.down ? -1 : 1;
        rows.sort((a, b) => {
          const missing = !column.words && (column.values[a] === null || column.values[b] === null);
          return (missing ? 1 : sign) * compare(column, a, b) || a - b;
        });
      }
      return rows;
    }

    function show() {
      const rows = kept();
      const shown = state.all ? rows : rows.slice(0, spec.first);
      const lines = document.createDocumentFragment();
      for (const row of shown) {
        const line = element("tr");
        spec.columns.forEach((column, index) => {
          const kind = column.style !== "text" ? "n" : column.wide ? "w" : "";
          const cell = element(index ? "td" : "th", kind ? { class: kind } : {}, text(column, row));
          if (!index) cell.setAttribute("scope", "row");
          line.append(cell);
        });
        lines.append(line);
      }
      body.replaceChildren(lines);
      count.textContent = number(shown.length, 0) + " shown of " + number(rows.length, 0) +
        (rows.length < spec.count ? " found, " + number(spec.count, 0) + " in all" : "");
      more.hidden = rows.length <= spec.first;
      more.textContent = state.all ? "Show fewer" : "Show all " + number(rows.length, 0);
    }

    function chooser(column, index) {
      const label = element("label", {}, column.title);
      const select = element("select");
      select.append(element("option", { value: "" }, "all"));
      for (const word of [...new Set(column.words)].filter(Boolean).sort()) {
        select.append(element("option", { value: word }, word));
      }
      select.addEventListener("change", () => {
        if (select.selectedIndex) state.chosen.set(index, select.value);
        else state.chosen.delete(index);
        show();
      });
      label.append(select);
      return label;
    }

    /* No button element: printed headings that repeat on each page would lose its text. */
    function sorter(heading, index) {
      const button = element("span", { class: "sort", role: "button", tabindex: "0", title: "Sort" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        button.click();
      });
      button.addEventListener("click", () => {
        state.down = state.column === index && !state.down;
        state.column = index;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        show();
      });
    }

    const search = element("label", {}, "Search");
    const input = element("input", { type: "search" });
    input.addEventListener("input", () => { state.words = input.value; show(); });
    search.append(input);
    more.addEventListener("click", () => { state.all = !state.all; show(); });
    tools.append(search);
    spec.columns.forEach((column, index) => {
      if (column.filter && column.words) tools.append(chooser(column, index));
    });
    tools.append(more, count);
    place.prepend(tools);
    [...table.tHead.rows[0].cells].forEach(sorter);
    place.querySelector(".rest")?.remove();
    show();
  }

  /* Navigation: where the reader is */

  function follow() {
    const links = new Map();
    for (const link of document.querySelectorAll("nav a")) links.set(link.hash.slice(1), link);
    const seen = new Set();
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) seen.add(entry.target.id);
        else seen.delete(entry.target.id);
      }
      const current = [...links.keys()].find((id) => seen.has(id));
      for (const [id, link] of links) {
        if (id === current) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }, { rootMargin: "-10% 0px -60% 0px" });
    for (const id of links.keys()) observer.observe(document.getElementById(id));
  }

  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  data.charts.forEach(draw);
  data.grids.forEach(grid);
  follow();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  window.matchMedia("print").addEventListener("change", recolour);
  window.addEventListener("beforeprint", recolour);
  window.addEventListener("afterprint", recolour);
})();
