"use strict";
/* Filters, columns, exports and unfolding of the table; charts drawn as they come into sight; two methods compared. */
(() => {
  const find = (id) => document.getElementById(id);
  const all = (selector, node = document) => [...node.querySelectorAll(selector)];
  const data = JSON.parse(find("data").textContent);
  const night = matchMedia("(prefers-color-scheme: dark)");
  const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const say = (text) => { find("status").textContent = text; };
  const make = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const inSight = (node, then) => new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    then(node);
  }, { rootMargin: "200px" }).observe(node);

  /* Charts */
  const views = new Map();
  function draw(box, fill = box.fill) {
    box.fill = fill;
    // One after the other: the last request decides what is seen.
    box.turn = (box.turn || Promise.resolve()).then(async () => {
      const [form, columns] = data.charts[box.dataset.chart] || [box.dataset.chart, {}];
      const names = Object.keys(columns);
      const listed = names.map((name) => columns[name].texts ? columns[name].rows.map((at) => columns[name].texts[at]) : columns[name]);
      const frame = (listed[0] || []).map((_, row) => Object.fromEntries(names.map((name, at) => [name, listed[at][row]])));
      const spec = { ...structuredClone(data.forms[form]), description: box.dataset.title };
      spec.datasets = { ...spec.datasets, frame };
      // Vega-Lite warns of a width to fit beside a height that grows by steps.
      if (spec.height.step) spec.height = spec.height.step * new Set(frame.map((row) => row[spec.layer[0].encoding.y.field])).size;
      if (box.fill) box.fill(spec);
      if (views.has(box)) views.get(box).finalize();
      views.set(box, await vegaEmbed(box, spec, {
        mode: "vega-lite", renderer: "svg", ast: true, defaultStyle: false, config: data.themes[night.matches ? 1 : 0],
        tooltip: { disableDefaultStyle: true }, downloadFileName: box.dataset.chart,
        actions: { export: true, source: false, compiled: false, editor: false },
      }));
      // The frame of a brush has a role and no name.
      all("[role=graphics-symbol]:not([aria-label])", box).forEach((mark) => mark.setAttribute("aria-hidden", "true"));
      box.classList.add("drawn");
      return views.get(box);
    });
    return box.turn;
  }
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
  const several = (key, found) => new Set(found.map((row) => textOf(row[place[key]]))).size > 1;
  const linked = (name, url) => url ? `<a href="${escaped(url)}">${escaped(name)}</a>` : escaped(name);
  function htmlOf(cell, key, row) {
    if (cell == null) return "–";
    if (cell.records) return cell.records.map((id) => linked(id, links[id])).join(", ");
    if (cell.sources) return cell.sources.map((name) => linked(name, links[name.split(" ")[0]])).join("; ");
    const text = escaped(textOf(cell));
    if (cell.remarks && text.length > 80) {
      const items = cell.remarks.map((remark) => `<li>${escaped(remark)}</li>`).join("");
      return `<details><summary>${cell.remarks.length} remark${cell.remarks.length > 1 ? "s" : ""}</summary><ul>${items}</ul></details>`;
    }
    if (key === "method" && row[runs].length) {
      return `${text}<button type="button" class="fold" aria-expanded="false">${row[runs].length} runs</button>`;
    }
    return Array.isArray(cell) && cell[2] ? `<strong>${text}</strong>` : text;
  }
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const compared = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
  // What is unknown comes last; downwards it does so by itself, as an empty text.
  DataTable.ext.type.order["known-asc"] = (a, b) => (a === "") - (b === "") || compared(a, b);
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
        : type !== "filter" && Array.isArray(cell) ? cell[0] : textOf(cell),
    })),
    language: { search: "search", lengthMenu: "rows _MENU_", zeroRecords: "No row has all of this; take a filter away." },
  });
  const shown = () => columns.map((_, at) => at).filter((at) => table.column(at).visible());
  columns.forEach((column, at) => { table.column(at).header().title = column.meaning; });
  const box = table.table().container().querySelector(".dt-layout-table > div");
  for (const [name, value] of Object.entries({ tabindex: 0, role: "region", "aria-label": "Table of scores" })) box.setAttribute(name, value);
  function fold(row, open) {
    row.node().querySelector("button.fold").setAttribute("aria-expanded", String(open));
    if (!open) return row.child.remove();
    row.child(row.data()[runs].map((run) => make("tr", { className: "seed" }, ...shown().map((at) =>
      make("td", { className: table.column(at).header().className, innerHTML: htmlOf(run[at], "", run) }))))).show();
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
  const sets = all("[data-set]");
  const only = find("ranked");
  const accepted = (row, except) => (!only.checked || row[place.rank] != null)
    && selects.every((select) => select === except || !select.value || textOf(row[place[select.name]]) === select.value);
  table.search.fixed("filters", (_, row) => accepted(row));
  function offer(select) {
    const values = new Set(rows.filter((row) => accepted(row, select)).map((row) => textOf(row[place[select.name]])));
    const known = [...values.add(select.value)].filter(Boolean).sort(collator.compare);
    const options = known.map((value) => make("option", { value, textContent: value, selected: value === select.value }));
    select.replaceChildren(make("option", { value: "", textContent: "all" }), ...options);
  }
  const preset = { dataset: data.dataset };
  let restoring = false;
  function changed() {
    if (restoring) return;
    const state = new URLSearchParams();
    if (table.search()) state.set("q", table.search());
    for (const select of selects) if (select.value || preset[select.name]) state.set(select.name, select.value);
    if (only.checked) state.set("ranked", "yes");
    state.set("sets", sets.filter((set) => set.checked).map((set) => set.dataset.set).join(","));
    const order = table.order().filter(([, direction]) => direction);
    if (order.length) state.set("order", order.map(([at, direction]) => `${columns[at].key}:${direction}`).join(","));
    history.replaceState(null, "", `#${state}`);
    say(`${table.page.info().recordsDisplay} rows`);
  }
  function update() {
    selects.forEach(offer);
    const found = rows.filter((row) => accepted(row));
    const checked = Object.fromEntries(sets.map((set) => [set.dataset.set, set.checked]));
    columns.forEach(({ key, group }, at) => {
      if (group) table.column(at).visible(checked[group], false);
      if (["dataset", "protocol", "information"].includes(key)) table.column(at).visible(several(key, found), false);
    });
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
    if (hash.includes("=")) restore(location.hash.slice(1));
    for (let node = find(hash); node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    find(hash.includes("=") ? "scores" : hash)?.scrollIntoView();
  }
  restore(location.hash.includes("=") ? location.hash.slice(1) : "");
  addEventListener("hashchange", visit);

  /* What is shown, to take away */
  const shownRows = () => table.rows({ search: "applied", order: "applied" }).data().toArray();
  const tex = (text) => text.replace(/[\\{}$&#^_%~]/g, (sign) => ({ "\\": "\\textbackslash{}", "^": "\\^{}", "~": "\\~{}" })[sign] || `\\${sign}`)
    .replace(/±/g, "$\\pm$").replace(/–/g, "--");
  const exports = {
    CSV() {
      const quoted = (text) => /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
      const lines = [shown().map((at) => columns[at].title), ...shownRows().map((row) => shown().map((at) => textOf(row[at])))];
      return ["scores.csv", lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n"];
    },
    LaTeX() {
      const [notes, found] = [[], shownRows()];
      const heads = ["dataset", "protocol", "information"].filter((key) => several(key, found));
      const scores = shown().filter((at) => columns[at].group === "accuracy");
      const kept = [...[...heads, "rank", "method"].map((key) => place[key]), ...scores];
      const marked = (row) => (row[place.remarks]?.audits ?? []).map((audit) =>
        (notes.includes(audit) ? notes : (notes.push(audit), notes)).indexOf(audit) + 1);
      const body = found.map((row) => kept.map((at) => {
        const marks = at === place.method ? marked(row) : [];
        return tex(textOf(row[at]) || "–") + (marks.length ? `\\tnote{${marks.join(",")}}` : "");
      }).join(" & "));
      return ["scores.tex", [
        "% needs the packages booktabs and threeparttable", "\\begin{threeparttable}",
        `\\begin{tabular}{${kept.map((at) => numeric[at] ? "r" : "l").join("")}}`, "\\toprule",
        `${kept.map((at) => tex(columns[at].title)).join(" & ")} \\\\`, "\\midrule", ...body.map((line) => `${line} \\\\`),
        "\\bottomrule", "\\end{tabular}",
        ...(notes.length ? ["\\begin{tablenotes}", ...notes.map((note, at) => `\\item[${at + 1}] ${tex(note)}`), "\\end{tablenotes}"] : []),
        "\\end{threeparttable}", "",
      ].join("\n")];
    },
    BibTeX() {
      const names = shownRows().flatMap((row) => [textOf(row[place.method]), textOf(row[place.method]).split(/[ ,]/)[0]]);
      const entries = new Set(names.filter((name) => Object.hasOwn(data.bibtex, name)).map((name) => data.bibtex[name]).filter(Boolean));
      return ["papers.bib", [...entries].join("\n\n") || "% No entry is known of the papers of these rows.\n"];
    },
  };
  all("[data-export]").forEach((button) => button.addEventListener("click", () => {
    const [name, text] = exports[button.dataset.export]();
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    say(`${name} written`);
  }));

  /* Two methods, query by query */
  function duel(part) {
    const { names, pid, camera, ap, thumbnails } = data.duels[part.dataset.board];
    const [first, second] = all("select", part);
    [first, second].forEach((select, which) => select.append(...names.map((name, at) => new Option(name, at, at === which, at === which))));
    const item = (one) => make("li", {}, ...(thumbnails[one.at] ? [make("img", { src: thumbnails[one.at], alt: `query of identity ${one.pid}` })] : []),
      `identity ${one.pid}, camera ${one.camera}: AP ${one.a.toFixed(1)} and ${one.b.toFixed(1)}`);
    const list = (title, queries) => make("div", {}, make("h5", { textContent: title }), make("ol", {}, ...queries.map(item)));
    async function compare() {
      const [left, right] = [first, second].map((select) => ({ name: names[select.value], ap: ap[select.value] }));
      const queries = pid.map((_, at) => ({ at, pid: pid[at], camera: camera[at], a: left.ap[at], b: right.ap[at] }))
        .filter((one) => one.a != null && one.b != null).map((one) => ({ ...one, a: one.a / 10, b: one.b / 10 }));
      const sorted = [...queries].sort((one, other) => other.a - other.b - one.a + one.b);
      const wins = part.querySelector(".wins");
      const summary = () => wins.replaceChildren(
        list(`${left.name} is better`, sorted.slice(0, 5).filter((one) => one.a > one.b)),
        list(`${right.name} is better`, sorted.slice(-5).reverse().filter((one) => one.b > one.a)));
      summary();
      const drawn = await draw(part.querySelector(".chart"), (spec) => {
        const { x, y } = spec.layer[1].encoding;
        [spec.datasets.frame, x.title, y.title] = [queries, `AP of ${left.name} (%)`, `AP of ${right.name} (%)`];
      });
      drawn.view.addSignalListener("brush", (_, area) => {
        if (!area.a) return summary();
        const within = (value, ends) => value >= Math.min(...ends) && value <= Math.max(...ends);
        const inside = sorted.filter((one) => within(one.a, area.a) && within(one.b, area.b));
        wins.replaceChildren(list(`${inside.length} queries, ${left.name} and ${right.name}`, inside.slice(0, 20)));
      });
    }
    [first, second].forEach((select) => select.addEventListener("change", compare));
    compare();
  }

  all(".duel").forEach((part) => inSight(part, duel));
  all(":not(.duel) > .scroll > .chart").forEach((part) => inSight(part, (one) => draw(one)));
  all("table.plain").forEach((part) => inSight(part, (one) =>
    new DataTable(one, { paging: false, searching: false, info: false, order: [], autoWidth: false })));
  addEventListener("beforeprint", () => table.page.len(-1).draw(false));
  addEventListener("afterprint", () => table.page.len(50).draw(false));
  if (location.hash && !location.hash.includes("=")) visit();
})();
