// What a page can do beyond being read: figures and tables are saved, hidden columns are hinted at, paper shows all.
"use strict";

const save = (name, data, type) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

// A figure by itself, in the colours that it has on the page.
const standalone = (drawing) => {
  const copy = drawing.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const style = getComputedStyle(document.documentElement);
  copy.setAttribute("style", `font-family:sans-serif;fill:${style.getPropertyValue("--ink")};background:${style.getPropertyValue("--card")}`);
  return new XMLSerializer().serializeToString(copy).replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
};

const savePicture = (name, drawing) => {
  const [width, height] = ["width", "height"].map((side) => 3 * drawing.getAttribute(side));
  const picture = new Image();
  picture.onload = () => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--card");
    pen.fillRect(0, 0, width, height);
    pen.drawImage(picture, 0, 0, width, height);
    canvas.toBlob((data) => save(name, data, "image/png"));
  };
  picture.src = "data:image/svg+xml," + encodeURIComponent(standalone(drawing));
};

const saveButtons = (after, label, choices) => {
  const row = document.createElement("div");
  row.className = "save";
  for (const [format, act] of choices) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = format;
    button.setAttribute("aria-label", `Save as ${format}: ${label}`);
    button.addEventListener("click", act);
    row.append(button);
  }
  after.after(row);
};

const hint = (box) => box.parentElement.classList.toggle("more", box.scrollWidth - box.scrollLeft - box.clientWidth > 4);
const hintAll = () => document.querySelectorAll(".scroll, .wide").forEach(hint);

const prepare = () => {
  const texts = JSON.parse(document.getElementById("texts").textContent);
  for (const plot of document.querySelectorAll(".plot")) {
    const drawing = plot.querySelector(".w svg");
    saveButtons(plot, plot.getAttribute("aria-label"), [
      ["SVG", () => save(plot.id + ".svg", standalone(drawing), "image/svg+xml")],
      ["PNG", () => savePicture(plot.id + ".png", drawing)],
    ]);
  }
  for (const table of document.querySelectorAll(".table")) {
    const text = texts[table.id];
    saveButtons(table.querySelector(".scroll"), table.querySelector("caption").textContent, [
      ["CSV", () => save(table.id + ".csv", text.csv, "text/csv")],
      ["LaTeX", () => save(table.id + ".tex", text.tex, "application/x-tex")],
    ]);
  }
  document.querySelectorAll(".scroll, .wide").forEach((box) => box.addEventListener("scroll", () => hint(box), { passive: true }));
  document.querySelectorAll("details").forEach((box) => box.addEventListener("toggle", hintAll));
  hintAll();
};

prepare();
addEventListener("resize", hintAll);
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach((box) => (box.open = true));
});
addEventListener("afterprint", () => closed.forEach((box) => (box.open = false)));
