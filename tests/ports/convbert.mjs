// ConvBERT's forward pass in JavaScript, written from the golden pack alone: an example of a port.
// How it is checked:
//
//     node tests/ports/convbert.mjs minconvbert/golden/pack OUT            all cases that it knows
//     python -m minconvbert golden check OUT
//
// A tensor is { shape, data }: its sizes, and its numbers in row-major order.

import { readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { argv } from "node:process";

// Safetensors: 8 bytes of length, a JSON header of that length, then the numbers.

export function readTensors(path) {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const tensors = {};
  const header = JSON.parse(file.subarray(8, start));
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const bytes = Uint8Array.from(file.subarray(start + from, start + to)).buffer;
    const data = dtype === "I64" ? Array.from(new BigInt64Array(bytes), Number) : new Float64Array(bytes);
    tensors[name] = { shape, data };
  }
  return tensors;
}

export function writeTensors(path, tensors) {
  const header = {}, parts = [];
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    const bytes = Buffer.from(Float64Array.from(data).buffer);
    header[name] = { dtype: "F64", shape, data_offsets: [offset, offset += bytes.length] };
    parts.push(bytes);
  }
  const text = JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, Buffer.from(text), ...parts]));
}

// The bricks

const like = (x, f) => ({ shape: x.shape, data: Array.from(x.data, f) });
const reshape = (x, ...shape) => ({ shape, data: x.data });
const add = (x, y) => like(x, (a, i) => a + y.data[i]);
const times = (x, y) => like(x, (a, i) => a * y.data[i]);
const last = (x) => x.shape[x.shape.length - 1];
const rows = (x, f) => {                                       // f(row) of each row along the last axis
  const n = last(x), out = [];
  for (let i = 0; i < x.data.length; i += n) out.push(...f(x.data.slice(i, i + n)));
  return { shape: x.shape, data: out };
};
const sum = (row) => row.reduce((a, b) => a + b, 0);

function linear(x, weight, bias) {                             // weight (O, I), or (G, I, O) in groups
  const groups = weight.shape.length === 3 ? weight.shape[0] : 1, [a, b] = weight.shape.slice(-2);
  const [inputs, outputs] = groups > 1 ? [a, b] : [b, a], out = [];
  for (let at = 0; at < x.data.length; at += groups * inputs)
    for (let g = 0; g < groups; g++)
      for (let o = 0; o < outputs; o++) {
        let y = bias.data[g * outputs + o];
        for (let i = 0; i < inputs; i++)
          y += x.data[at + g * inputs + i] * weight.data[groups > 1 ? (g * inputs + i) * outputs + o : o * inputs + i];
        out.push(y);
      }
  return { shape: [...x.shape.slice(0, -1), groups * outputs], data: out };
}

const embedding = (ids, table) => ({
  shape: [...ids.shape, last(table)],
  data: Array.from(ids.data, (id) => Array.from(table.data.slice(id * last(table), (id + 1) * last(table)))).flat() });

function layerNorm(x, weight, bias, eps) {
  return rows(x, (row) => {
    const mean = sum(row) / row.length, deviation = Math.sqrt(sum(row.map((a) => (a - mean) ** 2)) / row.length + eps);
    return row.map((a, i) => (a - mean) / deviation * weight.data[i] + bias.data[i]);
  });
}

const softmax = (x) => rows(x, (row) => {
  const top = Math.max(...row), powers = row.map((a) => Math.exp(a - top)), total = sum(powers);
  return powers.map((a) => a / total);
});

function erf(x) {                                              // a series near 0, a continued fraction beyond
  if (Math.abs(x) > 6) return Math.sign(x);
  if (Math.abs(x) < 2.5) {
    let term = x, total = x;
    for (let n = 1; Math.abs(term) > 1e-17; n++) total += (term *= -x * x / n) / (2 * n + 1);
    return 2 / Math.sqrt(Math.PI) * total;
  }
  let tail = 0;
  for (let n = 60; n > 0; n--) tail = n / 2 / (Math.abs(x) + tail);
  return Math.sign(x) * (1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (Math.abs(x) + tail));
}

const gelu = (x) => x * (1 + erf(x / Math.SQRT2)) / 2;
const ACTIVATIONS = {
  gelu, relu: (x) => Math.max(x, 0), silu: (x) => x / (1 + Math.exp(-x)),
  quick_gelu: (x) => x / (1 + Math.exp(-1.702 * x)),
  gelu_10: (x) => Math.min(Math.max(gelu(x), -10), 10), mish: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
  gelu_new: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))) };

// Both convolutions: out[t] = sum over the taps j of kernel(b, t, channel, j) x[t + j - (K - 1) / 2], 0 outside.
function convolve(x, K, kernel) {
  const [B, L] = x.shape, C = x.data.length / B / L, data = [];
  for (let b = 0; b < B; b++)
    for (let t = 0; t < L; t++)
      for (let c = 0; c < C; c++) {
        let y = 0;
        for (let j = 0; j < K; j++) {
          const s = t + j - (K - 1) / 2;
          if (s >= 0 && s < L) y += kernel(b, t, c, j) * x.data[(b * L + s) * C + c];
        }
        data.push(y);
      }
  return { shape: x.shape, data };
}

const depthwiseConv = (x, weight) => convolve(x, last(weight), (b, t, c, j) => weight.data[c * last(weight) + j]);

function dynamicConv(value, kernel) {
  const [, L, H, Dh] = value.shape, K = last(kernel);
  return convolve(value, K, (b, t, c, j) => kernel.data[((b * L + t) * H + Math.floor(c / Dh)) * K + j]);
}

function separableConv(x, depthwise, pointwise, bias) {
  const mixed = depthwiseConv(x, depthwise);
  return [linear(mixed, reshape(pointwise, ...pointwise.shape.slice(0, 2)), reshape(bias, bias.shape[0])), mixed];
}

function selfAttention(query, key, value, bias) {              // bias(b, token): 0, or what hides it
  const [B, L, H, Dh] = query.shape, at = (b, t, h, d) => ((b * L + t) * H + h) * Dh + d;
  const raw = [], masked = [], out = [];
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let q = 0; q < L; q++)
        for (let k = 0; k < L; k++) {
          let s = 0;
          for (let d = 0; d < Dh; d++) s += query.data[at(b, q, h, d)] * key.data[at(b, k, h, d)];
          raw.push(s / Math.sqrt(Dh));
          masked.push(s / Math.sqrt(Dh) + bias(b, k));
        }
  const weights = softmax({ shape: [B, H, L, L], data: masked });
  for (let b = 0; b < B; b++)
    for (let t = 0; t < L; t++)
      for (let h = 0; h < H; h++)
        for (let d = 0; d < Dh; d++) {
          let y = 0;
          for (let k = 0; k < L; k++) y += weights.data[((b * H + h) * L + t) * L + k] * value.data[at(b, k, h, d)];
          out.push(y);
        }
  return { scores: { shape: [B, H, L, L], data: raw }, weights, out: { shape: query.shape, data: out } };
}

// The model. `keep(name, x)` writes down x and returns it.

function mixedAttention(x, bias, p, H, keep) {
  const [B, L] = x.shape, at = (name) => linear(x, p(`${name}.weight`), p(`${name}.bias`)), flat = at("query");
  const heads = (y) => reshape(y, B, L, H, last(y) / H);
  const [query, key, value] = [flat, at("key"), at("value")].map(heads);
  const attended = selfAttention(keep("attn.query", query), keep("attn.key", key), keep("attn.value", value), bias);
  for (const [name, y] of Object.entries(attended)) keep(`attn.${name}`, y);

  const [spanKey, spanMixed] = separableConv(x, p("key_conv_attn_layer.depthwise.weight"),
    p("key_conv_attn_layer.pointwise.weight"), p("key_conv_attn_layer.bias"));
  keep("conv.span_mixed", spanMixed);
  const match = keep("conv.match", times(flat, keep("conv.span_key", spanKey)));
  const scores = linear(match, p("conv_kernel_layer.weight"), p("conv_kernel_layer.bias"));
  const kernel = keep("conv.kernel", softmax(keep("conv.scores", reshape(scores, B, L, H, last(scores) / H))));
  const convolved = keep("conv.out", dynamicConv(keep("conv.value", heads(at("conv_out_layer"))), kernel));

  const half = last(flat), data = [];
  for (let i = 0; i < B * L; i++)
    for (const y of [attended.out, convolved]) data.push(...y.data.slice(i * half, (i + 1) * half));
  return keep("out", { shape: [B, L, 2 * half], data });
}

function addNorm(x, residual, p, eps, keep) {
  const total = keep("total", add(keep("dense", linear(x, p("dense.weight"), p("dense.bias"))), residual));
  return keep("out", layerNorm(total, p("LayerNorm.weight"), p("LayerNorm.bias"), eps));
}

function layer(x, bias, p, config, keep) {
  const of = (path) => [(name) => p(`${path}.${name}`), (name, y) => keep(`${path}.${name}`, y)];
  const H = Math.max(1, Math.floor(config.num_attention_heads / config.head_ratio)), eps = config.layer_norm_eps;
  const [selfP, selfKeep] = of("attention.self"), [outP, outKeep] = of("attention.output");
  const [endP, endKeep] = of("output");
  const attended = addNorm(mixedAttention(x, bias, selfP, H, selfKeep), x, outP, eps, outKeep);
  const dense = linear(attended, p("intermediate.dense.weight"), p("intermediate.dense.bias"));
  const wide = keep("intermediate.out", like(keep("intermediate.dense", dense), ACTIVATIONS[config.hidden_act]));
  return addNorm(wide, attended, endP, eps, endKeep);
}

const hide = (mask, L) => (b, t) => (!mask || mask.data[b * L + t] ? 0 : -Number.MAX_VALUE);

function convbert(given, config, keep) {
  const p = (name) => given[`params.${name}`], norm = "embeddings.LayerNorm";
  const word = keep("embeddings.word", given["in.inputs_embeds"] ?? embedding(given["in.input_ids"],
    p("embeddings.word_embeddings.weight")));
  const [B, L] = word.shape, counted = { shape: [B, L], data: Array.from({ length: B * L }, (_, i) => i % L) };
  const positions = embedding(given["in.position_ids"] ?? counted, p("embeddings.position_embeddings.weight"));
  const types = embedding(given["in.token_type_ids"] ?? like(counted, () => 0),
    p("embeddings.token_type_embeddings.weight"));
  const total = keep("embeddings.total", add(add(word, positions), types));
  let x = keep("embeddings.out", layerNorm(total, p(`${norm}.weight`), p(`${norm}.bias`), config.layer_norm_eps));
  if (p("embeddings_project.weight"))
    x = keep("embeddings_project.out", linear(x, p("embeddings_project.weight"), p("embeddings_project.bias")));
  for (let i = 0; i < config.num_hidden_layers; i++)
    x = layer(x, hide(given["in.attention_mask"], L), (name) => p(`encoder.layer.${i}.${name}`), config,
      (name, y) => keep(`encoder.layer.${i}.${name}`, y));
}

const OPS = {
  linear: (g) => linear(g.x, g.weight, g.bias),
  grouped_linear: (g) => linear(g.x, g.weight, g.bias),
  embedding: (g) => embedding(g.ids, g.table),
  layer_norm: (g) => layerNorm(g.x, g.weight, g.bias, 1e-12),
  softmax: (g) => softmax(g.x),
  dropout: (g) => times(g.x, g.mask),
  depthwise_conv: (g) => depthwiseConv(g.x, g.weight),
  dynamic_conv: (g) => dynamicConv(g.value, g.kernel),
  separable_conv: (g) => separableConv(g.x, g.depthwise, g.pointwise, g.bias)[0],
  self_attention: (g) => selfAttention(g.query, g.key, g.value, (b, k) => g.bias.data[b * g.query.shape[1] + k]).out,
};

// -> { name: tensor } of a case; null if it is of a kind that this port does not know
export function run(id, given, config) {
  const found = {}, keep = (name, x) => (found[`acts.${name}`] = x);
  const [level, name, variant] = id.split("."), layers = ["layer", "layer_groups", "layer_small_variance"];
  if (level === "model") {
    convbert(given, config, keep);
  } else if (level === "block" && layers.includes(name)) {
    const x = given["in.x"];
    layer(x, hide(given["in.attention_mask"], x.shape[1]), (n) => given[`params.${n}`], config, keep);
  } else if (level === "op" && name === "activation") {
    keep("out", like(given["in.x"], ACTIVATIONS[variant]));
  } else if (level === "op" && OPS[name]) {
    keep("out", OPS[name](Object.fromEntries(Object.entries(given).map(([n, x]) => [n.slice("in.".length), x]))));
  } else {
    return null;
  }
  return found;
}

const [pack, out] = argv.slice(2);
mkdirSync(out, { recursive: true });
for (const { id } of JSON.parse(readFileSync(`${pack}/pack.json`)).cases) {
  const { config, tensors } = JSON.parse(readFileSync(`${pack}/${id}.json`));
  const all = readTensors(`${pack}/${id}.safetensors`);
  const names = tensors.filter((row) => row.role === "given").map((row) => row.name);
  const given = Object.fromEntries(names.map((name) => [name, all[name]]));
  const found = run(id, given, config);
  if (found) writeTensors(`${out}/${id}.safetensors`, found);
}
