/* The three charts of an audience, drawn by Chart.js; each also has a summary and a table. */

import { count, dateInMs, inDays, isoDate, number, percent } from "./format.js";

const DAY_MS = 86_400_000;
const STEPS = [1, 2, 7, 14, 28, 61, 91, 182, 365, 730];
const TICK_PIXELS = 100;
const EXPIRING_DAYS = 7;
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
const POINTS = ["circle", "rect", "triangle", "rectRot"];
const NAME_LETTERS = 28;
const NARROW_PIXELS = 480;

let loading = null;

/** Load the chart library when the first chart is drawn. */
export function chartLibrary() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("vendor/chart.umd.min.js", import.meta.url).href;
    script.addEventListener("load", () => resolve(window.Chart));
    script.addEventListener("error", () => {
      loading = null;
      script.remove();
      reject(new Error("Loading the chart library failed"));
    });
    document.head.append(script);
  });
  return loading;
}

function colours() {
  const all = getComputedStyle(document.documentElement);
  const of = (name) => all.getPropertyValue(`--${name}`).trim();
  return { of, text: of("text"), muted: of("muted"), grid: of("chart-grid"), panel: of("panel"), line: of("line") };
}

/** A fill that is distinguishable without its colour: diagonal lines, or dots. */
function hatched(colour, ground, dots = false) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.fillStyle = dots ? ground : colour;
  pen.fillRect(0, 0, 6, 6);
  if (dots) {
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 3, 3);
    pen.fillRect(3, 3, 3, 3);
  } else {
    pen.strokeStyle = ground;
    pen.lineWidth = 1.2;
    pen.beginPath();
    for (const shift of [-6, 0, 6]) {
      pen.moveTo(shift, 6);
      pen.lineTo(shift + 6, 0);
    }
    pen.stroke();
  }
  return pen.createPattern(tile, "repeat");
}

function common(colour, font) {
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    color: colour.text,
    font,
    plugins: {
      legend: { position: "top", align: "start", labels: { boxWidth: 14, boxHeight: 10, color: colour.text, font } },
      tooltip: {
        backgroundColor: colour.panel,
        borderColor: colour.muted,
        borderWidth: 1,
        titleColor: colour.text,
        bodyColor: colour.text,
        footerColor: colour.muted,
        titleFont: { ...font, weight: 600 },
        bodyFont: font,
        footerFont: { ...font, weight: 400 },
        padding: 8,
      },
    },
  };
}

const fontOf = () => ({ family: getComputedStyle(document.body).fontFamily, size: 12 });

const axis = (colour, font, more = {}) => ({
  grid: { color: colour.grid },
  border: { color: colour.line },
  ...more,
  ticks: { color: colour.muted, font, maxRotation: 0, autoSkipPadding: 16, ...more.ticks },
});

const byLoad = (loads) => [...loads].reverse();

const range = (loads) =>
  loads.length === 1
    ? `1 load, ${loads[0].period}`
    : `${count(loads.length, "load")} from ${loads[0].load_date} to ${loads[loads.length - 1].load_date}`;

/** @typedef {{summary: string, columns: string[], rows: (string|number)[][], config: () => object}} ChartData */

/** Rows sent, duplicates and rejects per load. @returns {ChartData|null} */
export function rowsChart(newestFirst) {
  const loads = byLoad(newestFirst);
  if (!loads.length) return null;
  const sum = (name) => loads.reduce((all, load) => all + load[name], 0);
  const read = sum("rows_read");
  const last = loads[loads.length - 1];
  const ofRead = (rows) => (read ? ` (${percent(rows / read)})` : "");
  return {
    summary:
      `${range(loads)}: ${count(sum("rows_sent"), "row")} sent, ` +
      `${number(sum("duplicates"))} duplicates${ofRead(sum("duplicates"))}, ` +
      `${number(sum("rejected"))} rejected${ofRead(sum("rejected"))}. ` +
      `The last load sent ${count(last.rows_sent, "row")}.`,
    columns: ["Load", "Mode", "Sent", "Duplicates", "Rejected"],
    rows: newestFirst.map((load) => [load.period, load.mode, load.rows_sent, load.duplicates, load.rejected]),
    config() {
      const [colour, font] = [colours(), fontOf()];
      const set = (label, name, backgroundColor, borderColor) => ({
        label,
        data: loads.map((load) => load[name]),
        backgroundColor,
        borderColor,
        borderWidth: 0,
        stack: "rows",
        categoryPercentage: 0.9,
        barPercentage: 0.95,
        maxBarThickness: 36,
      });
      const base = common(colour, font);
      return {
        type: "bar",
        data: {
          labels: loads.map((load) => load.load_date),
          datasets: [
            set("Sent", "rows_sent", colour.of("chart-sent")),
            set("Duplicates", "duplicates", hatched(colour.of("chart-duplicates"), colour.panel, true)),
            set("Rejected", "rejected", hatched(colour.of("chart-rejected"), colour.panel)),
          ],
        },
        options: {
          ...base,
          interaction: { mode: "index", intersect: false },
          scales: {
            x: axis(colour, font, { stacked: true, grid: { display: false } }),
            y: axis(colour, font, { stacked: true, beginAtZero: true, ticks: { callback: number, precision: 0, maxTicksLimit: 6 } }),
          },
          plugins: {
            ...base.plugins,
            tooltip: {
              ...base.plugins.tooltip,
              callbacks: {
                title: ([{ dataIndex }]) => `${loads[dataIndex].period} · ${loads[dataIndex].mode}`,
                label: ({ dataset, raw }) => ` ${dataset.label}: ${number(raw)}`,
                footer: ([{ dataIndex }]) => `Read: ${number(loads[dataIndex].rows_read)}`,
              },
            },
          },
        },
      };
    },
  };
}

/** Match rate per identifier and load. @returns {ChartData|null} */
export function ratesChart(newestFirst) {
  const loads = byLoad(newestFirst);
  const names = [...new Set(newestFirst.flatMap(({ match_rates: rates }) => rates.map((rate) => rate.identifier)))];
  const rateOf = (load, name) => load.match_rates.find((rate) => rate.identifier === name)?.rate ?? null;
  const series = names.map((name) => ({ name, rates: loads.map((load) => rateOf(load, name)) }));
  const known = series.flatMap(({ rates }) => rates).filter((rate) => rate !== null);
  if (!known.length) return null;
  const summaries = series.map(({ name, rates }) => {
    const ownKnown = rates.filter((rate) => rate !== null);
    if (!ownKnown.length) return `${name}: not known`;
    const span = ownKnown.length > 1 ? ` (between ${percent(Math.min(...ownKnown))} and ${percent(Math.max(...ownKnown))})` : "";
    return `${name} ${percent(ownKnown[ownKnown.length - 1])}${span}`;
  });
  const gaps = loads.filter((load) => names.every((name) => rateOf(load, name) === null)).length;
  return {
    summary: `Latest known: ${summaries.join("; ")}. ${gaps ? `${count(gaps, "load")} of ${loads.length} without a rate.` : ""}`.trim(),
    columns: ["Load", ...names],
    rows: newestFirst.map((load) => [
      load.period,
      ...names.map((name) => {
        const rate = rateOf(load, name);
        return rate === null ? "not known" : percent(rate);
      }),
    ]),
    config() {
      const [colour, font] = [colours(), fontOf()];
      const base = common(colour, font);
      // The legend shows each line with its dashes.
      base.plugins.legend.labels = {
        ...base.plugins.legend.labels,
        usePointStyle: true,
        pointStyleWidth: 30,
        generateLabels: (chart) =>
          window.Chart.defaults.plugins.legend.labels
            .generateLabels(chart)
            .map((label, index) => ({ ...label, pointStyle: "line", lineWidth: 2, lineDash: DASHES[index % DASHES.length] })),
      };
      const few = loads.length <= 40;
      return {
        type: "line",
        data: {
          labels: loads.map((load) => load.load_date),
          datasets: series.map(({ name, rates }, index) => {
            const lineColour = colour.of(`chart-${(index % 4) + 1}`);
            const isIsolated = (at) => rates[at - 1] == null && rates[at + 1] == null;
            return {
              label: name,
              data: rates,
              borderColor: lineColour,
              backgroundColor: lineColour,
              borderWidth: 2,
              borderDash: DASHES[index % DASHES.length],
              pointStyle: POINTS[index % POINTS.length],
              // A rate without neighbours has no line, so it needs a point.
              pointRadius: rates.map((rate, at) => (few || isIsolated(at) ? 3 : 0)),
              pointHoverRadius: 4,
              spanGaps: false,
            };
          }),
        },
        options: {
          ...base,
          interaction: { mode: "index", intersect: false },
          scales: {
            x: axis(colour, font, { grid: { display: false } }),
            y: axis(colour, font, {
              suggestedMin: Math.max(0, Math.min(...known) - 0.1),
              suggestedMax: Math.min(1, Math.max(...known) + 0.05),
              ticks: { callback: (rate) => `${Math.round(rate * 1000) / 10}%`, maxTicksLimit: 6 },
            }),
          },
          plugins: {
            ...base.plugins,
            tooltip: {
              ...base.plugins.tooltip,
              callbacks: {
                title: ([item]) => `${loads[item.dataIndex].period} · ${loads[item.dataIndex].mode}`,
                label: ({ dataset, raw }) => ` ${dataset.label}: ${percent(raw)}`,
              },
            },
          },
        },
      };
    },
  };
}

const segmentName = (segment) => segment.name ?? segment.target;

function remainingText({ end, days_left: days }) {
  if (end === null) return "no end date";
  if (days === null) return `ends ${end}`;
  return days < 0 ? `ended ${inDays(days)}` : `ends ${inDays(days)}`;
}

/** Dates on the axis at a regular interval, as many as fit. */
function ticksBetween(from, to, width) {
  const maxTicks = Math.max(1, Math.floor(width / TICK_PIXELS));
  const step = (STEPS.find((days) => (to - from) / (days * DAY_MS) <= maxTicks) ?? STEPS[STEPS.length - 1]) * DAY_MS;
  const ticks = [];
  for (let at = Math.ceil(from / DAY_MS) * DAY_MS; at <= to; at += step) ticks.push({ value: at });
  return ticks;
}

/** Start to end of each segment. @returns {ChartData|null} */
export function segmentsChart(segments, now) {
  if (!segments.length) return null;
  const today = dateInMs(isoDate(Date.parse(now)));
  const dates = segments.flatMap(({ start, end }) => [start, end]).filter(Boolean).map(dateInMs);
  const from = Math.min(today - 7 * DAY_MS, ...dates);
  const until = Math.max(today + 14 * DAY_MS, ...dates);
  const spans = segments.map(({ start, end }) => [start ? dateInMs(start) : from, end ? dateInMs(end) + DAY_MS : until]);
  const active = segments.filter(({ end, days_left: days }) => end !== null && days !== null && days >= 0);
  const first = active.reduce((one, other) => (one && one.days_left <= other.days_left ? one : other), null);
  const ended = segments.filter(({ days_left: days }) => days !== null && days < 0).length;
  return {
    summary: [
      `${count(segments.length, "segment")}.`,
      first && `Next expiry: ${segmentName(first)}, on ${first.end} (${inDays(first.days_left)}).`,
      ended > 0 && `${number(ended)} ended.`,
    ]
      .filter(Boolean)
      .join(" "),
    columns: ["Segment", "Ad platform", "Target", "Id", "Status", "Start", "End", "Days left"],
    rows: segments.map((segment) => [
      segmentName(segment),
      segment.platform ?? "not known",
      segment.target,
      segment.segment_id ?? "not known",
      segment.status ?? "not known",
      segment.start ?? "not known",
      segment.end ?? "none",
      segment.days_left ?? "not known",
    ]),
    height: `${Math.max(7, 3.5 + segments.length * 2.75)}rem`,
    config() {
      const [colour, font] = [colours(), fontOf()];
      const base = common(colour, font);
      const fill = ({ days_left: days }) => {
        if (days !== null && days < 0) return hatched(colour.of("chart-duplicates"), colour.panel);
        return days !== null && days <= EXPIRING_DAYS ? colour.of("chart-rejected") : colour.of("chart-sent");
      };
      const short = (text, letters) => (text.length > letters ? `${text.slice(0, letters - 1)}…` : text);
      return {
        type: "bar",
        data: {
          labels: segments.map(segmentName),
          datasets: [{ label: "Runs", data: spans, backgroundColor: segments.map(fill), maxBarThickness: 16, minBarLength: 3 }],
        },
        options: {
          ...base,
          indexAxis: "y",
          // Padding for "today" and for the text after the bars.
          layout: { padding: { top: 16, right: 12 + maxTextWidth(segments.map(remainingText), font) } },
          interaction: { mode: "nearest", axis: "y", intersect: false },
          scales: {
            x: axis(colour, font, {
              type: "linear",
              min: from,
              max: until,
              afterBuildTicks: (scale) => {
                scale.ticks = ticksBetween(from, until, scale.width);
              },
              ticks: { callback: isoDate, autoSkip: true },
            }),
            y: axis(colour, font, {
              grid: { display: false },
              ticks: {
                color: colour.text,
                autoSkip: false,
                callback(index) {
                  const { platform } = segments[index];
                  const letters = this.chart.width < NARROW_PIXELS ? NAME_LETTERS / 2 : NAME_LETTERS;
                  return [segmentName(segments[index]), platform].filter(Boolean).map((text) => short(text, letters));
                },
              },
            }),
          },
          plugins: {
            ...base.plugins,
            legend: { display: false },
            tooltip: {
              ...base.plugins.tooltip,
              callbacks: {
                title: ([{ dataIndex }]) => segmentName(segments[dataIndex]),
                label: ({ dataIndex }) => {
                  const { start, end } = segments[dataIndex];
                  return `${start ?? "start not known"} to ${end ?? "no end date"}`;
                },
                footer: ([{ dataIndex }]) => segments[dataIndex].status ?? "",
              },
            },
          },
        },
        plugins: [annotations(today, segments, spans, colour, font)],
      };
    },
  };
}

/** Width of the longest text, in pixels. */
function maxTextWidth(texts, font) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `${font.size}px ${font.family}`;
  return Math.max(...texts.map((text) => pen.measureText(text).width));
}

/** A line at today, and after each bar the remaining time. */
function annotations(today, segments, spans, colour, font) {
  return {
    id: "annotations",
    afterDatasetsDraw({ ctx: pen, chartArea: area, scales: { x, y } }) {
      pen.save();
      pen.font = `${font.size}px ${font.family}`;
      const at = Math.round(x.getPixelForValue(today)) + 0.5;
      pen.strokeStyle = colour.text;
      pen.lineWidth = 1;
      pen.setLineDash([4, 3]);
      pen.beginPath();
      pen.moveTo(at, area.top);
      pen.lineTo(at, area.bottom);
      pen.stroke();
      pen.fillStyle = colour.text;
      pen.textAlign = "center";
      pen.textBaseline = "bottom";
      pen.fillText("today", at, area.top - 2);
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      spans.forEach(([, end], index) => {
        const [text, left, middle] = [remainingText(segments[index]), x.getPixelForValue(end) + 6, y.getPixelForValue(index)];
        pen.fillStyle = colour.panel;
        pen.fillRect(left - 2, middle - 8, pen.measureText(text).width + 4, 16);
        pen.fillStyle = colour.muted;
        pen.fillText(text, left, middle);
      });
      pen.restore();
    },
  };
}
