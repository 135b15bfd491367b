//! ConvBERT's forward pass in Rust, float32, without dependencies, written from the golden pack alone: an example of a
//! port. How it is checked:
//!
//!     rustc -O -o convbert tests/ports/convbert.rs
//!     ./convbert minconvbert/golden/pack OUT                               all cases that it knows
//!     python -m minconvbert golden check OUT

use std::collections::BTreeMap;
use std::fs;

// JSON, as far as the pack needs it: no escapes in strings that matter here.

enum Json { Number(f64), Text(String), List(Vec<Json>), Object(Vec<(String, Json)>), Other }

struct Parser<'a> { text: &'a [u8], at: usize }

impl Parser<'_> {
    fn next(&mut self) -> u8 {
        while self.text[self.at].is_ascii_whitespace() || b",:".contains(&self.text[self.at]) { self.at += 1 }
        self.text[self.at]
    }

    fn string(&mut self) -> String {
        let start = self.at + 1;
        self.at = start;
        while self.text[self.at] != b'"' { self.at += 1 + (self.text[self.at] == b'\\') as usize }
        self.at += 1;
        String::from_utf8_lossy(&self.text[start..self.at - 1]).into_owned()
    }

    fn value(&mut self) -> Json {
        match self.next() {
            b'"' => Json::Text(self.string()),
            b'[' => {
                self.at += 1;
                let mut list = vec![];
                while self.next() != b']' { list.push(self.value()) }
                self.at += 1;
                Json::List(list)
            }
            b'{' => {
                self.at += 1;
                let mut entries = vec![];
                while self.next() != b'}' { let name = self.string(); entries.push((name, self.value())) }
                self.at += 1;
                Json::Object(entries)
            }
            _ => {
                let start = self.at;
                while !b",]} \n".contains(&self.text[self.at]) { self.at += 1 }
                let word = std::str::from_utf8(&self.text[start..self.at]).unwrap();
                word.parse().map(Json::Number).unwrap_or(Json::Other)
            }
        }
    }
}

impl Json {
    fn parse(text: &[u8]) -> Json { Parser { text, at: 0 }.value() }

    fn get(&self, name: &str) -> &Json {
        let Json::Object(entries) = self else { return &Json::Other };
        entries.iter().find(|entry| entry.0 == name).map_or(&Json::Other, |entry| &entry.1)
    }

    fn list(&self) -> &[Json] { if let Json::List(list) = self { list } else { &[] } }
    fn number(&self) -> f64 { if let Json::Number(n) = self { *n } else { panic!("a number was expected") } }
    fn text(&self) -> &str { if let Json::Text(text) = self { text } else { "" } }
    fn sizes(&self) -> Vec<usize> { self.list().iter().map(|n| n.number() as usize).collect() }
}

// Tensors, and safetensors: 8 bytes of length, a JSON header of that length, then the numbers.

#[derive(Clone)]
struct Tensor { shape: Vec<usize>, data: Vec<f32> }
type Tensors = BTreeMap<String, Tensor>;

impl Tensor {
    fn last(&self) -> usize { *self.shape.last().unwrap() }
    fn reshape(&self, shape: &[usize]) -> Tensor { Tensor { shape: shape.to_vec(), data: self.data.clone() } }
    fn map(&self, f: impl Fn(f32) -> f32) -> Tensor {
        Tensor { shape: self.shape.clone(), data: self.data.iter().map(|&x| f(x)).collect() }
    }
    fn with(&self, y: &Tensor, f: impl Fn(f32, f32) -> f32) -> Tensor {
        Tensor { shape: self.shape.clone(), data: self.data.iter().zip(&y.data).map(|(&a, &b)| f(a, b)).collect() }
    }
}

fn read_tensors(path: &str) -> Tensors {
    let file = fs::read(path).unwrap();
    let start = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let Json::Object(header) = Json::parse(&file[8..start]) else { panic!("{path} has no header") };
    let mut tensors = Tensors::new();
    for (name, entry) in header.iter().filter(|entry| entry.0 != "__metadata__") {
        let offsets = entry.get("data_offsets").sizes();
        let numbers = file[start + offsets[0]..start + offsets[1]].chunks(8).map(|b| b.try_into().unwrap());
        let data = if entry.get("dtype").text() == "I64" { numbers.map(|b| i64::from_le_bytes(b) as f32).collect() }
                   else { numbers.map(|b| f64::from_le_bytes(b) as f32).collect() };
        tensors.insert(name.clone(), Tensor { shape: entry.get("shape").sizes(), data });
    }
    tensors
}

fn write_tensors(path: &str, tensors: &Tensors) {
    let (mut entries, mut bytes) = (vec![], vec![]);
    for (name, x) in tensors {
        let from = bytes.len();
        for n in &x.data { bytes.extend(n.to_le_bytes()) }
        entries.push(format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{:?},\"data_offsets\":[{from},{}]}}", x.shape,
                             bytes.len()));
    }
    let header = format!("{{{}}}", entries.join(","));
    fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat()).unwrap();
}

// The bricks

/// weight (O, I), or (G, I, O) in groups
fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let grouped = weight.shape.len() == 3;
    let (g, i, o) = if grouped { (weight.shape[0], weight.shape[1], weight.shape[2]) }
                    else { (1, weight.shape[1], weight.shape[0]) };
    let mut data = vec![];
    for row in x.data.chunks(g * i) {
        for out in 0..g * o {
            let (group, within) = (out / o, out % o);
            let w = |k: usize| weight.data[if grouped { (group * i + k) * o + within } else { within * i + k }];
            data.push((0..i).map(|k| row[group * i + k] * w(k)).sum::<f32>() + bias.data[out]);
        }
    }
    let mut shape = x.shape.clone();
    *shape.last_mut().unwrap() = g * o;
    Tensor { shape, data }
}

fn embedding(ids: &Tensor, table: &Tensor) -> Tensor {
    let width = table.last();
    let rows = ids.data.iter().map(|&id| &table.data[id as usize * width..(id as usize + 1) * width]);
    Tensor { shape: [&ids.shape[..], &[width]].concat(), data: rows.flatten().copied().collect() }
}

fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
    let (n, mut data) = (x.last() as f32, vec![]);
    for row in x.data.chunks(x.last()) {
        let mean = row.iter().sum::<f32>() / n;
        let deviation = (row.iter().map(|a| (a - mean) * (a - mean)).sum::<f32>() / n + eps).sqrt();
        data.extend(row.iter().enumerate().map(|(i, a)| (a - mean) / deviation * weight.data[i] + bias.data[i]));
    }
    Tensor { shape: x.shape.clone(), data }
}

fn softmax(x: &Tensor) -> Tensor {
    let mut data = vec![];
    for row in x.data.chunks(x.last()) {
        let top = row.iter().fold(f32::MIN, |a, &b| a.max(b));
        let powers: Vec<f32> = row.iter().map(|a| (a - top).exp()).collect();
        let total: f32 = powers.iter().sum();
        data.extend(powers.iter().map(|a| a / total));
    }
    Tensor { shape: x.shape.clone(), data }
}

/// A series near 0, a continued fraction beyond, in float64
fn erf(x: f64) -> f64 {
    let root = std::f64::consts::PI.sqrt();
    if x.abs() > 6.0 { return x.signum() }
    if x.abs() < 2.5 {
        let (mut term, mut total) = (x, x);
        for n in 1..100 { term *= -x * x / n as f64; total += term / (2 * n + 1) as f64 }
        return 2.0 / root * total;
    }
    let tail = (1..60).rev().fold(0.0, |tail, n| n as f64 / 2.0 / (x.abs() + tail));
    x.signum() * (1.0 - (-x * x).exp() / root / (x.abs() + tail))
}

fn activation(name: &str) -> fn(f32) -> f32 {
    match name {
        "gelu" => |x| (x as f64 * (1.0 + erf(x as f64 / 2f64.sqrt())) / 2.0) as f32,
        "relu" => |x| x.max(0.0),
        _ => panic!("no activation {name}"),
    }
}

/// Both convolutions: out[t] = sum over the taps j of kernel(token, channel, j) x[t + j - K / 2], 0 outside
fn convolve(x: &Tensor, taps: usize, kernel: impl Fn(usize, usize, usize) -> f32) -> Tensor {
    let (b, l) = (x.shape[0], x.shape[1]);
    let channels = x.data.len() / b / l;
    let mut data = vec![0.0; x.data.len()];
    for token in 0..b * l {
        for c in 0..channels {
            for j in 0..taps {
                let s = (token % l + j) as isize - (taps / 2) as isize;
                if 0 <= s && s < l as isize {
                    let read = (token / l * l + s as usize) * channels + c;
                    data[token * channels + c] += kernel(token, c, j) * x.data[read];
                }
            }
        }
    }
    Tensor { shape: x.shape.clone(), data }
}

fn depthwise_conv(x: &Tensor, weight: &Tensor) -> Tensor {
    convolve(x, weight.last(), |_, c, j| weight.data[c * weight.last() + j])
}

fn dynamic_conv(value: &Tensor, kernel: &Tensor) -> Tensor {
    let (h, dh, k) = (value.shape[2], value.shape[3], kernel.last());
    convolve(value, k, |token, c, j| kernel.data[(token * h + c / dh) * k + j])
}

/// hidden(b, token): what a mask adds to the scores.   -> scores before it is added, weights, out
fn self_attention(q: &Tensor, k: &Tensor, v: &Tensor, hidden: impl Fn(usize, usize) -> f32) -> [Tensor; 3] {
    let (b, l, h, dh) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3]);
    let at = |i: usize, t: usize, head: usize| ((i * l + t) * h + head) * dh;
    let (mut scores, mut masked, mut out) = (vec![], vec![], vec![0.0; q.data.len()]);
    for i in 0..b { for head in 0..h { for t in 0..l { for s in 0..l {
        let dot: f32 = (0..dh).map(|d| q.data[at(i, t, head) + d] * k.data[at(i, s, head) + d]).sum();
        scores.push(dot / (dh as f32).sqrt());
        masked.push(dot / (dh as f32).sqrt() + hidden(i, s));
    } } } }
    let weights = softmax(&Tensor { shape: vec![b, h, l, l], data: masked });
    for i in 0..b { for head in 0..h { for t in 0..l { for s in 0..l { for d in 0..dh {
        out[at(i, t, head) + d] += weights.data[((i * h + head) * l + t) * l + s] * v.data[at(i, s, head) + d];
    } } } } }
    [Tensor { shape: weights.shape.clone(), data: scores }, weights, Tensor { shape: q.shape.clone(), data: out }]
}

// The model. `keep` writes an intermediate down and returns it.

struct Model<'a> { given: &'a Tensors, config: &'a Json, found: Tensors }

impl Model<'_> {
    fn number(&self, name: &str) -> f64 { self.config.get(name).number() }
    fn p(&self, name: &str) -> &Tensor { &self.given[&format!("params.{name}")] }
    fn keep(&mut self, name: &str, x: Tensor) -> Tensor { self.found.insert(format!("acts.{name}"), x.clone()); x }
    fn linear(&self, x: &Tensor, name: &str) -> Tensor {
        linear(x, self.p(&format!("{name}.weight")), self.p(&format!("{name}.bias")))
    }
    fn norm(&self, x: &Tensor, name: &str) -> Tensor {
        let (weight, bias) = (self.p(&format!("{name}.LayerNorm.weight")), self.p(&format!("{name}.LayerNorm.bias")));
        layer_norm(x, weight, bias, self.number("layer_norm_eps") as f32)
    }

    fn mixed_attention(&mut self, x: &Tensor, at: &str) -> Tensor {
        let (b, l) = (x.shape[0], x.shape[1]);
        let h = (self.number("num_attention_heads") / self.number("head_ratio")).max(1.0) as usize;
        let flat = self.linear(x, &format!("{at}.query"));
        let split = |y: &Tensor| y.reshape(&[b, l, h, y.last() / h]);
        let query = self.keep(&format!("{at}.attn.query"), split(&flat));
        let key = self.keep(&format!("{at}.attn.key"), split(&self.linear(x, &format!("{at}.key"))));
        let value = self.keep(&format!("{at}.attn.value"), split(&self.linear(x, &format!("{at}.value"))));
        let mask = self.given.get("in.attention_mask");
        let hidden = |i: usize, s: usize| if mask.is_some_and(|m| m.data[i * l + s] == 0.0) { f32::MIN } else { 0.0 };
        let attended = self_attention(&query, &key, &value, hidden);
        for (name, y) in ["scores", "weights", "out"].iter().zip(&attended) {
            self.keep(&format!("{at}.attn.{name}"), y.clone());
        }

        let separable = format!("{at}.key_conv_attn_layer");
        let mixed = depthwise_conv(x, self.p(&format!("{separable}.depthwise.weight")));
        let mixed = self.keep(&format!("{at}.conv.span_mixed"), mixed);
        let pointwise = self.p(&format!("{separable}.pointwise.weight"));
        let span_key = linear(&mixed, &pointwise.reshape(&pointwise.shape[..2]), self.p(&format!("{separable}.bias")));
        let span_key = self.keep(&format!("{at}.conv.span_key"), span_key);
        let matched = self.keep(&format!("{at}.conv.match"), flat.with(&span_key, |a, b| a * b));
        let scores = split(&self.linear(&matched, &format!("{at}.conv_kernel_layer")));
        let kernel = softmax(&self.keep(&format!("{at}.conv.scores"), scores));
        let kernel = self.keep(&format!("{at}.conv.kernel"), kernel);
        let value = self.keep(&format!("{at}.conv.value"), split(&self.linear(x, &format!("{at}.conv_out_layer"))));
        let convolved = self.keep(&format!("{at}.conv.out"), dynamic_conv(&value, &kernel));

        let half = flat.last();
        let rows = attended[2].data.chunks(half).zip(convolved.data.chunks(half));
        let data = rows.flat_map(|(a, c)| a.iter().chain(c)).copied().collect();
        self.keep(&format!("{at}.out"), Tensor { shape: vec![b, l, 2 * half], data })
    }

    fn add_norm(&mut self, x: &Tensor, residual: &Tensor, at: &str) -> Tensor {
        let dense = self.keep(&format!("{at}.dense"), self.linear(x, &format!("{at}.dense")));
        let total = self.keep(&format!("{at}.total"), dense.with(residual, |a, b| a + b));
        self.keep(&format!("{at}.out"), self.norm(&total, at))
    }

    fn layer(&mut self, x: &Tensor, at: &str) -> Tensor {
        let mixed = self.mixed_attention(x, &format!("{at}attention.self"));
        let attended = self.add_norm(&mixed, x, &format!("{at}attention.output"));
        let name = format!("{at}intermediate.dense");
        let dense = self.keep(&name, self.linear(&attended, &name));
        let wide = dense.map(activation(self.config.get("hidden_act").text()));
        let wide = self.keep(&format!("{at}intermediate.out"), wide);
        self.add_norm(&wide, &attended, &format!("{at}output"))
    }

    fn run(&mut self) {
        let word = self.given.get("in.inputs_embeds").cloned().unwrap_or_else(
            || embedding(&self.given["in.input_ids"], self.p("embeddings.word_embeddings.weight")));
        let word = self.keep("embeddings.word", word);
        let (b, l) = (word.shape[0], word.shape[1]);
        let counted = Tensor { shape: vec![b, l], data: (0..b * l).map(|i| (i % l) as f32).collect() };
        let positions = self.given.get("in.position_ids").unwrap_or(&counted);
        let positions = embedding(positions, self.p("embeddings.position_embeddings.weight"));
        let zeros = counted.map(|_| 0.0);
        let types = self.given.get("in.token_type_ids").unwrap_or(&zeros);
        let types = embedding(types, self.p("embeddings.token_type_embeddings.weight"));
        let total = word.with(&positions, |a, b| a + b).with(&types, |a, b| a + b);
        let total = self.keep("embeddings.total", total);
        let mut x = self.keep("embeddings.out", self.norm(&total, "embeddings"));
        if self.given.contains_key("params.embeddings_project.weight") {
            x = self.keep("embeddings_project.out", self.linear(&x, "embeddings_project"));
        }
        for i in 0..self.number("num_hidden_layers") as usize { x = self.layer(&x, &format!("encoder.layer.{i}.")) }
    }
}

fn op(name: &str, given: &Tensors) -> Option<Tensor> {
    let g = |name: &str| &given[&format!("in.{name}")];
    Some(match name {
        "linear" | "grouped_linear" => linear(g("x"), g("weight"), g("bias")),
        "embedding" => embedding(g("ids"), g("table")),
        "layer_norm" => layer_norm(g("x"), g("weight"), g("bias"), 1e-12),
        "softmax" => softmax(g("x")),
        "depthwise_conv" => depthwise_conv(g("x"), g("weight")),
        "dynamic_conv" => dynamic_conv(g("value"), g("kernel")),
        "self_attention" => {
            let l = g("query").shape[1];
            let [_, _, out] = self_attention(g("query"), g("key"), g("value"), |b, s| g("bias").data[b * l + s]);
            out
        }
        _ => return None,
    })
}

fn main() {
    let [pack, out] = [1, 2].map(|i| std::env::args().nth(i).expect("usage: convbert PACK OUT"));
    fs::create_dir_all(&out).unwrap();
    for case in Json::parse(&fs::read(format!("{pack}/pack.json")).unwrap()).get("cases").list() {
        let id = case.get("id").text();
        let given = read_tensors(&format!("{pack}/{id}.safetensors"));
        let manifest = Json::parse(&fs::read(format!("{pack}/{id}.json")).unwrap());
        let mut model = Model { given: &given, config: manifest.get("config"), found: Tensors::new() };
        let (level, name) = id.split_once('.').unwrap();
        match level {
            "model" => model.run(),
            "block" if ["layer", "layer_groups", "layer_small_variance"].contains(&name) => {
                model.layer(&given["in.x"], "");
            }
            "op" => match op(name.split('.').next().unwrap(), &given) {
                Some(y) => { model.keep("out", y); }
                None => continue,
            },
            _ => continue,
        }
        write_tensors(&format!("{out}/{id}.safetensors"), &model.found);
    }
}
