"use strict";

/* A table that sorts, searches, filters and pages (TanStack Table), drawn as plain rows.

   columns: {id, title, value(row), cell(row)?, kind: "number" | "", grow?}
   options: {rows, columns, sort: [{id, desc}], search(row)?, filters: [{id, title}]?, href(row)?, label} */
autoagent.table = ({ rows, columns, sort = [], search, filters = [], href, label, pageSize = 100 }) => {
  const { el, add, format } = autoagent;
  const core = TableCore;
  const memory = autoagent.memory(`table ${label}`, {});
  const words = search ? new Map(rows.map((row) => [row, search(row).toLowerCase()])) : null;
  const table = core.createTable({
    data: rows,
    columns: columns.map((column) => ({
      id: column.id,
      accessorFn: column.value,
      sortUndefined: "last",
      sortingFn: column.kind === "number" ? "basic" : "alphanumeric",
      sortDescFirst: column.kind === "number",
      filterFn: "equalsString",
    })),
    state: {},
    renderFallbackValue: null,
    globalFilterFn: (row, _id, wanted) => wanted.split(/\s+/).every((word) => words.get(row.original).includes(word)),
    getColumnCanGlobalFilter: (column) => column.id === columns[0].id,
    getCoreRowModel: core.getCoreRowModel(),
    getSortedRowModel: core.getSortedRowModel(),
    getFilteredRowModel: core.getFilteredRowModel(),
    getPaginationRowModel: core.getPaginationRowModel(),
    autoResetPageIndex: false,
    onStateChange: () => {},
  });
  let state = memory.state ?? { ...table.initialState, sorting: sort, pagination: { pageIndex: 0, pageSize } };
  table.setOptions((before) => ({
    ...before,
    state,
    onStateChange: (update) => {
      memory.state = state = typeof update === "function" ? update(state) : update;
      table.setOptions((options) => ({ ...options, state }));
      draw();
    },
  }));

  const body = el("tbody");
  const heads = columns.map((column) => head(column));
  const told = el("span", { class: "quiet", role: "status" });
  const pager = el("span", { class: "pager" });
  const bar = el("div", { class: "bar" }, search && searchBox(), filters.map((filter) => select(filter)), told, pager);
  const box = el(
    "div",
    { class: "table" },
    bar,
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      el("table", {}, el("thead", {}, el("tr", {}, heads)), body),
    ),
  );

  function head(column) {
    const toggle = () => table.getColumn(column.id).toggleSorting();
    return el("th", { scope: "col", class: column.kind }, el("button", { type: "button", onclick: toggle }, column.title));
  }

  function searchBox() {
    const typed = (event) => first(() => table.setGlobalFilter(event.target.value.trim().toLowerCase()));
    return el("input", { type: "search", class: "search", placeholder: "Search  ( / )", "aria-label": "Search", value: state.globalFilter, oninput: typed });
  }

  function select({ id, title }) {
    const column = columns.find((one) => one.id === id);
    const values = [...new Set(rows.map(column.value))].filter((value) => value !== "").sort();
    const chosen = (event) => first(() => table.getColumn(id).setFilterValue(event.target.value || undefined));
    return el(
      "select",
      { "aria-label": title, onchange: chosen },
      el("option", { value: "" }, title),
      values.map((value) => el("option", { value, selected: value === table.getColumn(id).getFilterValue() }, value)),
    );
  }

  /* What is searched begins at its first page. */
  function first(change) {
    table.setPageIndex(0);
    change();
  }

  function draw() {
    const found = table.getFilteredRowModel().rows.length;
    const part = table.getRowModel().rows;
    heads.forEach((one, place) => {
      const way = table.getColumn(columns[place].id).getIsSorted();
      one.setAttribute("aria-sort", way ? (way === "desc" ? "descending" : "ascending") : "none");
    });
    body.replaceChildren(...part.map(({ original }) => line(original)));
    told.textContent = found === rows.length ? format.plural(found, "row") : `${format.count(found)} of ${format.plural(rows.length, "row")}`;
    drawPager();
  }

  function line(row) {
    const open = href && ((event) => event.target.closest("a") ?? (location.hash = href(row)));
    return el(
      "tr",
      { onclick: open || undefined, class: href ? "opens" : undefined },
      columns.map((column) => el("td", { class: column.kind, "data-title": column.title }, column.cell ? column.cell(row) : column.value(row))),
    );
  }

  function drawPager() {
    pager.replaceChildren();
    if (table.getPageCount() < 2) return;
    add(
      pager,
      el("button", { type: "button", disabled: !table.getCanPreviousPage(), onclick: () => table.previousPage() }, "‹ Previous"),
      `Page ${state.pagination.pageIndex + 1} of ${table.getPageCount()}`,
      el("button", { type: "button", disabled: !table.getCanNextPage(), onclick: () => table.nextPage() }, "Next ›"),
    );
  }

  draw();
  return box;
};
