"use strict";
/* Filters, columns, exports and unfolding of the table; charts drawn as they come into sight; two methods compared. */
(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const night = matchMedia("(prefers-color-scheme: dark)");
  const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const say = (text) => { find("status").textContent = text; };
  const make = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };

  /* Charts */
  const views = new Map();
  async function draw(box, fill) {
    if (fill) box.fill = fill;
    // One after the other: the last request decides what is seen.
    box.turn = (box.turn || Promise.resolve()).then(async () => {
      const [form, columns] = data.charts[box.dataset.chart] || [box.dataset.chart, {}];
      const names = Object.keys(columns);
      const frame = (columns[names[0]] || []).map((_, at) => Object.fromEntries(names.map((name) => [name, columns[name][at]])));
      const spec = structuredClone(data.forms[form]);
      spec.datasets = { ...spec.datasets, frame };
      // Vega-Lite warns of a width to fit beside a height that grows by steps.
      const rows = (row) => row[spec.layer[0].encoding.y.field];
      if (spec.height.step) spec.height = spec.height.step * new Set(frame.map(rows)).size;
      spec.description = box.dataset.title;
      if (box.fill) box.fill(spec);
      if (views.has(box)) views.get(box).finalize();
      const drawn = await vegaEmbed(box, spec, {
        mode: "vega-lite", renderer: "svg", ast: true, defaultStyle: false, config: data.themes[night.matches ? 1 : 0],
        tooltip: { disableDefaultStyle: true }, downloadFileName: box.dataset.chart,
        actions: { export: true, source: false, compiled: false, editor: false },
      });
      box.classList.add("drawn");
      views.set(box, drawn);
      return drawn;
    });
    return box.turn;
  }
  const sight = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    sight.unobserve(entry.target);
    if (entry.target.tagName === "TABLE") {
      new DataTable(entry.target, { paging: false, searching: false, info: false, order: [], autoWidth: false });
    } else draw(entry.target);
  }), { rootMargin: "200px" });
  function recolour() {
    document.documentElement.classList.toggle("dark", night.matches);
    views.forEach((_, box) => draw(box));
  }
  night.addEventListener("change", recolour);
  recolour();

  /* The table */
  const { columns, rows, links } = data.table;
  const runs = columns.length;
  const place = Object.fromEntries(columns.map((column, at) => [column.key, at]));
  const textOf = (cell) => cell == null ? "" : Array.isArray(cell) ? cell[1]
    : cell.records ? cell.records.join(" ") : cell.sources ? cell.sources.join("; ") : cell.remarks ? cell.remarks.join("; ") : String(cell);
  function htmlOf(cell, key, row) {
    if (cell == null) return "–";
    if (cell.records) return cell.records.map((id) => `<a href="${escaped(links[id])}">${escaped(id)}</a>`).join(", ");
    if (cell.sources) {
      const linked = (name) => ((url) => url ? `<a href="${escaped(url)}">${escaped(name)}</a>` : escaped(name))(links[name.split(" ")[0]]);
      return cell.sources.map(linked).join("; ");
    }
    const text = escaped(textOf(cell));
    if (cell.remarks) {
      const items = cell.remarks.map((remark) => `<li>${escaped(remark)}</li>`).join("");
      const title = cell.remarks.length > 1 ? `${cell.remarks.length} remarks` : "1 remark";
      return text.length <= 80 ? text : `<details><summary>${title}</summary><ul>${items}</ul></details>`;
    }
    if (key === "method" && row[runs].length) {
      return `${text}<button type="button" class="fold" aria-expanded="false">${row[runs].length} runs</button>`;
    }
    return Array.isArray(cell) && cell[2] ? `<strong>${text}</strong>` : text;
  }
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  // What is unknown comes last; downwards it does so by itself, as an empty text.
  const missing = (a, b) => (a === "") - (b === "");
  const compared = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
  DataTable.ext.type.order["known-asc"] = (a, b) => missing(a, b) || compared(a, b);
  DataTable.ext.type.order["known-desc"] = (a, b) => compared(b, a);
  const numeric = columns.map((_, at) => rows.some((row) => Array.isArray(row[at])));
  const table = new DataTable("#rows", {
    data: rows, order: [], pageLength: 50, lengthMenu: [25, 50, 100, 500, { label: "all", value: -1 }],
    autoWidth: false, orderMulti: true, search: { return: false },
    layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" },
    columns: columns.map((column, at) => ({
      title: column.title, type: "known", className: column.key + (numeric[at] ? " number" : ""),
      visible: column.group === "" || column.group === "accuracy",
      orderSequence: column.first === "asc" ? ["asc", "desc", ""] : ["desc", "asc", ""],
      orderable: !["evidence", "remarks"].includes(column.key),
      render: (cell, type, row) => type === "display" ? htmlOf(cell, column.key, row)
        : type === "sort" || type === "type" ? (Array.isArray(cell) ? cell[0] : textOf(cell)) : textOf(cell),
    })),
    language: { search: "search", lengthMenu: "rows _MENU_", zeroRecords: "No row has all of this; take a filter away." },
  });
  columns.forEach((column, at) => { table.column(at).header().title = column.meaning; });
  const box = table.table().container().querySelector(".dt-layout-table > div");
  Object.assign(box, { tabIndex: 0 }).setAttribute("aria-label", "Table of scores");
  box.setAttribute("role", "region");
  function fold(row, open) {
    const button = row.node().querySelector("button.fold");
    button.setAttribute("aria-expanded", String(open));
    if (!open) return row.child.remove();
    const shown = columns.map((_, at) => at).filter((at) => table.column(at).visible());
    const lines = row.data()[runs].map((run) => make("tr", { className: "seed" }, ...shown.map((at) =>
      make("td", { className: table.column(at).header().className, innerHTML: htmlOf(run[at], "", run) }))));
    row.child(lines).show();
  }
  find("rows").addEventListener("click", (event) => {
    const button = event.target.closest("button.fold");
    if (button) fold(table.row(button.closest("tr")), button.getAttribute("aria-expanded") === "false");
  });

  /* Filters and column sets; the address holds them all. */
  const selects = columns.filter((column) => column.filter).map((column) => {
    const select = make("select", { name: column.key });
    find("filters").insertBefore(make("label", {}, column.title, select), find("filters").lastElementChild);
    return select;
  });
  const sets = [...document.querySelectorAll("[data-set]")];
  const only = find("ranked");
  const accepted = (row, except) => (!only.checked || row[place.rank] != null)
    && selects.every((select) => select === except || !select.value || textOf(row[place[select.name]]) === select.value);
  table.search.fixed("filters", (_, row) => accepted(row));
  function offer() {
    for (const select of selects) {
      const values = new Set(rows.filter((row) => accepted(row, select)).map((row) => textOf(row[place[select.name]])));
      if (select.value) values.add(select.value);
      const known = [...values].filter(Boolean).sort(collator.compare);
      const options = known.map((value) => make("option", { value, textContent: value, selected: value === select.value }));
      select.replaceChildren(make("option", { value: "", textContent: "all" }), ...options);
    }
  }
  const preset = { dataset: data.dataset };
  function address() {
    const state = new URLSearchParams();
    if (table.search()) state.set("q", table.search());
    for (const select of selects) if (select.value || preset[select.name]) state.set(select.name, select.value);
    if (only.checked) state.set("ranked", "yes");
    state.set("sets", sets.filter((set) => set.checked).map((set) => set.dataset.set).join(","));
    const order = table.order().filter(([, direction]) => direction);
    if (order.length) state.set("order", order.map(([at, direction]) => `${columns[at].key}:${direction}`).join(","));
    return `#${state}`;
  }
  let restoring = false;
  function changed() {
    if (restoring) return;
    history.replaceState(null, "", address());
    const { recordsDisplay } = table.page.info();
    say(`${recordsDisplay} rows`);
  }
  function update() {
    offer();
    sets.forEach((set) => table.columns(columns.flatMap((column, at) => column.group === set.dataset.set ? [at] : []))
      .visible(set.checked, false));
    const found = rows.filter((row) => accepted(row));
    for (const key of ["dataset", "protocol", "information"]) {
      table.column(place[key]).visible(new Set(found.map((row) => textOf(row[place[key]]))).size > 1, false);
    }
    table.rows().every(function () { if (this.child.isShown()) fold(this, false); });
    table.draw();
    changed();
  }
  function restore(hash) {
    const state = new URLSearchParams(hash);
    restoring = true;
    table.search(state.get("q") || "");
    for (const select of selects) {
      const value = state.get(select.name) ?? (hash ? "" : preset[select.name] ?? "");
      select.replaceChildren(make("option", { value, selected: true }));
      select.value = value;
    }
    only.checked = state.get("ranked") === "yes";
    if (state.has("sets")) sets.forEach((set) => { set.checked = state.get("sets").split(",").includes(set.dataset.set); });
    const order = (state.get("order") || "").split(",").map((part) => part.split(":"));
    table.order(order.filter(([key, way]) => key in place && ["asc", "desc"].includes(way)).map(([key, way]) => [place[key], way]));
    update();
    restoring = false;
  }
  [...selects, only, ...sets].forEach((control) => control.addEventListener("change", update));
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("reset").addEventListener("click", () => { restore(""); changed(); });
  table.on("search.dt order.dt", () => { if (!restoring) setTimeout(changed); });
  function visit() {
    const hash = decodeURI(location.hash.slice(1));
    if (hash.includes("=")) {
      restore(location.hash.slice(1));
      find("scores").scrollIntoView();
      return;
    }
    for (let node = find(hash); node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    if (find(hash)) find(hash).scrollIntoView();
  }
  restore(location.hash.includes("=") ? location.hash.slice(1) : "");
  addEventListener("hashchange", visit);

  /* What is shown, to take away */
  const shownRows = () => table.rows({ search: "applied", order: "applied" }).data().toArray();
  const tex = (text) => text.replace(/[\\{}$&#^_%~]/g, (sign) => ({ "\\": "\\textbackslash{}", "^": "\\^{}", "~": "\\~{}" })[sign] || `\\${sign}`)
    .replace(/±/g, "$\\pm$").replace(/–/g, "--");
  const exports = {
    CSV() {
      const kept = columns.map((_, at) => at).filter((at) => table.column(at).visible());
      const quoted = (text) => /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
      const lines = [kept.map((at) => columns[at].title), ...shownRows().map((row) => kept.map((at) => textOf(row[at])))];
      return ["scores.csv", lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n"];
    },
    LaTeX() {
      const notes = [];
      const found = shownRows();
      const several = ["dataset", "protocol", "information"].filter((key) => new Set(found.map((row) => textOf(row[place[key]]))).size > 1);
      const scores = columns.filter((column, at) => column.group === "accuracy" && table.column(at).visible());
      const kept = [...several, "rank", "method", ...scores.map((column) => column.key)].map((key) => place[key]);
      const line = (row) => kept.map((at) => {
        const audits = columns[at].key === "method" ? row[place.remarks]?.audits ?? [] : [];
        const marks = audits.map((audit) => (notes.includes(audit) ? notes : (notes.push(audit), notes)).indexOf(audit) + 1);
        return tex(textOf(row[at]) || "–") + (marks.length ? `\\tnote{${marks.join(",")}}` : "");
      }).join(" & ");
      const body = found.map((row) => `${line(row)} \\\\`);
      const heads = kept.map((at) => tex(columns[at].title)).join(" & ");
      const align = kept.map((at) => numeric[at] ? "r" : "l").join("");
      return ["scores.tex", [
        "% needs the packages booktabs and threeparttable", "\\begin{threeparttable}", `\\begin{tabular}{${align}}`,
        "\\toprule", `${heads} \\\\`, "\\midrule", ...body, "\\bottomrule", "\\end{tabular}",
        ...(notes.length ? ["\\begin{tablenotes}", ...notes.map((note, at) => `\\item[${at + 1}] ${tex(note)}`), "\\end{tablenotes}"] : []),
        "\\end{threeparttable}", "",
      ].join("\n")];
    },
    BibTeX() {
      const names = shownRows().flatMap((row) => [textOf(row[place.method]), textOf(row[place.method]).split(/[ ,]/)[0]]);
      const entries = new Set(names.map((name) => data.bibtex[name]).filter(Boolean));
      return ["papers.bib", [...entries].join("\n\n") || "% No entry is known of the papers of these rows.\n"];
    },
  };
  document.querySelectorAll("[data-export]").forEach((button) => button.addEventListener("click", () => {
    const [name, text] = exports[button.dataset.export]();
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    say(`${name} written`);
  }));

  /* Two methods, query by query */
  document.querySelectorAll(".duel").forEach((part) => {
    const { names, pid, camera, ap, thumbnails } = data.duels[part.dataset.board];
    const [first, second] = part.querySelectorAll("select");
    [first, second].forEach((select, which) => select.append(...names.map((name, at) =>
      new Option(name, at, at === which, at === which))));
    const chart = part.querySelector(".chart");
    const list = (title, queries) => make("div", {}, make("h5", { textContent: title }), make("ol", {}, ...queries.map((one) => {
      const item = make("li", {}, `identity ${one.pid}, camera ${one.camera}: AP ${one.a.toFixed(1)} and ${one.b.toFixed(1)}`);
      const source = thumbnails[one.at];
      if (source) item.prepend(make("img", { src: source, alt: `query of identity ${one.pid}` }));
      return item;
    })));
    async function compare() {
      const queries = pid.map((_, at) => ({ at, pid: pid[at], camera: camera[at], a: ap[first.value][at], b: ap[second.value][at] }))
        .filter((one) => one.a != null && one.b != null).map((one) => ({ ...one, a: one.a / 10, b: one.b / 10 }));
      const sorted = [...queries].sort((one, other) => other.a - other.b - one.a + one.b);
      const [left, right] = [names[first.value], names[second.value]];
      const summary = () => part.querySelector(".wins").replaceChildren(
        list(`${left} is better`, sorted.slice(0, 5).filter((one) => one.a > one.b)),
        list(`${right} is better`, sorted.slice(-5).reverse().filter((one) => one.b > one.a)));
      summary();
      const drawn = await draw(chart, (spec) => {
        spec.datasets.frame = queries;
        const { x, y } = spec.layer[1].encoding;
        [x.title, y.title] = [`AP of ${left} (%)`, `AP of ${right} (%)`];
      });
      drawn.view.addSignalListener("brush", (_, area) => {
        if (!area.a) return summary();
        const within = (value, ends) => value >= Math.min(...ends) && value <= Math.max(...ends);
        const inside = sorted.filter((one) => within(one.a, area.a) && within(one.b, area.b));
        part.querySelector(".wins").replaceChildren(list(`${inside.length} queries, ${left} and ${right}`, inside.slice(0, 20)));
      });
    }
    [first, second].forEach((select) => select.addEventListener("change", compare));
    new IntersectionObserver((entries, observer) => {
      if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); compare(); }
    }, { rootMargin: "200px" }).observe(part);
  });

  document.querySelectorAll("table.plain, :not(.duel) > .scroll > .chart").forEach((part) => sight.observe(part));
  addEventListener("beforeprint", () => table.page.len(-1).draw(false));
  addEventListener("afterprint", () => table.page.len(50).draw(false));
  if (location.hash && !location.hash.includes("=")) visit();
})();
