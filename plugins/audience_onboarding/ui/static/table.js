/* The table of all audiences. What is searched, filtered, sorted and turned to lies in the address, nowhere else. */

import { listAudiences } from "./api.js";
import { asker } from "./asking.js";
import { h, hiddenText, keepingFocus, refill, table, unknown } from "./dom.js";
import { best, count, exact, fromNow, inDays, named, number, percent, timeZone } from "./format.js";
import { HEALTHS, badge, isTrouble, told } from "./health.js";
import { icon } from "./icons.js";
import { blankFor, staleFor } from "./notices.js";
import { pager } from "./pager.js";
import { spark, trendText } from "./spark.js";

const SIZES = [25, 50, 100, 200];
const USUAL_SIZE = 50;
const USUAL_SORT = "health";
const TYPING_MS = 250;
const SOON_DAYS = 7;

const COLUMNS = [
  { sort: "health", label: "Health" },
  { sort: "title", label: "Audience" },
  { sort: "platform", label: "Platform" },
  { sort: "state", label: "Vendor state" },
  { sort: "last_load_date", label: "Last load" },
  { sort: "rows_sent", label: "Rows", numeric: true },
  { sort: "match_rate", label: "Match rate", numeric: true },
  { sort: "segments", label: "Segments", numeric: true },
  { sort: "days_to_end", label: "First end" },
  { sort: "next_run", label: "Next run" },
];

export const isFiltered = ({ search, platform, owner, health }) => Boolean(search || platform || owner || health.length);

/** What the address says; what it says wrongly is as if it were not there. */
export function readParameters(parameters) {
  const size = Number(parameters.get("limit"));
  const offset = Number(parameters.get("offset"));
  const sort = parameters.get("sort") ?? USUAL_SORT;
  return {
    search: parameters.get("search") ?? "",
    platform: parameters.get("platform") ?? "",
    owner: parameters.get("owner") ?? "",
    health: [...new Set(parameters.getAll("health"))].filter((name) => HEALTHS.includes(name)),
    sort: COLUMNS.some((column) => column.sort === sort.replace(/^-/, "")) ? sort : USUAL_SORT,
    limit: SIZES.includes(size) ? size : USUAL_SIZE,
    offset: Number.isInteger(offset) && offset > 0 ? offset : 0,
  };
}

function hashFor(wanted) {
  const query = new URLSearchParams();
  for (const name of ["search", "platform", "owner"]) if (wanted[name]) query.set(name, wanted[name]);
  for (const name of wanted.health) query.append("health", name);
  if (wanted.sort !== USUAL_SORT) query.set("sort", wanted.sort);
  if (wanted.limit !== USUAL_SIZE) query.set("limit", wanted.limit);
  if (wanted.offset) query.set("offset", wanted.offset);
  return query.size ? `#/?${query}` : "#/";
}

export const audienceHash = (key) => `#/audiences/${encodeURIComponent(key)}`;

function loadCell(row) {
  if (row.last_load_date === null) return unknown();
  return [
    h("span", { class: "nowrap" }, row.last_load_date),
    h(
      "span",
      { class: "second", title: row.last_confirmed_at && `Confirmed ${exact(row.last_confirmed_at)}` },
      row.last_load_mode,
    ),
  ];
}

function rateCell(row) {
  const known = best(row.match_rates);
  const trend = trendText(row.trend);
  return h(
    "span",
    { class: "rate", title: trend && `Match rate ${trend}` },
    spark(row.trend),
    known === null
      ? h("span", {}, unknown())
      : h("span", {}, percent(known.share), h("span", { class: "second nowrap" }, known.identifier)),
    trend && hiddenText(`, ${trend}`),
  );
}

function endCell({ days_to_end: days }) {
  if (days === null) return unknown();
  if (days > SOON_DAYS) return h("span", { class: "nowrap" }, inDays(days));
  return h("span", { class: "nowrap soon", title: "Ends within a week" }, icon("calendar"), inDays(days));
}

function nextCell(row, now) {
  if (row.is_paused) return h("span", { class: "tag" }, "paused");
  if (row.next_run === null) return unknown();
  return [
    h("span", { class: "nowrap" }, fromNow(row.next_run, now)),
    h("span", { class: "second nowrap", title: exact(row.next_run) }, exact(row.next_run, { zone: false })),
  ];
}

function rowOf(row, now) {
  const cell = (label, content, { numeric = false, empty = false } = {}) =>
    table.cell({ "data-label": label, class: `${numeric ? "number" : ""} ${empty ? "empty" : ""}`.trim() || null }, content);
  return table.row(
    table.cell(
      { class: "verdict-cell" },
      badge(row.health, row.reason),
      isTrouble(row.health) && h("span", { class: "reason", "aria-hidden": "true", title: row.reason }, row.reason),
    ),
    table.name(
      { class: "name" },
      h("a", { href: audienceHash(row.key), "data-focus": `open:${row.key}` }, row.title),
      h("span", { class: "second code" }, row.key),
    ),
    cell("Platform", h("span", {}, h("span", { class: "nowrap" }, named(row.platform)), row.owner && h("span", { class: "second" }, row.owner))),
    cell("Vendor state", row.state ?? unknown(), { empty: row.state === null }),
    cell("Last load", h("span", {}, loadCell(row)), { empty: row.last_load_date === null }),
    cell("Rows", row.rows_sent === null ? unknown() : number(row.rows_sent), { numeric: true, empty: row.rows_sent === null }),
    cell("Match rate", rateCell(row), { numeric: true, empty: best(row.match_rates) === null && trendText(row.trend) === null }),
    cell("Segments", number(row.segments), { numeric: true, empty: row.segments === 0 }),
    cell("First end", endCell(row), { empty: row.days_to_end === null }),
    cell("Next run", h("span", {}, nextCell(row, now)), { empty: row.next_run === null && !row.is_paused }),
  );
}

const noneYet = () =>
  h(
    "section",
    { class: "blank" },
    h("h2", {}, "No audiences yet"),
    h("p", {}, "An audience is one YAML file; its DAG, and its line on this page, come with it."),
    h(
      "ol",
      {},
      h("li", {}, "Put a file into ", h("code", {}, "include/audiences/"), ", named after the audience:"),
    ),
    h(
      "pre",
      { tabindex: "0", "aria-label": "An example of a definition" },
      [
        "# include/audiences/newsletter_nl.yaml",
        "platform: digital_audience",
        "name: Newsletter subscribers NL",
        "campaign: {name: Always-on CRM}",
        "source:",
        "  path: s3://crm-exports/newsletter/{load_date}.csv",
        "  columns: {email: E-mail}",
      ].join("\n"),
    ),
    h(
      "ol",
      { start: 2 },
      h("li", {}, "Within a minute Airflow finds the DAG ", h("code", {}, "onboard_newsletter_nl"), "."),
      h("li", {}, "Unpause it, and trigger it: with ", h("i", {}, "Dry run"), " first, then for real."),
    ),
    h("p", { class: "muted" }, "Audiences whose DAG you may not read are not shown."),
  );

const noMatch = (clear) =>
  h(
    "section",
    { class: "blank" },
    h("h2", {}, "No audience matches"),
    h("p", {}, "Nothing fits the search and all filters."),
    h("button", { type: "button", class: "button", click: clear }, "Clear search and filters"),
  );

/**
 * @param main where the page goes
 * @param go called with another hash, and whether it replaces the present one
 * @param back key of the audience that the reader comes back from, null if from elsewhere
 */
export function tableView(main, go, back) {
  let wanted = null;
  let shown = null;
  let typing = null;
  const asking = asker();

  const change = (changes, { replace = false } = {}) => go(hashFor({ ...wanted, offset: 0, ...changes }), replace);
  const clear = () => {
    clearTimeout(typing);
    typing = null;
    change({ search: "", platform: "", owner: "", health: [] });
    search.focus();
  };

  const heading = h("h1", { tabindex: "-1" }, "Audiences");
  const status = h("p", { class: "muted", role: "status", id: "results" }, "Loading …");
  const updated = h("p", { class: "muted small aside" });
  const trouble = h("div");
  const search = h("input", {
    type: "search",
    id: "search",
    placeholder: "Title, key or id",
    autocomplete: "off",
    spellcheck: "false",
    "aria-controls": "audiences",
    input: () => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        typing = null;
        change({ search: search.value.trim() }, { replace: true });
      }, TYPING_MS);
    },
  });
  const choice = (name) => h("select", { id: name, change: (event) => change({ [name]: event.target.value }) });
  const platform = choice("platform");
  const owner = choice("owner");
  const order = h("select", { id: "order", change: (event) => change({ sort: event.target.value }) });
  order.append(
    ...COLUMNS.flatMap(({ sort, label }) => [
      h("option", { value: sort }, `${label}, ascending`),
      h("option", { value: `-${sort}` }, `${label}, descending`),
    ]),
  );
  const field = (label, control, extra = "") =>
    h("div", { class: `field ${extra}`.trim() }, h("label", { for: control.id }, label), control);
  const tools = h(
    "div",
    { class: "tools", role: "search", "aria-label": "Audiences" },
    field("Search", search, "search"),
    field("Platform", platform),
    field("Owner", owner),
    field("Sort by", order, "only-cards"),
  );
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Health" });
  const body = h("div", { id: "audiences" });
  main.replaceChildren(h("div", { class: "head" }, heading, status, updated), trouble, tools, chips, body);
  document.title = "Audiences";

  function choices(select, all, values, chosen) {
    const names = chosen && !values.includes(chosen) ? [...values, chosen] : values;
    refill(select, [names], () => [
      h("option", { value: "" }, all),
      ...names.map((name) => h("option", { value: name }, select === platform ? named(name) : name)),
    ]);
    select.value = chosen;
    // One owner, or none, is no choice.
    select.closest(".field").hidden = names.length < 2 && !chosen;
  }

  function chip(label, amount, pressed, press, health = null) {
    return h(
      "button",
      {
        type: "button",
        class: `chip ${health ? `tone-${told(health).tone}` : ""}`.trim(),
        "aria-pressed": String(pressed),
        "data-focus": `chip:${health}`,
        click: press,
      },
      health && icon(told(health).sign),
      label,
      h("span", { class: "count" }, number(amount)),
    );
  }

  function showChips(counts) {
    const all = Object.values(counts).reduce((sum, amount) => sum + amount, 0);
    refill(chips, [counts, wanted.health], () => [
      chip("All", all, wanted.health.length === 0, () => change({ health: [] })),
      ...HEALTHS.filter((name) => counts[name] || wanted.health.includes(name)).map((name) => {
        const pressed = wanted.health.includes(name);
        const others = wanted.health.filter((other) => other !== name);
        return chip(
          told(name).word,
          counts[name] ?? 0,
          pressed,
          () => change({ health: pressed ? others : [...others, name] }),
          name,
        );
      }),
    ]);
  }

  function header({ sort, label, numeric }) {
    const [by, descending] = [wanted.sort.replace(/^-/, ""), wanted.sort.startsWith("-")];
    const sorted = by === sort;
    return table.column(
      {
        class: `sortable ${numeric ? "number narrow" : ""}`.trim(),
        "aria-sort": sorted ? (descending ? "descending" : "ascending") : null,
      },
      h(
        "button",
        {
          type: "button",
          class: "sort",
          "data-focus": `sort:${sort}`,
          click: () => change({ sort: sorted && !descending ? `-${sort}` : sort }),
        },
        label,
        icon("up", "arrow"),
      ),
    );
  }

  function show(data) {
    const { audiences, total, offset, limit, now } = data;
    if (total > 0 && offset >= total) {
      change({ offset: Math.floor((total - 1) / limit) * limit }, { replace: true });
      return;
    }
    shown = data;
    trouble.replaceChildren();
    updated.textContent = `Updated ${exact(now)}`;
    choices(platform, "All platforms", data.platforms, wanted.platform);
    choices(owner, "All owners", data.owners, wanted.owner);
    showChips(data.by_health);
    const empty = total === 0 && !isFiltered(wanted);
    tools.hidden = empty;
    chips.hidden = empty;
    const range = total > audiences.length ? `${number(offset + 1)}–${number(offset + audiences.length)} of ` : "";
    const text = total === 0 ? (empty ? "" : "No audience matches") : `${range}${count(total, "audience")}`;
    // A reader of the screen is told again only what is new.
    if (status.textContent !== text) status.textContent = text;
    body.removeAttribute("aria-busy");
    refill(body, [audiences, total, offset, limit, wanted, fresh(now)], () => {
      if (total === 0) return empty ? noneYet() : noMatch(clear);
      return [
        h(
          "div",
          { class: "box cards" },
          table.table(
            { "aria-label": "Audiences" },
            table.head(COLUMNS.map(header)),
            table.body({}, audiences.map((row) => rowOf(row, now))),
          ),
        ),
        pager({
          name: "audiences",
          total,
          offset,
          limit,
          go: (target) => {
            change({ offset: target });
            window.scrollTo(0, 0);
          },
          sizes: SIZES,
          resize: (size) => change({ limit: size }),
        }),
        h("p", { class: "muted small note" }, `Times are in ${timeZone}, the time zone of this browser.`),
      ];
    });
    if (back !== null) {
      const link = [...body.querySelectorAll("[data-focus]")].find(({ dataset }) => dataset.focus === `open:${back}`);
      link?.focus();
      link?.scrollIntoView({ block: "nearest" });
      back = null;
    }
  }

  function fail(error, quiet) {
    body.removeAttribute("aria-busy");
    if (quiet && shown) {
      keepingFocus(trouble, () => trouble.replaceChildren(staleFor(error, ask, exact(shown.now))));
      return;
    }
    status.textContent = "";
    updated.textContent = "";
    trouble.replaceChildren();
    // What one may type and choose stays, if it was there: who searches on keeps the focus.
    tools.hidden = chips.hidden = shown === null;
    body.madeOf = null;
    keepingFocus(body, () => body.replaceChildren(blankFor(error, ask)));
  }

  function ask({ quiet = false } = {}) {
    if (!quiet) body.setAttribute("aria-busy", "true");
    return asking.ask(
      (signal) => listAudiences(wanted, signal),
      show,
      (error) => fail(error, quiet === true),
    );
  }

  return {
    heading,
    turn(parameters) {
      wanted = readParameters(parameters);
      // Not while somebody types on: what was searched for a moment ago must not take letters away.
      if (typing === null && search.value.trim() !== wanted.search) search.value = wanted.search;
      order.value = wanted.sort;
      return ask();
    },
    refresh: () => ask({ quiet: true }),
    /** Airflow's colours need nothing here: the style sheet does it all. */
    recolour() {},
    close() {
      clearTimeout(typing);
      asking.close();
    },
  };
}

/** Relative times are as old as the answer; once a minute they are written anew. */
const fresh = (now) => Math.floor(new Date(now) / 60000);
