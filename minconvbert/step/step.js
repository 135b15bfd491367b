let data, arrays, callerOf, mainSteps, stops, letters, sizes;
const state = { step: 0, token: 0, wanted: null, chosen: {}, name: null, picture: null, unfolded: new Set(), open: new Map() };
const MINUS = "−", NO_WORD = "no word";

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
const isBack = call => call.name.endsWith("_backward");
const placeOf = step => `line ${step.l} of ${callOf(step).name}`;
const returns = step => text(step).startsWith("return");
const isMoved = (step, name) => step.v?.[name] !== undefined;       // taken from acts, or returned as it is

function callers(step) {                               // the lines that call, from the outermost to the one that called this
  const found = [];
  for (let call = step.c; callerOf.has(call); call = data.steps[found[0]].c) found.unshift(callerOf.get(call));
  return found;
}

const chain = step => [...callers(step).map(n => data.steps[n].c), step.c];

function depth(step) {                                 // how many calls below the walk; 0 in what calls the stations, too
  const calls = chain(step), main = calls.findLastIndex(call => data.mains.includes(call));
  return main < 0 ? 0 : calls.length - 1 - main;
}

const bare = name => name.split('["').pop().replace('"]', "");
const text = step => data.sources[callOf(step).source].slice(step.l - callOf(step).first, step.e - callOf(step).first + 1)
  .map(line => line.replace(/ +# .*/, "").trim()).join(" ").replace(/\( /g, "(");
const clipped = (title, most) => title.length > most ? title.slice(0, most - 2) + " …" : title;

function index() {
  arrays = data.arrays.map(entry => new Numbers(entry, data.bytes));
  letters = new Map([...data.axes, ...data.infos.map(([array, axes]) => [array, axes])]);
  sizes = {};
  for (const [array, axes] of data.infos) axes.forEach((letter, axis) => sizes[letter] ??= arrays[array].full[axis]);
  data.calls.forEach(call => call.steps = []);
  callerOf = new Map();
  data.steps.forEach((step, number) => {
    step.number = number;
    for (const key of ["r", "w"]) step[key] = new Map(step[key]);
    callOf(step).steps.push(number);
    for (const call of step.i ?? []) callerOf.set(call, number);
  });
  mainSteps = data.steps.filter(isMain).map(step => step.number);
  stops = data.stations.length ? data.stations : data.mains.map(call => ({
    step: within(call).find(n => data.steps[n].w.size) ?? within(call)[0] }));
  for (const { step, makes } of data.stations) data.steps[step].star = makes;
}

// One step for each line that belongs to this one in the other direction; of a loop the same turn

function matesOf(step) {
  const lines = new Map(), turns = one => within(one.c).filter(n => data.steps[n].l === one.l);
  for (const n of step.m ?? []) {
    const line = `${data.steps[n].c} ${data.steps[n].l}`;
    lines.set(line, [...lines.get(line) ?? [], n]);
  }
  const turn = turns(step).indexOf(step.number), all = turns(step).length;
  return [...lines.values()].map(found => found.length === all ? found[turn] : nearest(found));
}

// The other direction: d of a name is made or read in the call that is the partner of this one

function slopeOf(step, name) {
  const { partner } = callOf(step), short = bare(name), forward = !isBack(callOf(step));
  const wanted = forward ? "d" + short : short.startsWith("d") ? short.slice(1) : null;
  if (partner === null || !wanted) return null;
  const fits = key => bare(key) === wanted || forward && /^g\[/.test(key) && /^p\[/.test(name) && bare(key) === short;
  const whole = arrays[data.infos[step.w.get(name) ?? step.r.get(name)][0]], found = [];
  for (const number of within(partner)) {
    const other = data.steps[number];
    for (const [key, info] of [...other.r, ...other.w]) if (fits(key) && arrays[data.infos[info][0]].size === whole.size)
      found.push({ name: key, info, number, made: other.w.has(key) && !isMoved(other, key) });
  }
  const made = found.filter(one => one.made), alike = made.filter(one => String(arrays[data.infos[one.info][0]].full) === String(whole.full));
  return alike.at(-1) ?? made.at(-1) ?? found[0] ?? null;
}

// Numbers and names

function shown(x) {
  if (x === undefined) return "…";
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x).replace("-", MINUS);
  return (Math.abs(x) < 1e-4 ? x.toExponential(3) : x.toPrecision(4)).replace("e+", "e").replaceAll("-", MINUS);
}

function label(axes, axis, i, n, unit = "") {          // unit: what to write before a bare number
  const letter = axes?.[axis], words = data.tokens.length;
  if (letter === "L" && words === n) return data.tokens[i];
  if (letter === "L + K - 1" && words && words < n) return data.tokens[i - (n - words >> 1)] ?? NO_WORD;
  if (letter === "H") return "head " + i;
  if (letter === "K" && n % 2) return "offset " + signed(i - (n >> 1));
  const inner = letter === "A" && n === sizes.H * sizes.Dh ? "Dh" : /^H (Dh|K)$/.exec(letter)?.[1], size = sizes[inner];
  if (size && n % size === 0) return `head ${Math.floor(i / size)}, ${label([inner], 0, i % size, size, unit && inner + " ")}`;
  return unit + i;
}

const indexOf = (array, place) => array.full.map((n, axis) => Math.floor(place / array.fullSteps[axis]) % n);

function entryName(name, array, axes, place, open = []) {
  const at = indexOf(array, place).flatMap((i, axis) => {
    const n = array.full[axis];
    return open.includes(axis) ? "…" : n === 1 && array.full.length > 1 ? [] : label(axes, axis, i, n);
  });
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

function formula(rule, at, most = 9) {
  if (typeof rule === "number") return shown(rule);
  const [kind, ...parts] = rule;
  if (kind === "at") return shown(value(rule, at));
  if (kind === "sum" || kind === "largest") {
    const n = parts[0], few = n <= most ? n : 3, factors = leaves(parts[1]);
    const term = k => captioned(bracket(parts[1], 1, [...at, k], most, true), termLabel(factors, at, k, n));
    const terms = Array.from({ length: few }, (_, k) => term(k));
    if (few < n) terms.push(`… ${n - few - 1} more terms …`, term(n - 1));
    return kind === "sum" ? added(terms) : `max(${terms.join(", ")})`;
  }
  if (SIGNS[kind]) {
    const told = parts.map((part, i) => bracket(part, rank(rule) + (i && "-/".includes(kind) ? 0.5 : 0), at, most, !i || kind === "+"));
    return kind === "+" ? added(told) : told.join(SIGNS[kind]);
  }
  if (kind === "neg") return MINUS + bracket(parts[0], 3, at, most);
  if (kind === "square") return bracket(parts[0], 4, at, most) + "²";
  return `${kind}(${parts.map(part => formula(part, at, most)).join(", ")})`;
}

function bracket(rule, above, at, most, bare = false) {
  const inner = formula(rule, at, most);
  return rank(rule) < above || inner.startsWith(MINUS) && !bare ? `(${inner})` : inner;
}

const added = terms => terms.join(" + ").replace(/ \+ (\x01[^\x02]*\x02)?−/g, ` ${MINUS} $1`);

// A term of a sum has a caption: which word, offset or head it belongs to. It is written between marks, \x01 caption
// \x02 term \x03, and `writeFormula` makes ruby text of it.

const captioned = (term, caption) => caption ? `\x01${caption}\x02${term.replace(/\x01[^\x02]*\x02|\x03/g, "")}\x03` : term;

function varying(leaf, at, k, n) {                     // the axes along which the terms go, and where term k is on them
  const array = arrays[leaf[1]], axes = letters.get(leaf[1]);
  const [here, there] = [k, k ? k - 1 : n > 1 ? 1 : k].map(i => indexOf(array, leafPlace(leaf, [...at, i])));
  const unit = i => data.letters[axes?.[i]] ? axes[i] + " " : "no. ";
  const names = i => label(axes, i, here[i], array.full[i], unit(i)), parts = i => label(axes, i, there[i], array.full[i], unit(i)).split(", ");
  return here.flatMap((_, axis) => here[axis] === there[axis] ? [] : [{ axis, name: names(axis), other: parts(axis) }]);
}

function termLabel(factors, at, k, n) {
  const found = new Set();
  for (const leaf of factors) for (const { name, other } of varying(leaf, at, k, n)) {
    const own = name.split(", ");                      // of "head 1, offset +2" only what differs from the next term
    own.filter((part, j) => part !== other[j] || own.length === 1).forEach(part => found.add(part));
  }
  const tells = part => /^no\. /.test(part) ? 0 : /^[A-Z]h? \d+$/.test(part) ? 1 : 2, most = Math.max(...[...found].map(tells));
  return [...found].filter(part => tells(part) === most).join(", ");   // a bare number says nothing beside a word
}

function writeFormula(parent, text) {
  for (const [, caption, term, plain] of text.matchAll(/\x01([^\x02]*)\x02([^\x03]*)\x03|([^\x01]+)/g)) {
    if (plain !== undefined) parent.append(plain);
    else element(element(parent, "ruby", term), "rt", caption).title = explained(caption.split(" "));
  }
}

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
    return { rule, at: indexOf(array, place) };
  const size = shape.reduce((a, n) => a * n, 1), at = shape.map(() => 0);
  for (let i = 0; i < size; i++) {                     // which entry of the part that was written to
    for (let rest = i, axis = shape.length - 1; axis >= 0; axis--) { at[axis] = rest % shape[axis]; rest = Math.floor(rest / shape[axis]); }
    if (at.reduce((sum, k, axis) => sum + k * steps[axis], origin) === place) return { rule, at };
  }
  return { untouched: true };
}

const hand = get("hand");                              // it stands behind the card whose number was chosen

function drawHand() {
  const { number, name, place, card, info } = state.chosen, figure = card !== "lead" && document.querySelector(`figure[data-key="${CSS.escape(card)}"]`);
  hand.replaceChildren();
  (figure || get("numbers")).after(hand);
  if (card === null) return;
  const title = element(hand, "h3", "By hand: the chosen number"), step = data.steps[number];
  if (step && step !== stepNow()) link(element(title, "span", ", made by "), number, placeOf(step), name);
  workOut(step, name, place, step ? step.w.get(name) : info);
}

function workOut(step, name, place, info) {            // a number that a line only moves is worked out where it comes from
  const [number, axes] = data.infos[info], array = arrays[number], result = shown(array.at(place)), found = step && ruleAt(step, name, place);
  const first = element(hand, "p", undefined, "formula");
  element(first, "span", entryName(name, array, axes, place), "hand-name");
  const alone = why => {
    first.append(" = " + result);
    return element(hand, "p", why, "why");
  };
  if (!step) return alone(isParameter(name) ? "It is a parameter of the model: training has set it." : "No line that is shown here makes it.");
  if (found?.untouched) return alone(`Line ${step.l} writes to other entries and leaves this number as it was.`);
  const inner = step.i?.findLast(call => within(call).length);
  if (!found && inner !== undefined) return link(alone("It is worked out in the call: "), within(inner)[0], "↓ into it");
  if (!found) return alone(`Line ${step.l} only moves numbers, or works them out in a function without a formula here.`);
  const { rule, at } = found;
  if (rule[0] === "at") {
    const from = leafPlace(rule, at), [, maker, there] = step.o?.[rule[2]] ?? [];
    const why = alone(`${rule[2] ? `It is ${entryName(rule[2], arrays[rule[1]], letters.get(rule[1]), from)}. ` : ""}Line ${step.l} computes nothing; it moves the number to its place.`);
    if (maker === undefined || maker === null || arrays[rule[1]].size !== arrays[data.infos[data.steps[maker].w.get(there)][0]].size) return why;
    link(element(hand, "p", undefined, "why"), maker, `Made by ${placeOf(data.steps[maker])}:`, there);
    return workOut(data.steps[maker], there, from, data.steps[maker].w.get(there));
  }
  if (leaves(rule).some(leaf => arrays[leaf[1]].sampled) && !Number.isFinite(value(rule, at)))
    return alone("Not all of its terms are on this page, because it holds only samples of the large arrays.");
  const whole = formula(rule, at), lines = whole === result ? [] : [whole];
  if (SIGNS[rule[0]]) {
    const parts = rule.slice(1).map(part => shown(value(part, at)));
    const short = rule[0] === "+" ? added(parts) : parts.map((part, i) => part.startsWith(MINUS) && i ? `(${part})` : part).join(SIGNS[rule[0]]);
    if (short !== whole) lines.push(short);
  }
  lines.push(result);
  first.append(" = ");
  lines.forEach((line, i) => writeFormula(i ? element(hand, "p", "= ", "formula") : first, line));
  hand.lastChild.classList.add("result");
  const units = [...new Set([...hand.querySelectorAll("rt")].map(caption => caption.textContent.split(" ")[0]))].filter(unit => data.letters[unit] || unit === "no.");
  if (units.length) element(hand, "p", `Under each term is its place along ${units.map(unit => data.letters[unit] ? `${unit}, ${data.letters[unit]}` : "the sum, from 0").join("; ")}.`, "note");
  if (sharesATotal(rule)) {
    const total = shown(value(rule[2], at));
    element(hand, "p", `Why this row sums to 1: each of its ${rule[2][1]} numbers is one of these terms divided by their sum, ${total}.`, "why");
  }
  const sum = firstSum(rule, at);
  if (sum) drawTerms(hand, sum);
  else if (!JSON.stringify(rule).includes('"largest"')) {
    const factors = new Set(leaves(rule).filter(leaf => leaf[2]).map(leaf => entryName(leaf[2], arrays[leaf[1]], letters.get(leaf[1]), leafPlace(leaf, at)) + " = " + shown(value(leaf, at))));
    element(hand, "p", "The numbers are " + [...factors].join("; ") + ".", "why");
  }
}

function drawTerms(box, { rule: [, n, term], at }) {
  const factors = [...new Map(leaves(term).map(leaf => [String(leaf), leaf])).values()];
  unfolding(box, "terms", `All ${n} terms of the sum, one by one`, n <= 12, details => {
    const frame = element(details, "div", undefined, "terms"), table = element(frame, "table"), head = element(element(table, "thead"), "tr");
    const title = text => element(head, "th", text).scope = "col";
    for (const leaf of factors) {
      title(leaf[2]);
      title(entryName("", arrays[leaf[1]], letters.get(leaf[1]), leafPlace(leaf, [...at, 0]), varying(leaf, at, 0, n).map(one => one.axis)));
    }
    ["term", "sum so far"].forEach(title);
    const body = element(table, "tbody");
    for (let k = 0, sum = 0; k < n; k++) {
      const row = element(body, "tr"), here = [...at, k], x = value(term, here);
      sum += x;
      for (const leaf of factors) {
        const array = arrays[leaf[1]], place = leafPlace(leaf, here);
        element(row, "td", varying(leaf, at, k, n).map(one => one.name).join(", "), "of");
        element(row, "td", shown(array.at(place)));
      }
      element(row, "td", shown(x));
      element(row, "td", shown(sum));
    }
    if (factors.some(leaf => leaf[2].startsWith("padded "))) element(details, "p", "Padded means that zeros stand before the first word and after the last.", "note");
  });
}

// What is unfolded stays so when the page is drawn again, on another step, too

function unfolding(parent, key, title, first, fill) {
  const details = element(parent, "details"), draw = () => { if (details.open && details.children.length === 1) fill(details); };
  element(details, "summary", title);
  details.open = state.open.get(key) ?? first;
  draw();
  details.addEventListener("toggle", () => {
    if (details.open !== (state.open.get(key) ?? first)) state.open.set(key, details.open);
    draw();
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

function columnTitles({ array, axes, plan }) {          // of every column: its head, and its offset or its word
  return Array.from({ length: plan.C }, (_, c) => {
    const at = array.index(entryAt(array, plan, 0, c)), names = plan.columns.map(axis => label(axes, axis, at[axis], array.full[axis]));
    const own = names.pop() ?? "", cut = own.lastIndexOf(", "), word = axes?.[plan.columns.at(-1)] === "L" && data.tokens.includes(own);
    if (word) return { panel: names.join(", "), own, word };
    const [, title = ""] = /offset (.*)/.exec(own) ?? [];
    return { panel: [...names, ...cut < 0 ? [] : [own.slice(0, cut)]].join(", "), own: title, offset: +title.replace(MINUS, "-") };
  });
}

const MAP_FONT = "11px system-ui, 'DejaVu Sans', sans-serif";

function drawMap(canvas, one) {
  const { array, plan } = one, width = canvas.parentElement.clientWidth || 300, pixels = devicePixelRatio || 1, context = canvas.getContext("2d");
  const names = plan.words && data.tokens.length === array.shape[plan.rows.at(-1)] && plan.rows.length === 1;
  const tall = Math.min(plan.R > 16 ? 220 / plan.R : 16, 16), labels = names && tall >= 11, titles = columnTitles(one);
  context.font = MAP_FONT;
  const widest = words => Math.max(0, ...words.map(word => context.measureText(word).width));
  const gutter = labels ? Math.min(width / 4, 8 + widest(data.tokens)) : 0, wide = Math.min(30, (width - gutter) / plan.C);
  const inner = titles.findIndex(title => title.panel !== titles[0].panel), panels = inner > 0 && inner * wide > 40 ? 15 : 0;
  const upright = titles[0].word, every = Math.ceil((upright ? 11 : 18) / wide), few = titles.some(title => title.own) && (upright ? every === 1 : every < 5);
  const head = panels + (few ? upright ? Math.min(70, widest(titles.map(title => title.own))) + 6 : 14 : 0), height = plan.R * tall;
  canvas.width = Math.round(width * pixels);
  canvas.height = Math.round((height + head) * pixels);
  canvas.style.height = height + head + "px";
  context.scale(pixels, pixels);
  context.translate(gutter, head);
  paintCells(context, one, wide, tall);
  context.font = MAP_FONT;
  context.textBaseline = "middle";
  context.fillStyle = colour("faint");
  context.strokeStyle = colour("ink");
  for (let c = 0; inner > 0 && c < plan.C; c += inner) {             // heads stand apart
    if (c) line(context, c * wide, -head, c * wide, height);
    if (panels) context.fillText(titles[c].panel, c * wide + 3, 7 - head);
  }
  const drawn = titles.map(({ own, offset = 0 }) => few && own && offset % every === 0);
  const edge = c => every === 1 || upright ? 0 : [titles[c - 1], titles[c + 1]].map(next => next?.panel !== titles[c].panel).indexOf(true) + 1;
  titles.forEach(({ own }, c) => { if (drawn[c]) writeTitle(context, own, (c + [0.5, 0.05, 0.95][edge(c)]) * wide, ["center", "left", "right"][edge(c)], upright); });
  const sentence = array.shape[plan.rows.at(-1)];
  for (let r = sentence; r < plan.R; r += sentence) line(context, 0, r * tall, plan.C * wide, r * tall);
  context.strokeStyle = colour("rule");
  context.strokeRect(0.5, 0.5, plan.C * wide - 1, height - 1);
  context.textAlign = "right";
  if (labels) data.tokens.forEach((word, t) => {
    context.fillStyle = colour(t === state.token ? "ink" : "faint");
    context.font = (t === state.token ? "700 " : "") + MAP_FONT;
    context.fillText(word, -5, (t + 0.5) * tall, gutter - 5);
  });
  context.strokeStyle = colour("ink");
  if (plan.words && plan.rows.length === 1) {
    context.lineWidth = 1.5;
    context.strokeRect(0.75, followedRow(array, plan) * tall + 0.75, plan.C * wide - 1.5, tall - 1.5);
  }
  const chosen = cellOf(one);
  if (chosen) {
    context.lineWidth = 2;
    context.strokeRect(chosen.c * wide - 1, chosen.r * tall - 1, Math.max(wide, 3) + 2, Math.max(tall, 3) + 2);
  }
  return { gutter, wide, tall, head, titles: titles.map(({ own }, c) => drawn[c] ? own : "") };
}

function writeTitle(context, title, x, align, upright) {            // above a column; a word stands on its side
  context.save();
  context.translate(x, upright ? -4 : -7);
  if (upright) context.rotate(-Math.PI / 2);
  context.textAlign = upright ? "left" : align;
  context.fillText(title, 0, 0, upright ? 66 : undefined);
  context.restore();
}

function paintCells(context, { array, plan }, wide, tall) {
  const image = context.createImageData(plan.C, plan.R), { scale } = colours(array), small = document.createElement("canvas");
  for (let r = 0, i = 0; r < plan.R; r++)
    for (let c = 0; c < plan.C; c++) {
      const [red, green, blue] = scale(array.values[entryAt(array, plan, r, c)]) ?? [128, 128, 128];
      image.data[i++] = red; image.data[i++] = green; image.data[i++] = blue; image.data[i++] = 255;
    }
  small.width = plan.C;
  small.height = plan.R;
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = Math.min(tall, wide) * devicePixelRatio < 1;
  context.drawImage(small, 0, 0, plan.C * wide, plan.R * tall);
  context.lineWidth = 1;
  context.strokeStyle = colour("paper");
  if (wide >= 7 && tall >= 7)
    for (let c = 1; c < plan.C; c++) line(context, c * wide, 0, c * wide, plan.R * tall);
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function card(parent, step, name, info, key) {
  const [number, axes, acts, golden] = data.infos[info], array = arrays[number], written = key !== "reads" && step.w.has(name);
  const figure = element(parent, "figure", undefined, "card"), caption = element(figure, "figcaption"), here = step === stepNow();
  figure.dataset.name = name;
  figure.dataset.key = key === "writes" && name === lead(step) ? "lead" : `${key} ${name}`;
  nameButton(caption, name, "title");
  element(caption, "span", " " + shapeOf(array, axes), "shape").title = explained(axes.join(" ").split(" "));
  const slope = slopeOf(step, name);
  if (slope && isBack(callOf(step)) && key !== "reads")
    element(caption, "small", `gradient of ${slope.name}: how the loss changes with each of its numbers`);
  const about = element(caption, "small", "");
  if (written && !here) link(about, step.number, "made by " + placeOf(step), name);
  else if (!written || isMoved(step, name)) tellOrigin(about, step, written ? step.v[name] : name);
  if (slope && key === "reads") {
    about.append("; ");
    link(about, slope.number, `${isBack(callOf(step)) ? "forward" : "gradient"} ${slope.name}: line ${data.steps[slope.number].l}`, slope.name);
  }
  if (!about.textContent) about.remove();
  if (acts) dotted(element(caption, "small", "the backward finds it in "), `acts["${acts}"]`);
  else if (golden) dotted(element(caption, "small", "checked in ports as "), golden);
  if (array.sampled) element(caption, "small", "Too large for the page: " + array.every.map((n, axis) =>
    n > 1 ? `one in ${n} along axis ${/\D/.test(axes[axis]) ? axes[axis] : axis}` : "").filter(part => part).join(" and ") + " is shown.");
  if (!array.size) {
    element(figure, "p", "It has no entries.", "tip");
    return;
  }
  const one = { key: figure.dataset.key, name, array, axes, info, plan: layout(array, axes), source: sourceOf(step, name, written) };
  if (array.size > 1) drawPlane(figure, one);
  if (one.key !== "lead") drawRow(figure, one);
}

// Who chooses a number sees how it comes about: `source` is the step that made it, and its name there

function sourceOf(step, name, written) {
  const [, number, there] = written ? [, step.number, name] : step.o[name];
  return number === null ? { number, name } : { number, name: there };
}

const isChosen = ({ source }, place) => state.chosen.number === source.number && state.chosen.name === source.name && state.chosen.place === place;

function choose(chosen, selector) {                    // what was clicked keeps its place on the screen
  const find = () => document.querySelector(`[data-key="${CSS.escape(chosen.card)}"] ${selector}`), was = find().getBoundingClientRect().top;
  state.chosen = { ...chosen, token: state.token, full: String(arrays[data.infos[chosen.info][0]].full) };
  drawStep();
  find()?.focus({ preventScroll: true });
  scrollBy(0, (find()?.getBoundingClientRect().top ?? was) - was);
}

function drawPlane(figure, one) {                      // the map, its scale, and what is under the pointer
  const { name, array, axes, plan } = one, canvas = element(figure, "canvas"), [low, high] = array.range(), follows = plan.words && plan.rows.length === 1;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${name}, ${plan.R} by ${plan.C}, from ${shown(low)} to ${shown(high)}`);
  const placeAt = ({ r, c }) => array.place(array.index(entryAt(array, plan, r, c)));
  painters.push(() => canvas.geometry = drawMap(canvas, one));
  const scale = element(figure, "div", undefined, "range"), { both, top } = colours(array);
  element(scale, "span", shown(both ? -top : 0));
  element(scale, "i", undefined, both ? "both" : "positive");
  element(scale, "span", shown(top));
  const tip = element(scale, "span", "", "tip");
  canvas.addEventListener("pointermove", event => {
    const at = cellUnder(event, canvas, plan);
    tip.textContent = !at ? "" : at.c === null ? `follow “${data.tokens[at.r]}”`
      : entryName(name, array, axes, placeAt(at)) + " = " + shown(array.at(placeAt(at)));
  });
  canvas.addEventListener("pointerleave", () => tip.textContent = "");
  canvas.addEventListener("click", event => {
    const at = cellUnder(event, canvas, plan);
    if (!at) return;
    if (follows) state.token = at.r;
    if (at.c === null) refocus();
    choose(at.c === null ? state.chosen : { ...one.source, place: placeAt(at), info: one.info, card: one.key }, "canvas");
  });
}

const isParameter = name => name.startsWith('p["');

function tellOrigin(parent, step, name) {              // of an array that a line reads
  const [how, number, there] = step.o[name], inside = how === "made", parameter = isParameter(name);
  const title = inside ? "" : parameter ? "a parameter of the model" : how === "taken" ? "taken from acts" : "handed in";
  const from = number ?? (how === "handed" && !parameter ? callerOf.get(step.c) : undefined);
  if (from === undefined) parent.append(title);
  else if (inside) link(parent, from, `made by line ${data.steps[from].l}`, there);
  else link(parent, from, `${title} (${number === null ? "" : "made "}by ${placeOf(data.steps[from])})`, there);
}

function link(parent, number, title, name) {           // name: the array that one goes there to see
  const button = element(parent, "button", title, "where");
  button.type = "button";
  button.addEventListener("click", () => go(number, name));
  return button;
}

const painters = [];                                   // maps are painted when all of them have their place

function dotted(parent, name) {                        // a long name may be broken behind a dot
  name.split(/(?<=\.)/).forEach(part => {
    parent.append(part);
    element(parent, "wbr");
  });
}

function cellUnder(event, canvas, plan) {                // c is null on the word of a row
  const { gutter, wide, tall, head } = canvas.geometry, box = canvas.getBoundingClientRect();
  const c = Math.floor((event.clientX - box.left - gutter) / wide), r = Math.floor((event.clientY - box.top - head) / tall);
  return r >= 0 && r < plan.R && c < plan.C ? { r, c: c < 0 ? null : c } : null;
}

function shapeOf(array, axes) {
  if (!array.full.length) return "a single number";
  const known = axes.length && axes.some(axis => !/^\d+$/.test(axis));
  return (known ? `(${axes.join(", ")}) = ` : "") + `(${array.full.join(", ")})`;
}

// The numbers of the word that is followed: at once where they are few, on demand where they are many

function drawRow(figure, one) {
  const { key, name, plan } = one, first = key === "lead";
  one.word = plan.words && data.tokens.length ? ` of “${data.tokens[state.token]}”` : plan.R > 1 ? " of row " + shownRow(one) : "";
  if (plan.C <= 40 && first) fillRow(element(figure, "div", undefined, "row"), one);
  else unfolding(figure, key, plan.C === 1 ? "The number" + one.word : `The ${plan.C} numbers${one.word}` + (first ? " in " + name : ""), false,
    details => fillRow(element(details, "div", undefined, "row"), one));
}

function cellOf(one) {                                 // where the chosen number is on a map
  const { array, plan } = one;
  if (isChosen(one, state.chosen.place)) for (let r = 0; r < plan.R; r++) for (let c = 0; c < plan.C; c++)
    if (isChosen(one, array.place(array.index(entryAt(array, plan, r, c))))) return { r, c };
}

const shownRow = one => one.plan.words ? followedRow(one.array, one.plan) : cellOf(one)?.r ?? 0;

// One line for each head, or, where that is wider than its place, one line for each number of a head

function fillRow(frame, one, upright = false) {
  const { array, axes, plan, word } = one, r = shownRow(one), inner = plan.columns.at(-1);
  const n = inner === undefined ? 1 : array.shape[inner], groups = plan.C / n;
  const whole = Math.abs(rowSum(array, plan, r, 0, n) - 1) < 1e-4 && groups * n === plan.C && n > 1 && array.range()[0] >= 0;
  const offsets = axes?.[inner] === "K" && n % 2 === 1, near = offsets && plan.words && data.tokens.length;
  const titles = n === 1 ? [""] : Array.from({ length: n }, (_, c) => label(axes, inner, c * array.every[inner], array.full[inner]).replace(offsets ? "offset " : "", ""));
  const groupTitle = g => {
    const at = array.index(entryAt(array, plan, r, g * n));
    return plan.columns.length > 1 ? plan.columns.slice(0, -1).map(axis => label(axes, axis, at[axis], array.full[axis])).join(", ") : "";
  };
  const rows = [[{ head: word.replace(" of ", ""), small: offsets ? "offset" : undefined }, ...whole ? [{ head: "sum" }] : [],
    ...titles.map((title, c) => ({ head: title, small: near ? data.tokens[state.token + c - (n >> 1)] ?? NO_WORD : undefined }))]];
  for (let g = 0; g < groups; g++)
    rows.push([{ head: groupTitle(g) }, ...whole ? [{ sum: rowSum(array, plan, r, g, n).toFixed(4) }] : [],
      ...titles.map((_, c) => ({ entry: entryAt(array, plan, r, g * n + c) }))]);
  const table = element(frame, "table"), lines = upright ? rows[0].map((_, i) => rows.map(row => row[i])) : rows;
  lines.forEach((cells, i) => {
    const line = element(i ? table.tBodies[0] ?? element(table, "tbody") : element(table, "thead"), "tr");
    cells.forEach(cell => drawCell(line, one, cell, i ? "row" : "col"));
  });
  if (!upright && table.scrollWidth > frame.clientWidth) table.className = "tight";
  if (!upright && n <= 12 && groups <= 4 && table.scrollWidth > frame.clientWidth) {
    table.remove();
    fillRow(frame, one, true);
    return;
  }
  if (near) element(frame, "p", `The offset counts words from “${data.tokens[state.token]}”: −1 is the word before, +1 the word after.`, "note");
  const pressed = frame.querySelector("[aria-pressed=true]")?.parentElement, first = table.rows[0].cells[0].offsetWidth;
  if (pressed && (pressed.offsetLeft + pressed.offsetWidth > frame.scrollLeft + frame.clientWidth || pressed.offsetLeft < frame.scrollLeft + first))
    frame.scrollLeft = pressed.offsetLeft - frame.clientWidth / 2;
}

function drawCell(line, one, { head, small, sum, entry }, scope) {
  if (head !== undefined) {
    const title = element(line, head ? "th" : "td", head);
    if (head) title.scope = scope;
    if (small !== undefined) element(title, "small", small);
    return;
  }
  if (sum !== undefined) {
    element(line, "td", sum, "sum");
    return;
  }
  const { key, name, array, axes, info, source } = one, place = array.place(array.index(entry)), button = element(element(line, "td"), "button", shown(array.values[entry]));
  button.type = "button";
  button.dataset.place = place;
  button.setAttribute("aria-label", entryName(name, array, axes, place) + " = " + button.textContent);
  button.setAttribute("aria-pressed", String(isChosen(one, place)));
  button.addEventListener("click", () => choose({ ...source, place, info, card: key }, `[data-place="${place}"]`));
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
  const ran = new Map(), marks = marksIn(number);
  for (const n of call.steps) for (let l = data.steps[n].l; l <= data.steps[n].e; l++) ran.set(l, [...ran.get(l) ?? [], n]);
  const lit = here ? [step] : [], mates = (step.m ?? []).map(n => data.steps[n]).filter(other => other.c === number);
  const covers = (some, l) => some.some(one => l >= one.l && l <= one.e);
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
      row.addEventListener("click", event => {
        go(nearest(there));
        if (!event.detail) get("sources").querySelector(".lit .no")?.focus({ preventScroll: true });
      });
    }
    if (covers(lit, l)) {
      row.classList.add("lit");
      row.setAttribute("aria-current", "step");
    } else if (covers(mates, l)) row.classList.add("mate");
    for (const { mark, lines } of marks) if (lines.has(l)) row.classList.add(mark);
    const code = element(row, "code"), indent = content.search(/\S|$/) + 4;
    code.style.paddingLeft = indent + "ch";            // what does not fit goes on in the next row, further in
    code.style.textIndent = -indent + "ch";
    writeCode(code, content.replace(/(\S) {3,}#/, "$1  #") || " ", i > 0 && i < docEnd, names);
    if (folded && i === 1) {
      const more = element(code, "button", ` … ${docEnd - 2} more lines`, "fold");
      more.type = "button";
      more.addEventListener("click", () => { state.unfolded.add(call.source); drawSources(); });
    }
  });
  const marked = list.querySelectorAll(here ? ".lit" : ".mate"), [first, last] = [marked[0], [...marked].at(-1)];
  if (first) {
    const height = last.offsetTop + last.offsetHeight - first.offsetTop;
    if (height + 12 > scroll.clientHeight) scroll.style.maxHeight = height + 24 + "px";
    const lead = Math.max(6, Math.min(scroll.clientHeight / 3, 80, scroll.clientHeight - height - 6));
    const fits = top => first.offsetTop >= top && last.offsetTop + last.offsetHeight <= top + scroll.clientHeight;
    const before = state.scrolled?.call === number ? state.scrolled.top : -1;
    scroll.scrollTop = here && before >= 0 && fits(before) ? before : first.offsetTop - lead;
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
  drawUses(order);
}

// What the lines of a call do with the chosen name: a line of many turns is named once

const SIGNS_OF_USE = { made: "●", taken: "◐", used: "○" }, TOLD = { made: "made", taken: "taken from acts", used: "used" };
const isCalled = key => bare(key) === state.name || key.split("[")[0] === state.name;

function marksIn(call) {
  const marks = Object.keys(SIGNS_OF_USE).map(mark => ({ mark, lines: new Map() })), [made, taken, used] = marks;
  for (const step of within(call).map(n => data.steps[n])) {
    const note = ({ lines }) => { if (!lines.has(step.l)) lines.set(step.l, step.number); };
    const writes = returns(step) ? [] : [...step.w.keys()].filter(isCalled), fromActs = writes.filter(key => isMoved(step, key));
    if (fromActs.length) note(taken);
    else if (writes.length) note(made);
    if ([...step.r.keys()].some(key => isCalled(key) && !fromActs.some(name => step.v[name] === key))) note(used);
  }
  return marks.filter(({ lines }) => lines.size);
}

function givenTo(call) {                               // whether the chosen name is there before any line makes it
  const first = within(call).map(n => data.steps[n]).find(step => [...step.r.keys(), ...step.w.keys()].some(isCalled));
  return Boolean(first) && [...first.r.keys()].some(key => isCalled(key) && first.o[key][0] === "handed");
}

function drawUses(calls) {
  const uses = get("uses");
  uses.replaceChildren();
  if (state.name === null) {
    uses.append(`Click a name: ${Object.keys(SIGNS_OF_USE).map(mark => `${SIGNS_OF_USE[mark]} ${TOLD[mark]}`).join(", ")}.`);
    return;
  }
  element(uses, "b", state.name);
  for (const call of calls) {
    const line = element(uses, "p"), marks = marksIn(call);
    element(line, "span", `in ${data.calls[call].name}: `);
    if (!marks.length) line.append("does not occur");
    if (givenTo(call)) line.append("handed in, ");
    marks.forEach(({ mark, lines }, i) => {
      line.append(`${i ? ", " : ""}${SIGNS_OF_USE[mark]} ${TOLD[mark]} in ${lines.size > 1 ? "lines" : "line"} `);
      [...lines].forEach(([l, number], j) => {
        if (j) line.append(", ");
        link(line, number, l);
      });
    });
  }
}

function drawCrumbs() {
  const crumbs = get("crumbs"), step = stepNow(), name = callOf(step).name, lines = callers(step);
  crumbs.replaceChildren();
  for (const number of lines) {
    const button = link(crumbs, number, callOf(data.steps[number]).name);
    button.title = "back to " + placeOf(data.steps[number]);
    crumbs.append(" › ");
  }
  element(crumbs, "b", name);
  crumbs.scrollLeft = crumbs.scrollWidth;              // on a narrow screen the outer calls are to the left
  const inside = get("inside"), deep = depth(step);
  inside.replaceChildren();
  inside.hidden = isMain(step) && !opensLate(step);
  if (isMain(step)) inside.append("The page opens here, at the first line that makes an array. ← goes to the lines before it.");
  else if (deep) {
    inside.append(`You are inside ${name}, ${deep === 1 ? "one call" : deep + " calls"} deep: `);
    link(inside, lines.at(-1), "↑ out to " + placeOf(data.steps[lines.at(-1)]));
  } else inside.append(`You are in ${name}, which calls the stations: ↓ goes back into them.`);
}

const opensLate = ({ number }) => number === data.start && number !== mainSteps[0] && number === mainSteps.find(n => data.steps[n].w.size);

// Stations

function buildStations() {
  const nav = get("stations"), ahead = data.stations.filter(station => !station.back);
  nav.hidden = !ahead.length;
  nav.style.gridTemplateColumns = `var(--names) repeat(${ahead.length}, minmax(var(--least), 1fr))`;
  const row = (title, stations, way) => {
    if (stations.length) element(nav, "p", title).style.gridRow = way;
    for (const station of stations) {
      const button = station.button = element(nav, "button", station.title);
      if (station.about && !station.back) element(button, "small", station.about, "about");
      if (station.makes) {
        const small = element(button, "small");
        element(small, "span", "makes ");
        small.append(station.makes === "result" ? "the loss" : bare(station.makes));
      }
      if (station.back) button.setAttribute("aria-label", `backward of ${station.title}: ${button.lastChild.textContent}`);
      if (data.calls[station.call].name.startsWith("span_dynamic_conv")) button.classList.add("heart");
      button.type = "button";
      button.style.gridRow = way;
      button.style.gridColumn = 2 + ahead.findIndex(one => one === station || !one.html && data.calls[one.call].partner === station.call);
      button.addEventListener("click", () => visit(station));
    }
  };
  row("forward →", ahead, 1);
  row("← backward", data.stations.filter(station => station.back), 2);
}

function visit(station) {
  go(station.step, station.makes);
  if (!station.html) return;
  state.picture = station;
  drawStep();
}

function drawStations() {
  const nav = get("stations"), step = stepNow(), call = chain(step).findLast(one => data.mains.includes(one));
  for (const station of data.stations) {
    const { button } = station, here = state.picture ? station === state.picture : !station.html && station.call === call;
    if (!here) button.removeAttribute("aria-current");
    else {
      button.setAttribute("aria-current", "step");
      const left = button.offsetLeft - nav.offsetLeft, margin = nav.firstChild.offsetWidth + 8;
      if (left < nav.scrollLeft + margin || left + button.offsetWidth > nav.scrollLeft + nav.clientWidth) nav.scrollLeft = left - margin;
    }
  }
}

function drawPicture() {
  const holder = get("picture"), { picture } = state;
  holder.hidden = !picture;
  get("desk").hidden = Boolean(picture);
  get("desk").style.display = picture ? "none" : "";
  if (!picture || holder.dataset.shown === picture.title) return;
  holder.dataset.shown = picture.title;
  holder.replaceChildren();
  const frame = element(holder, "iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.title = picture.title;
  frame.srcdoc = picture.html;
}

// The step as a whole

const lead = step => [state.wanted, step.star, ...step.w.keys()].find(name => step.w.has(name));
const madeBy = step => [...new Set([lead(step), ...step.w.keys()])].filter(name => step.w.has(name));

function refocus() {                                   // the largest number of the word that is followed, or the same place as before
  const step = stepNow(), name = lead(step), info = step.w.get(name), array = info === undefined ? null : arrays[data.infos[info][0]];
  const { full, token } = state.chosen;
  if (!array?.size) {
    state.chosen.card = null;
    return;
  }
  Object.assign(state.chosen, { number: step.number, name, info, card: "lead", full: String(array.full), token: state.token });
  if (state.chosen.full === full && state.token === token) return;
  const plan = layout(array, data.infos[info][1]), r = followedRow(array, plan);
  let best = entryAt(array, plan, r, 0);
  for (let c = 1; c < plan.C; c++) {
    const entry = entryAt(array, plan, r, c);
    if (Math.abs(array.values[entry]) > Math.abs(array.values[best])) best = entry;
  }
  state.chosen.place = array.place(array.index(best));
}

const listed = names => names.slice(0, 12).join(", ") + (names.length > 12 ? ", …" : "");

function drawMade() {
  const step = stepNow(), made = get("made"), says = get("says"), names = madeBy(step);
  made.replaceChildren();
  const taken = names.length && names.every(name => isMoved(step, name));
  made.append(`Line ${step.l} ` + (returns(step) ? "returns " : taken ? "takes from acts " : names.length ? "makes " : step.k ? "gathers " + listed(step.k) : "makes no array"));
  names.forEach((name, i) => {
    if (i) made.append(i === names.length - 1 ? " and " : ", ");
    element(made, "b", name);
  });
  const mates = matesOf(step), box = get("mates"), call = callOf(step);
  box.replaceChildren();
  if (mates.length) {
    box.append(`${isBack(call) ? "Forward" : "Backward"} of this line: `);
    mates.slice(0, 3).forEach((n, i) => {
      if (i) box.append(" and ");
      element(link(box, n, placeOf(data.steps[n]) + ": "), "code", clipped(text(data.steps[n]), 100));
    });
  } else if (step.w.size && call.partner !== null) box.append(`No line of the ${isBack(call) ? "forward" : "backward"} belongs to this line alone.`);
  says.replaceChildren();
  for (const [name, doc] of Object.entries(step.says ?? {})) {
    const line = element(says, "p"), inner = step.i?.find(n => data.calls[n].name === name && within(n).length);
    if (inner === undefined) element(line, "b", name);
    else link(line, within(inner)[0], "↓ " + name).setAttribute("aria-label", "into " + name);
    line.append(": " + doc);
  }
  get("error").hidden = !step.x;
  get("error").textContent = step.x ?? "";
  const plain = [];
  for (const [name, x] of Object.entries(step.n ?? {})) plain.push(`${name} = ${typeof x === "number" ? shown(x) : JSON.stringify(x)}`);
  if (step.k && names.length) plain.push("keeps " + listed(step.k));
  get("plain").textContent = plain.join("   ");
}

function drawCards() {
  const step = stepNow(), writes = get("writes"), reads = get("reads");
  writes.replaceChildren();
  reads.replaceChildren();
  const pairs = step.w.size > 1 || [...step.w.keys()].some(name => slopeOf(step, name));
  writes.className = "cards" + (pairs ? " pairs" : "");
  for (const name of madeBy(step)) {
    card(writes, step, name, step.w.get(name), "writes");
    const other = slopeOf(step, name);
    if (other) card(writes, data.steps[other.number], other.name, other.info, "partner");
  }
  for (const [name, info] of step.r) card(reads, step, name, info, "reads");
  get("reads-title").hidden = !step.r.size;
  painters.splice(0).forEach(paint => paint());
}

function drawNumbers() {                               // of the array that one came to see, as wide as the page allows
  const step = stepNow(), parent = get("numbers"), name = lead(step), info = step.w.get(name);
  parent.replaceChildren();
  if (info === undefined) return;
  const [number, axes] = data.infos[info], array = arrays[number];
  if (array.size) drawRow(parent, { key: "lead", name, array, axes, info, plan: layout(array, axes), source: sourceOf(step, name, true) });
}

function drawStep() {
  const step = stepNow(), list = path(step), at = list.indexOf(state.step), slider = get("slider");
  slider.max = list.length - 1;
  slider.value = at;
  slider.setAttribute("aria-valuetext", `line ${step.l} of ${callOf(step).name}: ${text(step)}`);
  const into = innerOf(step);
  slider.setAttribute("aria-label", isMain(step) ? "Step" : "Step in " + callOf(step).name);
  get("count").textContent = `step ${at + 1} of ${list.length}` + (isMain(step) ? "" : ` in ${callOf(step).name}`);
  get("back").disabled = at <= 0 && isMain(step);
  get("next").disabled = at === list.length - 1 && isMain(step);
  get("into").disabled = into === undefined;
  get("into").setAttribute("aria-label", into === undefined ? "into the call: this line makes none" : "into " + callOf(data.steps[into]).name);
  get("out").disabled = !callerOf.has(step.c);
  get("mate").disabled = !step.m;
  get("mate").querySelector("span").textContent = isBack(callOf(step)) ? "forward" : "backward";
  get("mate").setAttribute("aria-label", `to the ${isBack(callOf(step)) ? "forward" : "backward"} of this line`);
  get("mate").hidden = data.calls.every(call => call.partner === null) && data.steps.every(one => !one.m);
  drawStations();
  drawPicture();
  if (state.picture) return;
  const radio = get("tokens").querySelectorAll("input")[state.token];
  if (radio) radio.checked = true;
  drawCrumbs();
  drawSources();
  drawMade();
  drawCards();
  drawNumbers();
  drawHand();
}

function go(number, name = null) {                     // name: the array that one goes there to see
  state.step = number;
  state.wanted = name;
  state.picture = null;
  refocus();
  drawStep();
  reveal();
  const step = stepNow(), deep = depth(step);
  get("live").textContent = `line ${step.l} of ${callOf(step).name}${deep ? `, ${deep} deep` : ""}: ${text(step)}`;
}

function reveal() {                                    // the line and what it made, both below the bar
  const top = document.querySelector(".bar").getBoundingClientRect().bottom, picture = get("writes").querySelector("canvas");
  const wanted = [...get("sources").querySelectorAll(".lit"), get("made"), ...picture ? [picture] : []].map(one => one.getBoundingClientRect());
  const over = Math.min(...wanted.map(box => box.top)) < top, below = Math.max(...wanted.map(box => box.bottom)) > innerHeight;
  if (over || below) scrollTo(0, get("desk").getBoundingClientRect().top + scrollY - document.querySelector(".bar").offsetHeight - 6);
}

const innerOf = step => state.came !== undefined && step.i?.includes(data.steps[state.came].c) ? state.came
  : step.i?.map(call => within(call)[0]).find(n => n !== undefined);

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
    const inner = innerOf(stepNow());
    if (inner !== undefined) go(inner);
  },
  out() {
    if (!callerOf.has(stepNow().c)) return;
    state.came = depth(stepNow()) ? undefined : state.step;            // who looks at the caller comes back to the same line
    go(callerOf.get(stepNow().c));
  },
  mate() {
    const mates = matesOf(stepNow()), from = state.step;
    if (!mates.length) return;
    go(mates.includes(state.mate) ? state.mate : mates[0]);
    state.mate = from;
  },
  station(by) {                                        // a picture comes right after its station
    const at = state.step, ahead = one => one.step > at || one.step === at && one.html, here = stops.indexOf(state.picture);
    const to = here >= 0 ? here + by : by > 0 ? stops.findIndex(ahead) : stops.findLastIndex(one => one.step < at);
    if (stops[to]) visit(stops[to]);
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
    input.addEventListener("change", () => { state.token = t; refocus(); drawStep(); });
  });
}

function buildFind() {                                 // every array once for each call, where the call has worked it out
  const find = get("find"), calls = [...new Set(mainSteps.map(n => data.steps[n].c))], times = {};
  element(find, "option", "Where is … made?").value = "";
  for (const call of calls) {
    const name = data.calls[call].name, time = times[name] = (times[name] ?? 0) + 1, names = new Map();
    for (const n of within(call)) for (const made of data.steps[n].w.keys()) {
      const step = data.steps[n], moved = step.h?.[made]?.[0]?.[0] === "at";
      if (!names.has(made) || !returns(step) && !moved) names.set(made, n);
    }
    const group = element(find, "optgroup");
    group.label = time > 1 ? `${name}, call ${time}` : name;
    for (const [made, n] of [...names].sort((one, other) => one[1] - other[1])) element(group, "option", `${made}, line ${data.steps[n].l}`).value = `${n} ${made}`;
    if (!names.size) group.remove();
  }
  find.addEventListener("change", () => {
    if (find.value) go(parseInt(find.value), find.value.slice(find.value.indexOf(" ") + 1));
    find.value = "";
  });
}

// The letters of the axes, in plain words

const explained = axes => [...new Set(axes)].filter(letter => data.letters[letter]).map(letter => `${letter}: ${data.letters[letter]}`).join("\n");

function buildLegend() {
  const found = new Map(), code = data.sources.flat().join("\n");
  for (const [array, axes] of data.infos) axes.forEach((letter, axis) => found.set(letter, new Set([...found.get(letter) ?? [], arrays[array].full[axis]])));
  for (const [letter, meaning] of Object.entries(data.letters)) {
    const [size, other] = found.get(letter) ?? [];
    if (size === undefined && !RegExp(`(?<![.^\\w])${letter}\\b`).test(code)) continue;
    element(get("letters"), "dt", letter);
    element(get("letters"), "dd", meaning.replaceAll("`", "") + (size !== undefined && other === undefined ? `; here ${size}` : ""));
  }
}

function measure() {                                   // the bar stays at the top, and the code below it
  document.documentElement.style.setProperty("--bar", document.querySelector(".bar").offsetHeight + "px");
}

function listen() {
  for (const id of ["back", "next", "into", "out", "mate"]) get(id).addEventListener("click", moves[id]);
  get("slider").addEventListener("input", () => go(path(stepNow())[+get("slider").value]));
  let pointed = false;                                 // after a click on a word, arrows belong to the lines, not to the words
  addEventListener("pointerdown", () => { pointed = true; });
  addEventListener("keydown", event => {
    if (event.key === "Tab") pointed = false;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target, choosing = target.tagName === "SELECT" || target.type === "radio" && !pointed;
    const keys = { ArrowRight: moves.next, ArrowLeft: moves.back, ArrowDown: moves.into, ArrowUp: moves.out, d: moves.mate, D: moves.mate,
      PageDown: () => moves.station(1), PageUp: () => moves.station(-1) };
    if (choosing || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    measure();
    if (innerWidth !== width) drawStep();
    width = innerWidth;
  });
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
  buildLegend();
  listen();
  refocus();
  drawStep();
  measure();
  drawSources();
  document.documentElement.dataset.ready = "";
}

start();
