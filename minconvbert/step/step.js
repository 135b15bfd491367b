let data, arrays, callerOf, mainSteps, letters;
const state = { step: 0, token: 0, chosen: {}, name: null, picture: null, unfolded: new Set() };
const MINUS = "−";

// Reading what was packed: bytes are kept place by place, first bytes of all numbers first

async function unpacked() {
  const packed = JSON.parse(get("data").textContent).packed;
  const stream = new Blob([unpack(packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer()), size = new DataView(bytes.buffer).getUint32(0, true);
  return [JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size))), bytes.subarray(4 + size)];
}

function readHalf(bits) {
  const exponent = bits >> 10 & 31, part = bits & 1023, sign = bits >> 15 ? -1 : 1;
  if (exponent === 31) return part ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + part / 1024) : 2 ** -14 * part / 1024);
}

function readBlob(bytes, [from, type, count]) {
  const width = +type[1], plain = new Uint8Array(count * width);
  for (let k = 0; k < width; k++) for (let i = 0; i < count; i++) plain[i * width + k] = bytes[from + k * count + i];
  const kinds = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array, f2: Uint16Array };
  const numbers = new kinds[type](plain.buffer);
  return type === "f2" ? Float64Array.from(numbers, readHalf) : numbers;
}

class Numbers {                                        // an array; of a large one only every n-th entry is there
  constructor({ b, s, every }, bytes) {
    Object.assign(this, { full: s, every: every ?? s.map(() => 1) });
    this.shape = s.map((n, axis) => Math.ceil(n / this.every[axis]));
    this.size = this.shape.reduce((a, n) => a * n, 1);
    this.sampled = Boolean(every);
    this.steps = s.map((_, axis) => this.shape.slice(axis + 1).reduce((a, n) => a * n, 1));
    this.fullSteps = s.map((_, axis) => s.slice(axis + 1).reduce((a, n) => a * n, 1));
    this.blob = b;
    this.bytes = bytes;
  }
  get values() {
    return this.read ??= readBlob(this.bytes, data.blobs[this.blob]);
  }
  at(place) {                                          // of an entry of the whole; undefined if it was left out
    let found = 0;
    for (let axis = 0; axis < this.full.length; axis++) {
      const i = Math.floor(place / this.fullSteps[axis]) % this.full[axis];
      if (i % this.every[axis]) return undefined;
      found += i / this.every[axis] * this.steps[axis];
    }
    return this.values[found];
  }
  index(entry) {                                       // where a kept entry is in the whole
    return this.shape.map((n, axis) => Math.floor(entry / this.steps[axis]) % n * this.every[axis]);
  }
  place(index) {
    return index.reduce((sum, i, axis) => sum + i * this.fullSteps[axis], 0);
  }
  range() {
    return this.ends ??= this.values.reduce(([low, high], x) => Number.isFinite(x) ? [Math.min(low, x), Math.max(high, x)] : [low, high], [Infinity, -Infinity]);
  }
}

// What is where

const stepNow = () => data.steps[state.step];
const callOf = step => data.calls[step.c];
const isMain = step => data.mains.includes(step.c);
const within = call => data.calls[call].steps;
const path = step => isMain(step) ? mainSteps : within(step.c);
const bare = name => name.split('["').pop().replace('"]', "");
const text = step => data.sources[callOf(step).source].slice(step.l - callOf(step).first, step.e - callOf(step).first + 1)
  .map(line => line.replace(/ +# .*/, "").trim()).join(" ");

function index() {
  arrays = data.arrays.map(entry => new Numbers(entry, data.bytes));
  letters = new Map(data.infos.map(([array, axes]) => [array, axes]));
  data.calls.forEach(call => call.steps = []);
  callerOf = new Map();
  data.steps.forEach((step, number) => {
    step.number = number;
    for (const key of ["r", "w"]) step[key] = new Map(step[key]);
    callOf(step).steps.push(number);
    for (const call of step.i ?? []) callerOf.set(call, number);
  });
  mainSteps = data.steps.filter(isMain).map(step => step.number);
}

// The other pass: d of a name is made or read in the call that is the partner of this one

function slopeOf(step, name) {
  const partner = callOf(step).partner;
  if (partner === null) return null;
  const forward = !callOf(step).name.endsWith("_backward"), short = bare(name);
  const wanted = forward ? "d" + short : short.startsWith("d") ? short.slice(1) : null;
  if (!wanted) return null;
  const fits = key => bare(key) === wanted || forward && /^g\[/.test(key) && /^p\[/.test(name) && bare(key) === short;
  let found = null;
  for (const number of within(partner)) {
    const other = data.steps[number];
    for (const [key, info] of [...other.r, ...other.w])
      if (fits(key) && (other.w.has(key) || !found)) found = { name: key, info, number };
  }
  return found && arrays[data.infos[found.info][0]].size === arrays[data.infos[step.w.get(name) ?? step.r.get(name)][0]].size ? found : null;
}

// Numbers and names

function shown(x) {
  if (x === undefined) return "…";
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x).replace("-", MINUS);
  return (Math.abs(x) < 1e-4 ? x.toExponential(3) : x.toPrecision(4)).replace("e+", "e").replaceAll("-", MINUS);
}

function label(axes, axis, i, n) {
  const letter = axes?.[axis];
  if (letter === "L" && data.tokens.length === n) return data.tokens[i];
  if (letter === "H") return "head " + i;
  if (letter === "K" && n % 2) return "tap " + signed(i - (n >> 1));
  return String(i);
}

function entryName(name, array, axes, place) {
  const at = array.full.map((n, axis) => [n, Math.floor(place / array.fullSteps[axis]) % n])
    .map(([n, i], axis) => n === 1 && array.full.length > 1 ? null : label(axes, axis, i, n)).filter(part => part !== null);
  return name + (at.length ? "[" + at.join(", ") + "]" : "");
}

// By hand: a rule is worked out for one entry

const FUNCTIONS = { exp: Math.exp, log: Math.log, log1p: Math.log1p, sqrt: Math.sqrt, abs: Math.abs, tanh: Math.tanh, square: x => x * x, neg: x => -x };
const OPERATIONS = { "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b, "**": (a, b) => a ** b, max: Math.max, min: Math.min };
const SIGNS = { "+": " + ", "-": ` ${MINUS} `, "*": " · ", "/": " ÷ ", "**": " ^ " };

const leafPlace = ([, , , origin, steps], at) => steps.reduce((sum, step, axis) => sum + step * (at[axis] ?? 0), origin);

function value(rule, at) {
  if (typeof rule === "number") return rule;
  const [kind, ...parts] = rule;
  if (kind === "at") return arrays[rule[1]].at(leafPlace(rule, at));
  if (kind === "sum" || kind === "largest") {
    const terms = Array.from({ length: parts[0] }, (_, k) => value(parts[1], [...at, k]));
    return kind === "sum" ? terms.reduce((a, b) => a + b, 0) : Math.max(...terms);
  }
  const values = parts.map(part => value(part, at));
  return (FUNCTIONS[kind] ?? OPERATIONS[kind])(...values);
}

const rank = rule => typeof rule === "number" ? 4 : { "+": 1, "-": 1, sum: 1, "*": 2, "/": 2, neg: 3, "**": 3 }[rule[0]] ?? 4;

function written(rule, at, most = 9) {
  if (typeof rule === "number") return shown(rule);
  const [kind, ...parts] = rule;
  if (kind === "at") return shown(value(rule, at));
  if (kind === "sum" || kind === "largest") {
    const n = parts[0], few = n <= most ? n : 3;
    const terms = Array.from({ length: few }, (_, k) => bracket(parts[1], 1, [...at, k], most, true));
    if (few < n) terms.push(`… ${n - few - 1} more terms …`, bracket(parts[1], 1, [...at, n - 1], most, true));
    return kind === "sum" ? added(terms) : `max(${terms.join(", ")})`;
  }
  if (SIGNS[kind]) {
    const told = parts.map((part, i) => bracket(part, rank(rule) + (i && "-/".includes(kind) ? 0.5 : 0), at, most, !i || kind === "+"));
    return kind === "+" ? added(told) : told.join(SIGNS[kind]);
  }
  if (kind === "neg") return MINUS + bracket(parts[0], 3, at, most);
  if (kind === "square") return bracket(parts[0], 4, at, most) + "²";
  return `${kind}(${parts.map(part => written(part, at, most)).join(", ")})`;
}

function bracket(rule, above, at, most, bare = false) {
  const inner = written(rule, at, most);
  return rank(rule) < above || inner.startsWith(MINUS) && !bare ? `(${inner})` : inner;
}

const added = terms => terms.join(" + ").replaceAll(" + " + MINUS, ` ${MINUS} `);

function firstSum(rule, at) {
  if (typeof rule === "number" || rule[0] === "at") return null;
  if (rule[0] === "sum") return { rule, at };
  for (const part of rule.slice(1)) {
    const found = Array.isArray(part) && firstSum(part, at);
    if (found) return found;
  }
  return null;
}

function leaves(rule) {
  return !Array.isArray(rule) ? [] : rule[0] === "at" ? [rule] : rule.slice(1).flatMap(leaves);
}

// A share of a total: e / (sum of all e), as in a softmax. Then the row sums to 1.
function sharesATotal(rule) {
  if (rule[0] !== "/" || rule[2][0] !== "sum") return false;
  const plain = part => JSON.stringify(part, (key, x) => Array.isArray(x) && x[0] === "at" ? ["at", x[1]] : x);
  return plain(rule[1]) === plain(rule[2][2]);
}

function ruleAt(step, name, place) {
  const entry = step.h?.[name];
  if (!entry) return null;
  const array = arrays[data.infos[step.w.get(name)][0]];
  const [rule, origin, steps, shape] = entry;
  if (shape === undefined)
    return { rule, at: array.full.map((n, axis) => Math.floor(place / array.fullSteps[axis]) % n) };
  const size = shape.reduce((a, n) => a * n, 1), at = shape.map(() => 0);
  for (let i = 0; i < size; i++) {                     // which entry of the part that was written to
    for (let rest = i, axis = shape.length - 1; axis >= 0; axis--) { at[axis] = rest % shape[axis]; rest = Math.floor(rest / shape[axis]); }
    if (at.reduce((sum, k, axis) => sum + k * steps[axis], origin) === place) return { rule, at };
  }
  return { untouched: true };
}

function drawHand() {
  const step = stepNow(), box = get("hand"), names = [...step.w.keys()];
  box.replaceChildren();
  if (!names.length) return;
  const name = names.includes(state.chosen.name) ? state.chosen.name : names[0];
  const info = data.infos[step.w.get(name)], array = arrays[info[0]];
  if (!array.size) return;
  const place = state.chosen.place, result = shown(array.at(place)), found = ruleAt(step, name, place);
  element(box, "h3", "By hand: the chosen number");
  const first = element(box, "p", undefined, "formula");
  element(first, "span", entryName(name, array, info[1], place), "hand-name");
  if (!found || found.untouched) {
    first.append(" = " + result);
    element(box, "p", found ? "This line writes to other entries and leaves this number as it was."
      : step.i ? "It is worked out in the call: ↓ goes into it." : "This line only moves numbers, or works them out in a function without a formula here.", "why");
    return;
  }
  const { rule, at } = found;
  if (leaves(rule).some(leaf => arrays[leaf[1]].sampled) && !Number.isFinite(value(rule, at))) {
    first.append(" = " + result);
    element(box, "p", "Not all of its terms are on this page, because it holds only samples of the large arrays.", "why");
    return;
  }
  const whole = written(rule, at), lines = whole === result ? [] : [whole];
  if (SIGNS[rule[0]]) {
    const parts = rule.slice(1).map(part => shown(value(part, at)));
    const short = rule[0] === "+" ? added(parts) : parts.map((part, i) => part.startsWith(MINUS) && i ? `(${part})` : part).join(SIGNS[rule[0]]);
    if (short !== whole) lines.push(short);
  }
  lines.push(result);
  first.append(" = " + lines[0]);
  lines.slice(1).forEach(line => element(box, "p", "= " + line, "formula"));
  box.lastChild.classList.add("result");
  if (sharesATotal(rule)) {
    const total = shown(value(rule[2], at));
    element(box, "p", `Why this row sums to 1: each of its ${rule[2][1]} numbers is one of these terms divided by their sum, ${total}.`, "why");
  }
  const sum = firstSum(rule, at);
  if (sum) drawTerms(box, sum);
}

function drawTerms(box, { rule: [, n, term], at }) {
  const details = element(box, "details"), factors = leaves(term);
  element(details, "summary", `All ${n} terms of the sum, one by one`);
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const frame = element(details, "div", undefined, "terms"), table = element(frame, "table"), head = element(element(table, "thead"), "tr");
    for (const title of [...factors.flatMap(leaf => [leaf[2], ""]), "term", "sum so far"]) element(head, "th", title).scope = "col";
    const body = element(table, "tbody");
    for (let k = 0, sum = 0; k < n; k++) {
      const row = element(body, "tr"), here = [...at, k], x = value(term, here);
      sum += x;
      for (const leaf of factors) {
        const array = arrays[leaf[1]], place = leafPlace(leaf, here);
        element(row, "td", entryName("", array, letters.get(leaf[1]), place));
        element(row, "td", shown(array.at(place)));
      }
      element(row, "td", shown(x));
      element(row, "td", shown(sum));
    }
  });
}

// Heat maps: rows are the words where an array has them, and columns all other axes, one after the other

function layout(array, axes) {
  const long = array.shape.map((n, axis) => axis).filter(axis => array.shape[axis] > 1 || array.full.length === 1);
  let row = long.find(axis => axes?.[axis] === "L");
  if (row === undefined && long.length > 1) row = long[0];
  const batch = long.filter(axis => axes?.[axis] === "B" && axis !== row);
  const rows = row === undefined ? [] : [...batch, row], columns = long.filter(axis => !rows.includes(axis));
  const count = some => some.reduce((n, axis) => n * array.shape[axis], 1);
  return { rows, columns, R: count(rows), C: count(columns), words: row !== undefined && axes?.[row] === "L" };
}

function offset(array, some, i) {
  let sum = 0;
  for (const axis of [...some].reverse()) {
    sum += i % array.shape[axis] * array.steps[axis];
    i = Math.floor(i / array.shape[axis]);
  }
  return sum;
}

const entryAt = (array, plan, r, c) => offset(array, plan.rows, r) + offset(array, plan.columns, c);

function colours(array) {
  const [low, high] = array.range();
  if (low >= 0) return { scale: x => ramp[Math.round(255 * (high ? x / high : 0))], both: false, top: high };
  const top = Math.max(-low, high), paper = colour("paper");
  const sides = [gradient([paper, colour("attention")]), gradient([paper, colour("convolution")])];
  return { scale: x => sides[+(x > 0)][Math.round(255 * Math.abs(x) / top)], both: true, top };
}

const followedRow = (array, plan) => plan.words ? Math.min(Math.floor(state.token / array.every[plan.rows.at(-1)]), array.shape[plan.rows.at(-1)] - 1) : 0;

function drawMap(canvas, array, axes, plan, chosen) {
  const width = canvas.parentElement.clientWidth || 300, pixels = devicePixelRatio || 1, context = canvas.getContext("2d");
  const names = plan.words && data.tokens.length === array.shape[plan.rows.at(-1)] && plan.rows.length === 1;
  const tall = Math.max(2, Math.min(plan.R > 16 ? 220 / plan.R : 16, 16)), labels = names && tall >= 11;
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  const gutter = labels ? Math.min(width / 4, 8 + Math.max(...data.tokens.map(word => context.measureText(word).width))) : 0;
  const wide = Math.min(30, (width - gutter) / plan.C), inner = plan.columns.length > 1 ? array.shape[plan.columns.at(-1)] : plan.C;
  const titles = inner < plan.C && inner * wide > 40, head = titles ? 15 : 0, height = plan.R * tall;
  canvas.width = Math.round(width * pixels);
  canvas.height = Math.round((height + head) * pixels);
  canvas.style.height = height + head + "px";
  context.scale(pixels, pixels);
  context.translate(0, head);
  const image = context.createImageData(plan.C, plan.R), { scale } = colours(array);
  for (let r = 0, i = 0; r < plan.R; r++)
    for (let c = 0; c < plan.C; c++) {
      const [red, green, blue] = scale(array.values[entryAt(array, plan, r, c)]) ?? [128, 128, 128];
      image.data[i++] = red; image.data[i++] = green; image.data[i++] = blue; image.data[i++] = 255;
    }
  const small = document.createElement("canvas");
  small.width = plan.C;
  small.height = plan.R;
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, gutter, 0, plan.C * wide, height);
  context.lineWidth = 1;
  context.strokeStyle = colour("paper");
  if (wide >= 7 && tall >= 7)
    for (let c = 1; c < plan.C; c++) line(context, gutter + c * wide, 0, gutter + c * wide, height);
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = colour("faint");
  context.strokeStyle = colour("ink");
  for (let c = 0; inner < plan.C && c < plan.C; c += inner) {      // heads stand apart
    if (c) line(context, gutter + c * wide, -head, gutter + c * wide, height);
    if (titles) context.fillText(panelName(array, axes, plan, c), gutter + c * wide + 3, -7);
  }
  const sentence = array.shape[plan.rows.at(-1)];
  for (let r = sentence; r < plan.R; r += sentence) line(context, gutter, r * tall, gutter + plan.C * wide, r * tall);
  context.strokeStyle = colour("rule");
  context.strokeRect(gutter + 0.5, 0.5, plan.C * wide - 1, height - 1);
  context.textAlign = "right";
  context.textBaseline = "middle";
  if (labels) data.tokens.forEach((word, t) => {
    context.fillStyle = colour(t === state.token ? "ink" : "faint");
    context.font = (t === state.token ? "700 " : "") + "11px system-ui, 'DejaVu Sans', sans-serif";
    context.fillText(word, gutter - 5, (t + 0.5) * tall, gutter - 5);
  });
  context.strokeStyle = colour("ink");
  if (plan.words && plan.rows.length === 1) {
    context.lineWidth = 1.5;
    context.strokeRect(gutter + 0.75, followedRow(array, plan) * tall + 0.75, plan.C * wide - 1.5, tall - 1.5);
  }
  if (chosen !== undefined) {
    context.lineWidth = 2;
    const w = Math.max(wide, 3), h = Math.max(tall, 3);
    context.strokeRect(gutter + chosen.c * wide - 1, chosen.r * tall - 1, w + 2, h + 2);
  }
  return { gutter, wide, tall, head };
}

function panelName(array, axes, plan, c) {
  const at = array.index(entryAt(array, plan, 0, c));
  return plan.columns.slice(0, -1).map(axis => label(axes, axis, at[axis], array.full[axis])).join(", ");
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function card(parent, step, name, info, { small = false, jump = null } = {}) {
  const [number, axes, acts, golden] = data.infos[info], array = arrays[number];
  const figure = element(parent, "figure", undefined, "card"), caption = element(figure, "figcaption");
  figure.dataset.name = name;
  nameButton(caption, name, "title");
  element(caption, "span", " " + shapeOf(array, axes), "shape");
  if (jump !== null) {
    caption.append(" ");
    const button = element(caption, "button", `line ${data.steps[jump].l} of ${callOf(data.steps[jump]).name}`, "where shape");
    button.type = "button";
    button.addEventListener("click", () => go(jump));
  }
  const slope = small ? slopeOf(step, name) : null;
  if (slope) {
    caption.append(" ");
    const link = element(caption, "button", `${slope.name}: line ${data.steps[slope.number].l}`, "where shape");
    link.type = "button";
    link.addEventListener("click", () => go(slope.number));
  }
  if (acts) dotted(element(caption, "small"), `acts["${acts}"]`);
  else if (golden) dotted(element(caption, "small"), "golden pack: " + golden);
  if (array.sampled) element(caption, "small", "Too large for the page: " + array.every.map((n, axis) =>
    n > 1 ? `one in ${n} along axis ${/\D/.test(axes[axis]) ? axes[axis] : axis}` : "").filter(part => part).join(" and ") + " is shown.");
  if (!array.size) {
    element(figure, "p", "It has no entries.", "tip");
    return;
  }
  const plan = layout(array, axes), own = state.chosen.name === name && !jump && !small && step === stepNow();
  if (array.size > 1) {
    const canvas = element(figure, "canvas"), [low, high] = array.range();
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${name}, ${plan.R} by ${plan.C}, from ${shown(low)} to ${shown(high)}`);
    let cell, geometry;
    if (own) {
      const at = state.chosen.place;
      for (let r = 0; r < plan.R && !cell; r++) for (let c = 0; c < plan.C; c++)
        if (array.place(array.index(entryAt(array, plan, r, c))) === at) { cell = { r, c }; break; }
    }
    painters.push(() => canvas.geometry = geometry = drawMap(canvas, array, axes, plan, cell));
    const scale = element(figure, "div", undefined, "range"), both = colours(array).both;
    element(scale, "span", shown(both ? -colours(array).top : 0));
    element(scale, "i", undefined, both ? "both" : "positive");
    element(scale, "span", shown(colours(array).top));
    const tip = element(scale, "span", "", "tip");
    canvas.addEventListener("pointermove", event => {
      const at = cellUnder(event, canvas, geometry, plan);
      const entry = at && entryAt(array, plan, at.r, at.c);
      tip.textContent = at ? entryName(name, array, axes, array.place(array.index(entry))) + " = " + shown(array.values[entry]) : "";
    });
    canvas.addEventListener("pointerleave", () => tip.textContent = "");
    canvas.addEventListener("click", event => {
      const at = cellUnder(event, canvas, geometry, plan);
      if (!at) return;
      if (plan.words && plan.rows.length === 1) state.token = at.r;
      if (jump === null && !small) state.chosen = { name, place: array.place(array.index(entryAt(array, plan, at.r, at.c))), full: String(array.full), token: state.token };
      drawStep();
    });
  }
  if (!own) drawRow(figure, name, array, axes, plan, true);
}

const painters = [];                                   // maps are painted when all of them have their place

function dotted(parent, name) {                        // a long name may be broken behind a dot
  name.split(/(?<=\.)/).forEach(part => {
    parent.append(part);
    element(parent, "wbr");
  });
}

function cellUnder(event, canvas, { gutter, wide, tall, head }, plan) {
  const box = canvas.getBoundingClientRect(), c = Math.floor((event.clientX - box.left - gutter) / wide), r = Math.floor((event.clientY - box.top - head) / tall);
  return c >= 0 && c < plan.C && r >= 0 && r < plan.R ? { r, c } : null;
}

function shapeOf(array, axes) {
  if (!array.full.length) return "a single number";
  const known = axes.length && axes.some(axis => !/^\d+$/.test(axis));
  return (known ? `(${axes.join(", ")}) = ` : "") + `(${array.full.join(", ")})`;
}

// The numbers of the word that is followed: at once where they are few, on demand where they are many

function drawRow(figure, name, array, axes, plan, quiet) {
  const r = followedRow(array, plan), inner = plan.columns.at(-1), n = inner === undefined ? 1 : array.shape[inner];
  const groups = plan.C / n, word = plan.words && data.tokens.length ? ` of “${data.tokens[state.token]}”` : plan.R > 1 ? " of row " + r : "";
  const few = plan.C <= 40 && !quiet;
  const holder = few ? element(figure, "div", undefined, "row") : element(figure, "details");
  if (!few) element(holder, "summary", plan.C === 1 ? "The number" + word : `The ${plan.C} numbers${word}` + (quiet ? "" : " in " + name));
  const fill = () => {
    const frame = few ? holder : element(holder, "div", undefined, "row"), table = element(frame, "table");
    const whole = Math.abs(rowSum(array, plan, r, 0, n) - 1) < 1e-4 && groups * n === plan.C && n > 1 && array.range()[0] >= 0;
    const head = element(element(table, "thead"), "tr"), taps = axes?.[inner] === "K" && n % 2 && plan.words && data.tokens.length;
    if (n > 1 && n <= 64) {
      element(head, "th", word.replace(" of ", ""));
      if (whole) element(head, "th", "sum").scope = "col";
      for (let c = 0; c < n; c++) {
        const title = element(head, "th", label(axes, inner, c * array.every[inner], array.full[inner]).replace("tap ", ""));
        title.scope = "col";
        if (taps) element(title, "small", data.tokens[state.token + c - (n >> 1)] ?? "zero");
      }
    }
    const body = element(table, "tbody");
    for (let g = 0; g < groups; g++) {
      const row = element(body, "tr"), first = array.index(entryAt(array, plan, r, g * n));
      element(row, "th", plan.columns.length > 1 ? plan.columns.slice(0, -1).map(axis => label(axes, axis, first[axis], array.full[axis])).join(", ")
        : inner !== undefined && axes[inner] === "K" ? "taps" : "").scope = "row";
      if (whole) element(row, "td", rowSum(array, plan, r, g, n).toFixed(4), "sum");
      for (let c = 0; c < n; c++) {
        const entry = entryAt(array, plan, r, g * n + c), place = array.place(array.index(entry));
        const button = element(element(row, "td"), "button", shown(array.values[entry]));
        button.type = "button";
        button.dataset.place = place;
        button.setAttribute("aria-label", entryName(name, array, axes, place) + " = " + button.textContent);
        button.setAttribute("aria-pressed", String(!quiet && state.chosen.name === name && state.chosen.place === place));
        button.addEventListener("click", () => {
          if (quiet) return;
          state.chosen = { name, place, full: String(array.full), token: state.token };
          drawStep();
          get("numbers").querySelector(`button[data-place="${place}"]`)?.focus({ preventScroll: true });
        });
      }
    }
  };
  if (few) fill();
  else holder.addEventListener("toggle", () => { if (holder.open && holder.children.length === 1) fill(); });
}

function rowSum(array, plan, r, g, n) {
  let sum = 0;
  for (let c = 0; c < n; c++) sum += array.values[entryAt(array, plan, r, g * n + c)];
  return sum;
}

// Source

function nameButton(parent, name, className = "") {
  const button = element(parent, "button", name, "name " + className + (state.name === bare(name) ? " chosen" : ""));
  button.type = "button";
  button.title = "where it is made and used";
  button.addEventListener("click", event => {
    event.stopPropagation();
    state.name = state.name === bare(name) ? null : bare(name);
    drawSources();
  });
  return button;
}

function namesIn(call) {
  const names = new Set();
  for (const number of within(call))
    for (const key of ["r", "w"]) for (const name of data.steps[number][key].keys()) names.add(name.split("[")[0]);
  return names;
}

function drawSource(parent, number, here) {
  const call = data.calls[number], lines = data.sources[call.source], step = stepNow(), names = namesIn(number);
  const box = element(parent, "div", undefined, "source " + (here ? "here" : "other")), title = element(box, "p");
  element(title, "span", `${call.name}`);
  element(title, "span", `${call.file}, line ${call.first}`);
  const scroll = element(box, "div", undefined, "scroll"), list = element(scroll, "div", undefined, "lines");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "source of " + call.name);
  const ran = new Map(), marks = { made: new Set(), used: new Set() };
  for (const n of call.steps) {
    const one = data.steps[n];
    for (let l = one.l; l <= one.e; l++) ran.set(l, [...ran.get(l) ?? [], n]);
    for (const [key, mark] of [["w", "made"], ["r", "used"]])
      if ([...one[key].keys()].some(name => bare(name) === state.name)) marks[mark].add(one.l);
  }
  const lit = here ? [step] : (step.m ?? []).map(n => data.steps[n]).filter(other => other.c === number);
  const docEnd = call.doc ? docstringEnd(lines) : 0;
  const folded = docEnd > 2 && !state.unfolded.has(call.source);
  lines.forEach((content, i) => {
    if (folded && i > 1 && i < docEnd) return;
    const l = call.first + i, row = element(list, "div", undefined, "line"), there = ran.get(l);
    const button = element(row, there ? "button" : "span", l, "no");
    if (there) {
      button.type = "button";
      button.setAttribute("aria-label", `go to line ${l}`);
      row.classList.add("ran");
      row.addEventListener("click", () => go(nearest(there)));
    }
    if (lit.some(one => l >= one.l && l <= one.e)) {
      row.classList.add(here ? "lit" : "mate");
      if (here) row.setAttribute("aria-current", "step");
    }
    for (const mark of ["made", "used"]) if (marks[mark].has(l)) row.classList.add(mark);
    const code = element(row, "code");
    writeCode(code, content || " ", i > 0 && i < docEnd, names);
    if (folded && i === 1) {
      const more = element(code, "button", ` … ${docEnd - 2} more lines`, "fold");
      more.type = "button";
      more.addEventListener("click", () => { state.unfolded.add(call.source); drawSources(); });
    }
  });
  const first = list.querySelector(".lit, .mate");
  if (first) {
    const top = first.offsetTop - scroll.clientHeight / 3;
    scroll.scrollTop = here && state.scrolled?.call === number && Math.abs(top - state.scrolled.top) < scroll.clientHeight / 3 ? state.scrolled.top : top;
    if (here) state.scrolled = { call: number, top: scroll.scrollTop };
  }
}

function docstringEnd(lines) {
  const start = lines.findIndex(content => content.trim().startsWith('"""'));
  if (start < 0) return 0;
  const only = lines[start].trim();
  if (only.length > 5 && only.endsWith('"""')) return start + 1;
  const end = lines.findIndex((content, i) => i > start && content.includes('"""'));
  return end + 1;
}

function writeCode(parent, content, quiet, names) {
  if (quiet) {
    element(parent, "span", content, "quiet");
    return;
  }
  const hash = content.search(/#(?=[^"']*$)/), end = hash < 0 ? content.length : hash;
  for (const part of content.slice(0, end).match(/"[^"]*"|'[^']*'|[A-Za-z_]\w*|[^A-Za-z_"']+|["']/g) ?? []) {
    if (names.has(part)) nameButton(parent, part).tabIndex = -1;
    else parent.append(part);
  }
  if (end < content.length) element(parent, "span", content.slice(end), "quiet");
}

const nearest = numbers => numbers.reduce((best, n) => Math.abs(n - state.step) < Math.abs(best - state.step) ? n : best);

function drawSources() {
  const step = stepNow(), call = callOf(step), parent = get("sources"), partner = call.partner;
  parent.replaceChildren();
  parent.className = partner === null ? "only" : "";
  const backward = call.name.endsWith("_backward");
  const order = partner === null ? [step.c] : backward ? [partner, step.c] : [step.c, partner];
  for (const number of order) drawSource(parent, number, number === step.c);
  const uses = get("uses");
  uses.replaceChildren();
  if (state.name === null) {
    uses.append("Click a line to go there, and a name to see where it is made ● and used ○.");
    return;
  }
  element(uses, "b", state.name);
  for (const [mark, key] of [["made", "w"], ["used", "r"]]) {
    const found = data.steps.filter(one => order.includes(one.c) && [...one[key].keys()].some(name => bare(name) === state.name));
    const seen = new Set();
    uses.append(` ${mark}: `);
    if (!found.length) uses.append(mark === "made" ? "elsewhere, and handed in" : "nowhere here");
    for (const one of found) {
      const title = `line ${one.l}`;
      if (seen.has(title)) continue;
      seen.add(title);
      const button = element(uses, "button", title, "where");
      button.type = "button";
      button.addEventListener("click", () => go(one.number));
      uses.append(" ");
    }
  }
}

function drawCrumbs() {
  const crumbs = get("crumbs");
  crumbs.replaceChildren();
  const above = [];
  for (let call = stepNow().c; callerOf.has(call); call = data.steps[above[0]].c) above.unshift(callerOf.get(call));
  for (const number of above) {
    const step = data.steps[number], button = element(crumbs, "button", `${callOf(step).name}, line ${step.l}`);
    button.type = "button";
    button.addEventListener("click", () => go(number));
    crumbs.append(" › ");
  }
  element(crumbs, "span", callOf(stepNow()).name);
}

// Stations

function buildStations() {
  const nav = get("stations"), known = name => data.stations[name.replace(/_backward$/, "")];
  const stations = data.mains.filter(n => known(data.calls[n].name) && data.calls[n].steps.length);
  const ahead = stations.filter(n => !data.calls[n].name.endsWith("_backward"));
  if (!Object.keys(data.stations).length) return;
  nav.hidden = false;
  nav.style.gridTemplateColumns = `auto repeat(${ahead.length + data.pictures.length}, minmax(86px, 1fr))`;
  element(nav, "p", "forward →");
  const add = (n, arrow) => {
    const name = data.calls[n].name, [title, what] = known(name), button = element(nav, "button", arrow + title);
    if (!arrow) element(button, "small", what);
    button.type = "button";
    button.dataset.call = n;
    if (name.startsWith("span_dynamic_conv")) button.classList.add("heart");
    button.addEventListener("click", () => go(data.calls[n].steps[0]));
    return button;
  };
  for (const n of ahead) add(n, "");
  data.pictures.forEach((picture, i) => {
    const button = element(nav, "button", picture.title);
    button.type = "button";
    button.dataset.picture = i;
    button.addEventListener("click", () => { state.picture = i; drawStep(); });
  });
  if (ahead.every(n => data.calls[n].partner === null)) return;
  element(nav, "p", "← and back").style.gridRow = 2;
  ahead.forEach((n, i) => {
    const partner = data.calls[n].partner;
    if (partner === null) return;
    const button = add(partner, "d ");
    button.style.gridRow = 2;
    button.style.gridColumn = i + 2;
  });
}

function drawStations() {
  for (const button of get("stations").querySelectorAll("button")) {
    const here = state.picture === null ? +button.dataset.call === stepNow().c : +button.dataset.picture === state.picture;
    if (!here) button.removeAttribute("aria-current");
    else {
      button.setAttribute("aria-current", "step");
      const nav = get("stations"), left = button.offsetLeft - nav.offsetLeft;
      if (left < nav.scrollLeft || left + button.offsetWidth > nav.scrollLeft + nav.clientWidth) nav.scrollLeft = left - 60;
    }
  }
}

function drawPicture() {
  const holder = get("picture"), picture = data.pictures[state.picture];
  holder.hidden = !picture;
  get("desk").hidden = Boolean(picture);
  get("desk").style.display = picture ? "none" : "";
  if (!picture || holder.dataset.shown === String(state.picture)) return;
  holder.dataset.shown = state.picture;
  holder.replaceChildren();
  const frame = element(holder, "iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.title = picture.title;
  frame.srcdoc = picture.html;
}

// The step as a whole

function refocus() {                                   // the largest number of the word that is followed, or the same place as before
  const step = stepNow(), names = [...step.w.keys()];
  if (!names.length) return;
  const name = names.includes(state.chosen.name) ? state.chosen.name : names[0];
  const info = data.infos[step.w.get(name)], array = arrays[info[0]];
  if (!array.size) return;
  const plan = layout(array, info[1]), r = followedRow(array, plan);
  if (state.chosen.full === String(array.full) && state.chosen.token === state.token) {
    state.chosen.name = name;
    return;
  }
  let best = entryAt(array, plan, r, 0);
  for (let c = 1; c < plan.C; c++) {
    const entry = entryAt(array, plan, r, c);
    if (Math.abs(array.values[entry]) > Math.abs(array.values[best])) best = entry;
  }
  state.chosen = { name, place: array.place(array.index(best)), full: String(array.full), token: state.token };
}

function drawMade() {
  const step = stepNow(), made = get("made"), says = get("says"), names = [...step.w.keys()];
  made.replaceChildren();
  made.append(`Line ${step.l} ` + (names.length ? text(step).startsWith("return") ? "returns " : "makes " : text(step).startsWith("return") ? "returns" : "makes no array"));
  names.forEach((name, i) => {
    if (i) made.append(i === names.length - 1 ? " and " : ", ");
    element(made, "b", name);
  });
  says.replaceChildren();
  for (const [name, doc] of Object.entries(step.says ?? {})) {
    const line = element(says, "p");
    element(line, "b", name);
    line.append(": " + doc);
  }
  get("error").hidden = !step.x;
  get("error").textContent = step.x ?? "";
  const plain = [];
  for (const [name, x] of Object.entries(step.n ?? {})) plain.push(`${name} = ${typeof x === "number" ? shown(x) : JSON.stringify(x)}`);
  if (step.k?.length) plain.push("keeps " + step.k.slice(0, 12).join(", ") + (step.k.length > 12 ? ", …" : ""));
  get("plain").textContent = plain.join("   ");
}

function drawCards() {
  const step = stepNow(), writes = get("writes"), reads = get("reads");
  writes.replaceChildren();
  reads.replaceChildren();
  const pairs = step.w.size > 1 || [...step.w.keys()].some(name => slopeOf(step, name));
  writes.className = "cards" + (pairs ? " pairs" : "");
  for (const [name, info] of step.w) {
    card(writes, step, name, info);
    const other = slopeOf(step, name);
    if (other) card(writes, data.steps[other.number], other.name, other.info, { jump: other.number });
  }
  for (const [name, info] of step.r) card(reads, step, name, info, { small: true });
  get("reads-title").hidden = !step.r.size;
  painters.splice(0).forEach(paint => paint());
}

function drawNumbers() {
  const step = stepNow(), parent = get("numbers"), name = state.chosen.name;
  parent.replaceChildren();
  if (!step.w.has(name)) return;
  const [number, axes] = data.infos[step.w.get(name)], array = arrays[number];
  if (array.size) drawRow(parent, name, array, axes, layout(array, axes), false);
}

function drawStep() {
  const step = stepNow(), list = path(step), at = list.indexOf(state.step), slider = get("slider");
  slider.max = list.length - 1;
  slider.value = at;
  slider.setAttribute("aria-valuetext", `line ${step.l} of ${callOf(step).name}: ${text(step)}`);
  get("count").textContent = `step ${at + 1} of ${list.length}`;
  get("back").disabled = at <= 0 && isMain(step);
  get("next").disabled = at === list.length - 1 && isMain(step);
  get("into").disabled = !step.i;
  get("out").disabled = !callerOf.has(step.c);
  get("mate").disabled = !step.m;
  drawStations();
  drawPicture();
  if (state.picture !== null) return;
  const radio = get("tokens").querySelectorAll("input")[state.token];
  if (radio) radio.checked = true;
  refocus();
  drawCrumbs();
  drawSources();
  drawMade();
  drawCards();
  drawNumbers();
  drawHand();
}

function go(number) {
  state.step = number;
  state.picture = null;
  drawStep();
  get("live").textContent = `line ${stepNow().l} of ${callOf(stepNow()).name}: ${text(stepNow())}`;
}

const moves = {
  next() {
    const list = path(stepNow()), at = list.indexOf(state.step);
    if (at < list.length - 1) go(list[at + 1]);
    else if (!isMain(stepNow())) go(callerOf.get(stepNow().c));
  },
  back() {
    const list = path(stepNow()), at = list.indexOf(state.step);
    if (at > 0) go(list[at - 1]);
    else if (!isMain(stepNow())) go(callerOf.get(stepNow().c));
  },
  into() {
    const inner = stepNow().i?.find(call => data.calls[call].steps.length);
    if (inner !== undefined) go(data.calls[inner].steps[0]);
  },
  out() {
    if (callerOf.has(stepNow().c)) go(callerOf.get(stepNow().c));
  },
  mate() {
    const mates = stepNow().m;
    if (mates) go(mates.at(-1));
  },
  station(by) {
    const calls = [...new Set(mainSteps.map(n => data.steps[n].c))], here = calls.indexOf(stepNow().c);
    const to = calls[Math.min(Math.max(here + by, 0), calls.length - 1)];
    go(data.calls[to].steps[0]);
  },
};

function buildTokens() {
  const words = data.tokens;
  if (words.length < 2) return;
  get("tokens").hidden = false;
  words.forEach((word, t) => {
    const labelled = element(get("tokens"), "label"), input = element(labelled, "input");
    element(labelled, "span", word);
    input.type = "radio";
    input.name = "token";
    input.value = t;
    input.addEventListener("change", () => { state.token = t; drawStep(); });
  });
}

function buildFind() {
  const find = get("find"), names = new Map();
  const steps = [...mainSteps.map(n => data.steps[n]), ...data.steps];
  for (const step of steps) for (const name of step.w.keys()) {
    const key = isMain(step) ? `${name} · ${callOf(step).name}` : null;
    if (key && !names.has(key)) names.set(key, step.number);
  }
  element(find, "option", "…").value = "";
  for (const [title, number] of names) element(find, "option", title).value = number;
  find.addEventListener("change", () => { if (find.value) go(+find.value); find.value = ""; });
}

function listen() {
  for (const id of ["back", "next", "into", "out", "mate"]) get(id).addEventListener("click", moves[id]);
  get("slider").addEventListener("input", () => go(path(stepNow())[+get("slider").value]));
  addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target, choosing = target.tagName === "SELECT" || target.type === "radio";
    const keys = { ArrowRight: moves.next, ArrowLeft: moves.back, ArrowDown: moves.into, ArrowUp: moves.out, d: moves.mate, D: moves.mate,
      PageDown: () => moves.station(1), PageUp: () => moves.station(-1) };
    if (choosing || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("resize", drawStep);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); drawStep(); });
}

async function start() {
  const [known, bytes] = await unpacked();
  data = known;
  data.bytes = bytes;
  index();
  readTheme();
  get("title").textContent = data.title;
  get("eyebrow").textContent = data.eyebrow;
  get("lead").textContent = data.lead;
  get("notes").textContent = data.notes.join(" ");
  get("notes").hidden = !data.notes.length;
  state.step = data.start;
  state.token = data.token;
  buildStations();
  buildTokens();
  buildFind();
  listen();
  drawStep();
  document.documentElement.dataset.ready = "";
}

start();
