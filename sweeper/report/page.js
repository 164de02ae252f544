// Draws the figures in the reader's theme, and again when the theme changes or the page is printed.
"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const settings = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };

const resolve = (value, style) => {
  if (typeof value === "string") return value[0] === "$" ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
  if (Array.isArray(value)) return value.map((item) => resolve(item, style));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item, style)]));
  return value;
};

const draw = (plot) => {
  const style = getComputedStyle(document.documentElement);
  const figure = resolve(figures[plot.dataset.figure], style);
  const ink = style.getPropertyValue("--ink").trim();
  const grid = style.getPropertyValue("--grid").trim();
  figure.layout.font.family = getComputedStyle(document.body).fontFamily;
  for (const axis of ["xaxis", "yaxis"])
    figure.layout[axis] = { color: ink, gridcolor: grid, zerolinecolor: ink, fixedrange: true, ...figure.layout[axis] };
  figure.layout.width = plot.clientWidth;
  Plotly.react(plot, figure.data, figure.layout, settings);
};

// A figure inside something closed has no size yet; it is drawn when that opens.
const visible = (plot) => plot.clientWidth > 0;
const drawAll = () => document.querySelectorAll(".plot").forEach((plot) => visible(plot) && draw(plot));

const print = (on) => {
  document.documentElement.classList.toggle("printing", on);
  drawAll();
};

drawAll();
document.querySelectorAll("details").forEach((box) => box.addEventListener("toggle", drawAll));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));
let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 100);
});
