"use strict";
// Zooms and moves what lies in the axes of the picture, and shows what is said of the point or cell
// under the pointer. Coordinates: data -> SVG (points) -> screen (pixels).
(() => {
const SPACE = "http://www.w3.org/2000/svg";
const NEAR = 14; // pixels between the pointer and what it points at, at most
const DEEPEST = 1e4; // how many times larger than the whole picture
const svg = document.querySelector("figure svg");
const words = document.getElementById("words");
const made = (name, attributes, parent) => {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
};
const number = (element, name) => parseFloat(element.getAttribute(name)) || 0;
const defs = made("defs", {}, svg);
const mark = made("circle", {r: 3, fill: "none", stroke: "#000", "stroke-width": 1, visibility: "hidden"}, svg);

class Axis {
  // One direction of some axes: from data to the SVG; `now` are the limits that are shown.
  constructor(scene, id, start, size) {
    Object.assign(this, {id, start, size, numbers: scene.numbers, mirrored: scene.mirrored});
    this.whole = scene.limits.slice();
    this.now = scene.limits.slice();
    this.ticks = scene.ticks.map((at, i) => ({at, group: document.getElementById(`${id}-tick${i}`)}))
      .filter((tick) => tick.group && tick.at !== null);
    this.own = [];
  }
  get isWhole() { return this.now[0] === this.whole[0] && this.now[1] === this.whole[1]; }
  place(value, limits = this.now) {
    return this.start + this.size * (value - limits[0]) / (limits[1] - limits[0]);
  }
  value(place) { return this.now[0] + (place - this.start) / this.size * (this.now[1] - this.now[0]); }
  // A place of the whole picture is now at scale * place + shift.
  get scale() { return (this.whole[1] - this.whole[0]) / (this.now[1] - this.now[0]); }
  get shift() { return this.place(this.whole[0]) - this.scale * this.start; }
  moved(place) { return this.scale * place + this.shift; }
  inside(place) {
    const low = Math.min(this.start, this.start + this.size), size = Math.abs(this.size);
    return place >= low - 1e-3 && place <= low + size + 1e-3;
  }
  set(low, high) {
    const [a, b] = this.whole, span = b - a;
    let share = Math.min(Math.max((high - low) / span, 1 / DEEPEST), 1);
    let from = (low + high) / 2 - share * span / 2;
    const first = Math.min(Math.max((from - a) / span, 0), 1 - share);
    this.now = share >= 1 - 1e-9 ? [a, b] : [a + first * span, a + (first + share) * span];
  }
  zoom(factor, value) {
    const [low, high] = this.now;
    this.set(value + (low - value) / factor, value + (high - value) / factor);
  }
  drag(distance) {
    const step = -distance / this.size * (this.now[1] - this.now[0]);
    this.set(this.now[0] + step, this.now[1] + step);
  }
  drawTicks(across) {
    for (const tick of this.own) tick.remove();
    this.own = [];
    const drawOwn = this.numbers && !this.isWhole && this.ticks.length > 0;
    for (const {at, group} of this.ticks) {
      const place = this.place(at);
      const shift = place - this.place(at, this.whole);
      group.setAttribute("visibility", !drawOwn && this.inside(place) ? "visible" : "hidden");
      group.setAttribute("transform", across ? `translate(${shift} 0)` : `translate(0 ${shift})`);
    }
    if (drawOwn) for (const value of this.numbersToShow()) this.addTick(value, across);
  }
  numbersToShow() {
    const [low, high] = [Math.min(...this.now), Math.max(...this.now)];
    const rough = (high - low) / Math.max(2, Math.abs(this.size) / 55);
    const power = 10 ** Math.floor(Math.log10(rough));
    this.step = power * ([1, 2, 5, 10].find((times) => times * power >= rough) || 10);
    const found = [];
    for (let k = Math.ceil(low / this.step); k * this.step <= high; k += 1) found.push(k * this.step || 0);
    return found;
  }
  addTick(value, across) {
    const model = this.ticks.find((tick) => tick.group.querySelector("text")) || this.ticks[0];
    const copy = model.group.cloneNode(true);
    for (const inner of [copy, ...copy.querySelectorAll("[id]")]) inner.removeAttribute("id");
    const shift = this.place(value) - this.place(model.at, this.whole);
    copy.setAttribute("transform", across ? `translate(${shift} 0)` : `translate(0 ${shift})`);
    copy.setAttribute("visibility", "visible");
    const text = copy.querySelector("text");
    const digits = Math.max(0, Math.min(12, -Math.floor(Math.log10(this.step) + 1e-9)));
    const shown = this.mirrored ? Math.abs(value) : value;
    if (text) text.textContent = shown.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits}).replace("-", "\u2212");
    model.group.parentNode.append(copy);
    this.own.push(copy);
  }
}

class Panel {
  // Axes of the picture.
  constructor(scene) {
    const [left, top, width, height] = scene.box;
    Object.assign(this, {left, top, width, height, told: scene.told});
    this.x = new Axis(scene.x, `${scene.id}-x`, left, width);
    this.y = new Axis(scene.y, `${scene.id}-y`, top + height, -height);
    const clip = made("clipPath", {id: `${scene.id}-clip`}, defs);
    made("rect", {x: left, y: top, width, height}, clip);
    this.leaves = [];
    this.beside = [];
    for (const group of svg.querySelectorAll(`[id^="${scene.id}-"]`)) {
      const [, motion] = group.id.split("-");
      if (motion === "beside") this.beside.push(this.asBeside(group));
      else if (["x", "y", "xy", "points"].includes(motion) && group.id.split("-").length === 3 && !group.id.includes("tick")) this.hold(group, motion, clip.id);
    }
    for (const part of this.told) this.prepare(part);
  }
  asBeside(group) {
    const box = group.getBBox();
    return {group, place: box.y + box.height / 2};
  }
  hold(group, motion, clip) {
    // The clip stays where the axes are while what is inside moves.
    for (const clipped of [group, ...group.querySelectorAll("[clip-path]")]) clipped.removeAttribute("clip-path");
    const frame = made("g", {"clip-path": `url(#${clip})`});
    group.replaceWith(frame);
    frame.append(group);
    const tag = group.tagName.toLowerCase();
    const parts = ["path", "image", "use"].includes(tag) ? [group] : group.querySelectorAll("path, image, use");
    for (const part of parts) {
      if (part.closest("defs")) continue;
      const leaf = {part, motion, kind: part.tagName.toLowerCase()};
      if (leaf.kind === "use") Object.assign(leaf, {x: number(part, "x"), y: number(part, "y")});
      else leaf.before = part.getAttribute("transform") || "";
      if (leaf.kind === "path" && motion === "points") {
        const box = part.getBBox();
        Object.assign(leaf, {kind: "mark", x: box.x + box.width / 2, y: box.y + box.height / 2});
      }
      if (leaf.kind === "path") keepStroke(part);
      this.leaves.push(leaf);
    }
  }
  prepare(part) {
    if (part.words) part.size = part.words.length;
  }
  draw() {
    const {x, y} = this;
    const movesX = (motion) => motion !== "y", movesY = (motion) => motion !== "x";
    const still = x.isWhole && y.isWhole;
    for (const {part, motion, kind, before, x: px, y: py} of this.leaves) {
      const nx = px === undefined || !movesX(motion) ? px : x.moved(px);
      const ny = py === undefined || !movesY(motion) ? py : y.moved(py);
      if (kind === "use") {
        part.setAttribute("x", nx);
        part.setAttribute("y", ny);
      } else if (kind === "mark") {
        part.setAttribute("transform", `translate(${nx - px} ${ny - py}) ${before}`);
      } else {
        const [a, e] = movesX(motion) ? [x.scale, x.shift] : [1, 0];
        const [d, f] = movesY(motion) ? [y.scale, y.shift] : [1, 0];
        part.setAttribute("transform", still ? before : `matrix(${a} 0 0 ${d} ${e} ${f}) ${before}`);
      }
    }
    for (const {group, place} of this.beside) {
      const now = y.moved(place);
      group.setAttribute("transform", `translate(0 ${now - place})`);
      group.setAttribute("visibility", still || y.inside(now) ? "visible" : "hidden");
    }
    x.drawTicks(true);
    y.drawTicks(false);
  }
  holds(point) {
    return point.x >= this.left && point.x <= this.left + this.width && point.y >= this.top && point.y <= this.top + this.height;
  }
  // Which directions a wheel at this point zooms: both inside, one over an axis, else none.
  directions(point) {
    const across = point.x >= this.left && point.x <= this.left + this.width;
    const along = point.y >= this.top && point.y <= this.top + this.height;
    if (across && along) return [this.x, this.y];
    if (across && point.y > this.top + this.height && point.y < this.top + this.height + 30) return [this.x];
    if (along && point.x < this.left && point.x > this.left - 40) return [this.y];
    return [];
  }
  // What is nearest to a point of the SVG, `reach` at most.
  nearest(point, reach) {
    let best = {distance: reach};
    for (const part of this.told) {
      if (part.values) {
        const found = this.cell(part, point);
        if (found && best.words === undefined) best = found;
        continue;
      }
      for (let i = 0; i < part.size; i += 1) {
        const px = this.x.place(part.x[i]), py = this.y.place(part.y[i]);
        if (!this.x.inside(px) || !this.y.inside(py)) continue;
        const distance = Math.hypot(px - point.x, py - point.y);
        if (distance <= best.distance) best = {distance, words: part.words[i], x: px, y: py};
      }
    }
    return best.words === undefined ? null : best;
  }
  cell(part, point) {
    const column = interval(part.x, this.x.value(point.x)), row = interval(part.y, this.y.value(point.y));
    if (column < 0 || row < 0) return null;
    const value = part.values[row][column];
    const shown = value === null ? "not known" : String(value).replace("-", "\u2212");
    return {distance: 0, words: `${part.rows[row]}\n${part.columns[column]}\n${part.label} ${shown}`};
  }
}

// Lines keep their width and dashes, which the screen has in pixels, while what they outline grows.
function keepStroke(path) {
  const {strokeWidth, strokeDasharray} = getComputedStyle(path), scale = svg.getScreenCTM().a;
  path.setAttribute("vector-effect", "non-scaling-stroke");
  path.style.strokeWidth = `${parseFloat(strokeWidth) * scale}px`;
  if (strokeDasharray !== "none") path.style.strokeDasharray = strokeDasharray.split(",").map((one) => parseFloat(one) * scale).join(",");
}

function interval(edges, value) {
  let low = 0, high = edges.length - 1;
  if (value < edges[0] || value > edges[high]) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (edges[middle] <= value) low = middle; else high = middle;
  }
  return low;
}

const panels = JSON.parse(document.getElementById("scene").textContent).map((scene) => new Panel(scene));
let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    hide();
    for (const panel of panels) panel.draw();
  });
}
function pointOf(event) {
  const point = new DOMPoint(event.clientX, event.clientY);
  return point.matrixTransform(svg.getScreenCTM().inverse());
}
function hide() {
  words.hidden = true;
  mark.setAttribute("visibility", "hidden");
}
function show(event) {
  const point = pointOf(event), reach = NEAR / svg.getScreenCTM().a;
  const panel = panels.find((one) => one.holds(point));
  const found = panel && panel.nearest(point, reach);
  if (!found) { hide(); return; }
  words.textContent = found.words;
  words.hidden = false;
  const {width, height} = words.getBoundingClientRect();
  words.style.left = `${Math.max(0, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  words.style.top = `${event.clientY + 16 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 16}px`;
  if (found.x !== undefined) {
    mark.setAttribute("cx", found.x);
    mark.setAttribute("cy", found.y);
  }
  mark.setAttribute("visibility", found.x === undefined ? "hidden" : "visible");
}
function zoomAll(factor) {
  for (const {x, y} of panels) for (const axis of [x, y]) axis.zoom(factor, (axis.now[0] + axis.now[1]) / 2);
  redraw();
}
function whole() {
  for (const {x, y} of panels) for (const axis of [x, y]) axis.now = axis.whole.slice();
  redraw();
}

let held = null;
svg.addEventListener("wheel", (event) => {
  const point = pointOf(event), factor = 1.2 ** (-Math.sign(event.deltaY));
  const panel = panels.find((one) => one.directions(point).length);
  if (!panel) return;
  event.preventDefault();
  for (const axis of panel.directions(point)) axis.zoom(factor, axis.value(axis === panel.x ? point.x : point.y));
  redraw();
}, {passive: false});
svg.addEventListener("pointerdown", (event) => {
  const point = pointOf(event), panel = panels.find((one) => one.holds(point));
  if (!panel || event.button !== 0) return;
  held = {panel, point};
  svg.setPointerCapture(event.pointerId);
});
svg.addEventListener("pointermove", (event) => {
  if (!held) { show(event); return; }
  const point = pointOf(event);
  held.panel.x.drag(point.x - held.point.x);
  held.panel.y.drag(point.y - held.point.y);
  held.point = point;
  redraw();
});
for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { held = null; });
svg.addEventListener("pointerleave", hide);
svg.addEventListener("dblclick", whole);
document.getElementById("closer").addEventListener("click", () => zoomAll(1.5));
document.getElementById("wider").addEventListener("click", () => zoomAll(1 / 1.5));
document.getElementById("whole").addEventListener("click", whole);
})();
