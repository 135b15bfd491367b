const data = JSON.parse(document.getElementById("data").textContent);
const { layers, heads, taps } = data, half = taps >> 1;
const sentences = data.sentences.map(s => ({
  tokens: s.tokens, special: s.special, L: s.tokens.length, maps: new Uint16Array(unpack(s.maps)), kernels: new Uint16Array(unpack(s.kernels)),
  profile: new Float32Array(unpack(s.profile)), measures: new Float32Array(unpack(s.measures)) }));
const state = { sentence: 0, layer: data.layer, head: data.head, tokens: data.token, hover: null, cell: null };
const UNIT = 65535;                                    // weights are kept as 16-bit parts of one

const shown = () => sentences[state.sentence];
const token = () => state.hover ?? state.tokens[state.sentence];
const row = (s, t, layer = state.layer, head = state.head) => (layer * heads + head) * s.L + t;
const attends = (s, t, u, layer, head) => u < 0 || u >= s.L ? 0 : s.maps[row(s, t, layer, head) * s.L + u] / UNIT;
const convolves = (s, t, u, layer, head) =>
  Math.abs(u - t) > half ? 0 : s.kernels[row(s, t, layer, head) * taps + u - t + half] / UNIT;
const number = x => x.toFixed(3).replace(/^0(?=\.)/, "");
const name = (s, u) => u < 0 || u >= s.L ? "zero" : s.tokens[u];

function largestOf(s, weights, layer, head) {
  const width = weights.length / (layers * heads * s.L), from = row(s, 0, layer, head) * width;
  return weights.subarray(from, from + s.L * width).reduce((top, w) => Math.max(top, w), 1) / UNIT;
}
const highest = (s, layer, head) => Math.max(largestOf(s, s.maps, layer, head), largestOf(s, s.kernels, layer, head));
const highestOfAll = s => Math.max(...Array.from({ length: layers * heads }, (_, i) => highest(s, i / heads | 0, i % heads)));

// The sentence

function write(cell, word) {                           // the ## of a piece that goes on with a word has its own style
  const piece = /^##./.test(word), made = element(cell, "bdi", piece ? undefined : word);
  if (!piece) return;
  element(made, "span", "##");
  made.append(word.slice(2));
  cell.classList.add("piece");
}

const cells = [];
function buildStage() {
  const stage = get("stage"), s = shown();
  stage.replaceChildren();
  stage.className = s.L > 80 ? "many" : s.L > 36 ? "more" : "";
  cells.length = 0;
  let ends;                                            // keeps the last zeros with the last word when lines break
  for (let u = -half; u < s.L + half; u++) {
    const inside = u >= 0 && u < s.L;
    if (u === -half || u === s.L - 1) ends = element(stage, "span", undefined, "ends");
    const cell = element(u >= 0 && u < s.L - 1 ? stage : ends, inside ? "button" : "span", undefined, "word" + (inside ? "" : " zero"));
    const up = element(cell, "span", undefined, "up"), upNumber = element(up, "small"), upBar = element(up, "i");
    write(cell, inside ? s.tokens[u] : "0");
    const down = element(cell, "span", undefined, "down"), downBar = element(down, "i"), downNumber = element(down, "small");
    cells.push({ u, cell, upNumber, upBar, downNumber, downBar });
    up.setAttribute("aria-hidden", "true");
    down.setAttribute("aria-hidden", "true");
    if (!inside) {
      cell.setAttribute("aria-hidden", "true");
      continue;
    }
    cell.type = "button";
    cell.setAttribute("role", "radio");
    cell.setAttribute("aria-label", s.tokens[u] + ", word " + (u + 1) + " of " + s.L);
    cell.dataset.token = u;
    if (s.special[u]) cell.classList.add("special");
    cell.addEventListener("pointerenter", event => { if (event.pointerType === "mouse") hover(u); });
    cell.addEventListener("click", () => choose(u));
    cell.addEventListener("focus", () => { if (cell.matches(":focus-visible")) choose(u); });
  }
}

function drawStage() {
  const s = shown(), t = token(), stage = get("stage"), digits = 18;
  // The room above and below the words depends only on the head, so that the words stay in place. The scale, which both
  // kinds share, depends on the word.
  const part = largestOf(s, s.maps) / (largestOf(s, s.maps) + largestOf(s, s.kernels));
  const room = parseFloat(getComputedStyle(stage).getPropertyValue("--tall")) - 2 * digits;
  const above = Math.max(...cells.map(({ u }) => attends(s, t, u))), below = Math.max(...cells.map(({ u }) => convolves(s, t, u)));
  const unit = Math.min(part * room / above, (1 - part) * room / below), top = Math.max(above, below);
  stage.style.setProperty("--up", part * room + digits + "px");
  stage.style.setProperty("--down", (1 - part) * room + digits + "px");
  for (const { u, cell, upNumber, upBar, downNumber, downBar } of cells) {
    const attention = attends(s, t, u), convolution = convolves(s, t, u), near = Math.abs(u - t) <= half;
    upBar.style.height = attention * unit + "px";
    downBar.style.height = convolution * unit + "px";
    upNumber.textContent = attention >= 0.05 * top ? attention.toFixed(2).replace(/^0/, "") : "";
    downNumber.textContent = near && convolution >= 0.05 * top ? convolution.toFixed(2).replace(/^0/, "") : "";
    cell.classList.toggle("span", near);
    if (u >= 0 && u < s.L) {
      cell.setAttribute("aria-checked", String(u === t));
      cell.tabIndex = u === state.tokens[state.sentence] ? 0 : -1;
    }
  }
}

function largest(s, t, weight, from, to) {
  return Array.from({ length: to - from }, (_, i) => ({ u: from + i, w: weight(s, t, from + i) }))
    .filter(({ w }) => w >= 0.01).sort((a, b) => b.w - a.w).slice(0, 4);
}

function drawAnswers() {
  const s = shown(), t = token();
  for (const [kind, found] of [["attention", largest(s, t, attends, 0, s.L)],
                               ["convolution", largest(s, t, convolves, t - half, t + half + 1)]]) {
    const line = get("says-" + kind);
    line.replaceChildren();
    found.forEach(({ u, w }, i) => {
      if (i) line.append("  ·  ");
      element(line, "bdi", name(s, u));
      line.append(" ");
      element(line, "small", signed(u - t));
      line.append(" ");
      element(line, "b", number(w));
    });
  }
}

function announce() {
  const s = shown(), t = token(), say = found => found.map(({ u, w }) => name(s, u) + " " + number(w)).join(", ");
  get("live").textContent = s.tokens[t] + ". Attention: " + say(largest(s, t, attends, 0, s.L)) +
    ". Convolution: " + say(largest(s, t, convolves, t - half, t + half + 1)) + ".";
}

// Maps

function paint(canvas, weight, s, top, layer, head) {
  const columns = s.L + 2 * half, context = canvas.getContext("2d");
  canvas.width = columns;
  canvas.height = s.L;
  const image = context.createImageData(columns, s.L);
  for (let t = 0, i = 0; t < s.L; t++)
    for (let u = -half; u < s.L + half; u++) {
      const [r, g, b] = ramp[Math.round(255 * Math.min(1, weight(s, t, u, layer, head) / top))];
      image.data[i++] = r; image.data[i++] = g; image.data[i++] = b; image.data[i++] = 255;
    }
  context.putImageData(image, 0, 0);
  return canvas;
}

const geometry = {};
const small = document.createElement("canvas");
function drawMap(kind, weight) {
  const s = shown(), canvas = get("map-" + kind), context = canvas.getContext("2d"), pixels = devicePixelRatio || 1;
  const width = canvas.parentElement.clientWidth, columns = s.L + 2 * half;
  const font = size => size + "px system-ui, 'DejaVu Sans', sans-serif";
  context.font = font(11);
  const gutter = Math.min(width / 4, 8 + Math.max(...s.tokens.map(word => context.measureText(word).width)));
  const size = Math.min(30, (width - gutter) / columns), height = s.L * size + gutter;
  canvas.width = Math.round(width * pixels);
  canvas.height = Math.round(height * pixels);
  canvas.style.height = height + "px";
  context.scale(pixels, pixels);
  Object.assign(geometry, { gutter, size });

  const right = gutter + columns * size, bottom = s.L * size, left = gutter + half * size, end = left + s.L * size;
  context.imageSmoothingEnabled = false;
  context.drawImage(paint(small, weight, s, highest(s), state.layer, state.head), gutter, 0, columns * size, bottom);
  if (size >= 7) {
    context.strokeStyle = colour("paper");
    context.lineWidth = 1;
    lines(context, Array.from({ length: columns + 1 }, (_, i) => [gutter + i * size, 0, gutter + i * size, bottom]));
    lines(context, Array.from({ length: s.L + 1 }, (_, i) => [gutter, i * size, right, i * size]));
  }
  for (const from of [gutter, end]) hatch(context, from, 0, half * size, bottom);
  context.strokeStyle = colour("faint");
  context.lineWidth = 1;
  lines(context, [[left, 0, left, bottom], [end, 0, end, bottom]]);
  context.globalAlpha = 0.55;
  context.setLineDash([3, 3]);
  context.save();
  context.beginPath();
  context.rect(gutter, 0, columns * size, bottom);
  context.clip();
  lines(context, [-size, taps * size].map(x => [gutter + x, 0, gutter + x + bottom, bottom]));
  context.restore();
  context.setLineDash([]);
  context.globalAlpha = 1;
  context.strokeStyle = colour("rule");
  context.strokeRect(gutter + 0.5, 0.5, columns * size - 1, bottom - 1);

  const t = token();
  context.strokeStyle = colour(kind);
  context.lineWidth = 2;
  const frame = (x, wide) => context.strokeRect(x - 1, t * size - 1, wide + 2, size + 2);       // around, not over
  frame(gutter + 1, columns * size - 2);
  if (state.cell !== null) frame(left + state.cell * size, size);
  const every = Math.ceil(11 / size);
  for (let u = 0; u < s.L; u++) {
    const marked = u === t || u === state.cell;
    if (!marked && (u % every || Math.abs(u - t) < every)) continue;
    context.fillStyle = marked ? colour("ink") : colour("faint");
    context.font = (u === t ? "700 " : "") + font(11);
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(s.tokens[u], gutter - 6, Math.max(6, (u + 0.5) * size), gutter - 6);
    context.save();
    context.translate(left + (u + 0.5) * size, bottom + 6);
    context.rotate(-Math.PI / 2);
    context.fillText(s.tokens[u], 0, 0, gutter - 8);
    context.restore();
  }
  canvas.setAttribute("aria-label", kind + " map of layer " + state.layer + ", head " + state.head + ", " + s.L + " words by " + s.L);
}

function lines(context, segments) {
  context.beginPath();
  for (const [x0, y0, x1, y1] of segments) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.stroke();
}

function hatch(context, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = colour("rule");
  context.lineWidth = 1;
  lines(context, Array.from({ length: Math.ceil((width + height) / 7) }, (_, i) => [x + i * 7 - height, y + height, x + i * 7, y]));
  context.restore();
}

function drawMaps() {
  drawMap("attention", attends);
  drawMap("convolution", convolves);
  get("highest").textContent = number(highest(shown()));
  drawCell();
}

function drawCell() {
  const s = shown(), t = token(), u = state.cell, line = get("cell");
  line.replaceChildren();
  if (u === null) return;
  element(line, "bdi", s.tokens[t]);
  line.append(" → ");
  element(line, "bdi", name(s, u));
  line.append(" (" + signed(u - t) + ")   ");
  element(line, "span", "attention " + number(attends(s, t, u)), "attention");
  line.append("   ");
  element(line, "span", "convolution " + number(convolves(s, t, u)), "convolution");
}

function place(event) {
  const s = shown(), box = event.currentTarget.getBoundingClientRect(), { gutter, size } = geometry;
  const t = Math.floor((event.clientY - box.top) / size), u = Math.floor((event.clientX - box.left - gutter) / size) - half;
  return t >= 0 && t < s.L && u >= -half && u < s.L + half ? [t, u] : null;
}

// Distances

function drawProfile() {
  const s = shown(), svg = get("profile"), make = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    svg.append(made);
    return made;
  };
  const wide = svg.parentElement.clientWidth, count = 2 * s.L - 1, reach = Math.max(s.L - 1, half), step = wide / (2 * reach + 1);
  const attention = s.profile.subarray((state.layer * heads + state.head) * count, (state.layer * heads + state.head + 1) * count);
  const kernel = new Float64Array(taps);
  for (let t = 0; t < s.L; t++) for (let j = 0; j < taps; j++) kernel[j] += convolves(s, t, t + j - half) / s.L;
  const tall = 180, unit = tall / (Math.max(...attention) + Math.max(...kernel)), middle = Math.max(...attention) * unit;
  svg.replaceChildren();
  svg.setAttribute("viewBox", "0 0 " + wide + " " + (tall + 40));
  const bar = (o, weight, sign, kind) => make("rect", {
    x: (o + reach + 0.08) * step, width: 0.84 * step, height: weight * unit, class: kind,
    y: sign > 0 ? middle - weight * unit : middle });
  attention.forEach((weight, i) => bar(i - s.L + 1, weight, 1, "a"));
  kernel.forEach((weight, j) => bar(j - half, weight, -1, "c"));
  make("line", { x1: 0, x2: wide, y1: middle, y2: middle, class: "axis" });
  const ticks = [-reach, ...(half < reach && half * step > 26 ? [-half, 0, half] : [0]), reach];
  for (const o of ticks) make("text", { x: Math.min(Math.max((o + reach + 0.5) * step, 12), wide - 12), y: tall + 16, "text-anchor": "middle" }).textContent = signed(o);
  make("text", { x: wide / 2, y: tall + 34, "text-anchor": "middle" }).textContent = "words to the left (−) and right (+), mean weight";
  svg.setAttribute("aria-label", "Mean weight by distance: attention above the line, convolution below it.");
}

function drawMeasures() {
  const s = shown(), t = token(), body = get("measures").tBodies[0], kinds = 7, start = row(s, 0) * kinds;
  const one = k => s.measures[start + t * kinds + k], mean = k => {
    let sum = 0;
    for (let i = 0; i < s.L; i++) sum += s.measures[start + i * kinds + k];
    return sum / s.L;
  };
  const percent = x => (100 * x).toFixed(x > 0 && x < 0.1 ? 1 : 0) + "%", short = x => x.toFixed(1);
  body.replaceChildren();
  for (const [title, show, ...pair] of [["mean distance", short, 0, 1], ["entropy, bits", short, 2, 3],
      ["within ±" + half, percent, 4, 5], ["on zeros", percent, null, 6]]) {
    const line = element(body, "tr");
    element(line, "th", title).scope = "row";
    for (const k of pair) {
      const cell = element(line, "td", k === null ? "none" : show(mean(k)));
      if (k !== null) element(cell, "small", "this word " + show(one(k)));
    }
  }
}

// The same word in two sentences

function drawContexts() {
  if (sentences.length < 2) return;
  const word = get("shared").value, places = sentences.map(s => s.tokens.indexOf(word)), two = get("two");
  const kernels = sentences.map((s, i) => Array.from({ length: taps }, (_, j) => convolves(s, places[i], places[i] + j - half)));
  const top = Math.max(...kernels.flat());
  two.replaceChildren();
  sentences.forEach((s, i) => {
    const snippet = element(two, "p", undefined, "snippet"), from = Math.max(0, places[i] - 9), to = Math.min(s.L, places[i] + 10);
    snippet.append(from ? "… " : "");
    for (let u = from; u < to; u++) {
      element(snippet, u === places[i] ? "b" : "bdi", s.tokens[u]);
      snippet.append(" ");
    }
    snippet.append(to < s.L ? "…" : "");
    const line = element(two, "div", undefined, "taps");
    line.style.gridTemplateColumns = "repeat(" + taps + ", 1fr)";
    kernels[i].forEach((weight, j) => {
      const u = places[i] + j - half, inside = u >= 0 && u < s.L;
      const cell = element(line, "div", undefined, (j === half ? "here" : "") + (inside ? "" : " lost"));
      write(cell, inside ? s.tokens[u] : "0");
      const down = element(cell, "span", undefined, "down");
      element(down, "i").style.height = weight / top * 48 + "px";
      element(down, "small", weight >= 0.005 ? weight.toFixed(2).replace(/^0/, "") : "");
    });
  });
  const common = kernels[0].reduce((sum, weight, j) => sum + Math.min(weight, kernels[1][j]), 0);
  get("overlap").textContent = "In layer " + state.layer + ", head " + state.head + ", the kernels have " + Math.round(100 * common) + "% of their weight in common.";
}

// All heads

function drawAll() {
  const grid = get("all"), s = shown(), top = highestOfAll(s);
  grid.replaceChildren();
  grid.style.gridTemplateColumns = "auto repeat(" + heads + ", minmax(84px, 330px))";
  element(grid, "p");
  for (let head = 0; head < heads; head++) element(grid, "p", "head " + head);
  for (let layer = 0; layer < layers; layer++) {
    element(grid, "p", "layer " + layer);
    for (let head = 0; head < heads; head++) {
      const button = element(grid, "button");
      button.type = "button";
      button.setAttribute("aria-label", "layer " + layer + ", head " + head);
      button.setAttribute("aria-pressed", String(layer === state.layer && head === state.head));
      for (const weight of [attends, convolves]) paint(element(button, "canvas"), weight, s, top, layer, head);
      button.addEventListener("click", () => {
        setLayer(layer, head);
        get("all").querySelector("[aria-pressed=true]").focus({ preventScroll: true });
      });
    }
  }
  get("top").textContent = number(top);
}

function drawNumbers() {
  const s = shown(), t = token(), body = get("numbers").querySelector("tbody");
  get("numbers-word").textContent = "“" + s.tokens[t] + "”";
  body.replaceChildren();
  for (let u = Math.min(0, t - half); u < Math.max(s.L, t + half + 1); u++) {
    const line = element(body, "tr"), inside = u >= 0 && u < s.L;
    element(line, "td", inside ? u : "");
    element(element(line, "td"), "bdi", inside ? s.tokens[u] : "zero beyond the sentence");
    element(line, "td", signed(u - t));
    element(line, "td", inside ? attends(s, t, u).toFixed(4) : "");
    element(line, "td", Math.abs(u - t) <= half ? convolves(s, t, u).toFixed(4) : "");
  }
}

// What the reader does

function drawToken() {
  drawStage();
  drawAnswers();
  drawMaps();
  drawMeasures();
  drawNumbers();
}

function drawEverything() {
  readTheme();
  drawToken();
  drawProfile();
  drawContexts();
  drawAll();
}

function hover(t, cell = null) {
  if (t === state.hover && cell === state.cell) return;
  state.hover = t;
  state.cell = cell;
  drawToken();
}

function choose(t, cell = null) {
  state.tokens[state.sentence] = t;
  state.hover = null;
  state.cell = cell;
  drawToken();
  announce();
}

function setLayer(layer, head) {
  state.layer = layer;
  state.head = head;
  for (const [group, value] of [["layers", layer], ["heads", head]]) get(group).querySelectorAll("input")[value].checked = true;
  drawEverything();
  announce();
}

function choices(id, labels, at, chosen) {
  labels.forEach((text, i) => {
    const label = element(get(id), "label"), input = element(label, "input");
    element(label, "span", text);
    input.type = "radio";
    input.name = id;
    input.value = i;
    input.checked = i === at;
    input.addEventListener("change", () => chosen(i));
  });
}

function start() {
  const numbers = n => Array.from({ length: n }, (_, i) => String(i));
  get("model").textContent = data.model;
  get("taps").textContent = taps;
  get("notes").textContent = data.notes.join(" ");
  get("notes").hidden = !data.notes.length;
  choices("layers", numbers(layers), state.layer, layer => setLayer(layer, state.head));
  choices("heads", numbers(heads), state.head, head => setLayer(state.layer, head));
  if (sentences.length > 1) {
    get("sentences").hidden = get("contexts").hidden = false;
    choices("sentences", ["first", "second"], 0, i => {
      state.sentence = i;
      state.hover = state.cell = null;
      buildStage();
      drawEverything();
      announce();
    });
    for (const word of data.shared) element(get("shared"), "option", word).value = word;
    get("shared").addEventListener("change", drawContexts);
  }
  buildStage();
  drawEverything();

  get("stage").addEventListener("pointerleave", () => hover(null));
  get("stage").addEventListener("keydown", event => {
    const s = shown(), t = state.tokens[state.sentence];
    const to = { ArrowLeft: t - 1, ArrowRight: t + 1, Home: 0, End: s.L - 1 }[event.key];
    const layer = { ArrowUp: state.layer - 1, ArrowDown: state.layer + 1 }[event.key];
    if (to === undefined && layer === undefined) return;
    event.preventDefault();
    if (to >= 0 && to < s.L) {
      choose(to);
      cells[to + half].cell.focus();
    }
    if (layer >= 0 && layer < layers) setLayer(layer, state.head);
  });
  for (const kind of ["attention", "convolution"]) {
    const canvas = get("map-" + kind);
    canvas.addEventListener("pointermove", event => hover(...(place(event) ?? [null])));
    canvas.addEventListener("pointerleave", () => hover(null));
    canvas.addEventListener("click", event => { const at = place(event); if (at) choose(...at); });
  }
  addEventListener("resize", drawEverything);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawEverything);
}

start();
