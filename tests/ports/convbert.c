/* ConvBERT forward in C, float32, written from the golden pack alone: an example of a port and of how it is checked.

       cc -O2 -o convbert convbert.c -lm
       ./convbert PACK/model.padding OUT/model.padding.safetensors      for each case below
       python -m minconvbert golden check OUT

   It knows all cases of the model, and the ops that stand in op() below. Of any other case it says so and returns 2. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char name[120]; int ndim, shape[4], size; float *f; long *i; } Tensor;

static Tensor given[256], made[256];
static int n_given, n_made;

static void stop(const char *what, const char *name) { fprintf(stderr, "error: %s: %s\n", what, name); exit(2); }

static char *read_file(const char *path, long *size) {
    FILE *file = fopen(path, "rb");
    if (!file) stop("cannot read", path);
    fseek(file, 0, SEEK_END);
    long n = ftell(file);
    rewind(file);
    char *text = malloc(n + 1);
    if (fread(text, 1, n, file) != (size_t)n) stop("cannot read", path);
    fclose(file);
    text[n] = 0;
    if (size) *size = n;
    return text;
}

/* Safetensors: 8 bytes of length, then {"name":{"dtype":"F64","shape":[2,3],"data_offsets":[0,48]},...}, then bytes. */
static void read_tensors(const char *path) {
    long size;
    char *text = read_file(path, &size);
    uint64_t length;
    memcpy(&length, text, 8);
    char *data = text + 8 + length, *at = text + 9;
    while (at < data && (at = strchr(at, '"')) && at < data) {
        Tensor *t = &given[n_given++];
        char *end = strchr(at + 1, '"');
        snprintf(t->name, sizeof t->name, "%.*s", (int)(end - at - 1), at + 1);
        int is_float = strstr(end, "\"dtype\":\"")[9] == 'F';
        char *shape = strstr(end, "\"shape\":[") + 9;
        t->size = 1;
        while (*shape != ']') {
            t->shape[t->ndim] = strtol(shape, &shape, 10);
            t->size *= t->shape[t->ndim++];
            if (*shape == ',') shape++;
        }
        char *offsets = strstr(shape, "\"data_offsets\":[") + 16;
        char *bytes = data + strtol(offsets, &at, 10);
        at = strchr(at, '}') + 1;
        t->f = malloc((t->size + 1) * sizeof *t->f);
        t->i = malloc((t->size + 1) * sizeof *t->i);
        for (int k = 0; k < t->size; k++) {
            double x = 0;
            int64_t i = 0;
            memcpy(is_float ? (void *)&x : (void *)&i, bytes + 8 * k, 8);
            t->f[k] = (float)x;
            t->i[k] = (long)i;
        }
    }
    free(text);
}

static Tensor *find(const char *prefix, const char *name) {
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    for (int k = 0; k < n_given; k++)
        if (!strcmp(given[k].name, full)) return &given[k];
    return NULL;
}

static Tensor *need(const char *prefix, const char *name) {
    Tensor *t = find(prefix, name);
    if (!t) stop("no such tensor", name);
    return t;
}

static float *fresh(int size) { return calloc(size + 1, sizeof(float)); }

/* Keep a tensor to be written: what a porter wants to have checked. */
static float *keep(const char *prefix, const char *name, float *x, int ndim, int a, int b, int c, int d) {
    Tensor *t = &made[n_made++];
    *t = (Tensor){.ndim = ndim, .shape = {a, b, c, d}, .size = 1};
    for (int k = 0; k < ndim; k++) t->size *= t->shape[k];
    snprintf(t->name, sizeof t->name, "acts.%s%s", prefix, name);
    t->f = memcpy(fresh(t->size), x, t->size * sizeof(float));
    return x;
}

static void write_tensors(const char *path) {
    char *header = malloc(1 << 16);
    int n = sprintf(header, "{"), offset = 0;
    for (int k = 0; k < n_made; k++) {
        Tensor *t = &made[k];
        n += sprintf(header + n, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", k ? "," : "", t->name);
        for (int j = 0; j < t->ndim; j++) n += sprintf(header + n, "%s%d", j ? "," : "", t->shape[j]);
        n += sprintf(header + n, "],\"data_offsets\":[%d,%d]}", offset, offset + 4 * t->size);
        offset += 4 * t->size;
    }
    n += sprintf(header + n, "}");
    while (n % 8) header[n++] = ' ';
    FILE *file = fopen(path, "wb");
    if (!file) stop("cannot write", path);
    uint64_t length = n;
    fwrite(&length, 8, 1, file);
    fwrite(header, 1, n, file);
    for (int k = 0; k < n_made; k++) fwrite(made[k].f, 4, made[k].size, file);
    fclose(file);
}

/* Ops. Rows are all axes but the last, taken together. */

static float *linear(const float *x, const Tensor *weight, const Tensor *bias, int rows) {
    int O = weight->shape[0], I = weight->size / O;
    float *y = fresh(rows * O);
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < O; o++) {
            float sum = bias->f[o];
            for (int i = 0; i < I; i++) sum += x[r * I + i] * weight->f[o * I + i];
            y[r * O + o] = sum;
        }
    return y;
}

static float *grouped_linear(const float *x, const Tensor *weight, const Tensor *bias, int rows) {
    int G = weight->shape[0], I = weight->shape[1], O = weight->shape[2];
    float *y = fresh(rows * G * O);
    for (int r = 0; r < rows; r++)
        for (int g = 0; g < G; g++)
            for (int o = 0; o < O; o++) {
                float sum = bias->f[g * O + o];
                for (int i = 0; i < I; i++) sum += x[(r * G + g) * I + i] * weight->f[(g * I + i) * O + o];
                y[(r * G + g) * O + o] = sum;
            }
    return y;
}

static float *dense(const float *x, const Tensor *weight, const Tensor *bias, int rows) {
    return weight->ndim == 3 ? grouped_linear(x, weight, bias, rows) : linear(x, weight, bias, rows);
}

static float *layer_norm(const float *x, const Tensor *weight, const Tensor *bias, int rows, float eps) {
    int D = weight->size;
    float *y = fresh(rows * D);
    for (int r = 0; r < rows; r++) {
        float mean = 0, variance = 0;
        for (int d = 0; d < D; d++) mean += x[r * D + d] / D;
        for (int d = 0; d < D; d++) variance += (x[r * D + d] - mean) * (x[r * D + d] - mean) / D;
        for (int d = 0; d < D; d++)
            y[r * D + d] = (x[r * D + d] - mean) / sqrtf(variance + eps) * weight->f[d] + bias->f[d];
    }
    return y;
}

static float *softmax(const float *x, int rows, int N) {
    float *y = fresh(rows * N);
    for (int r = 0; r < rows; r++) {
        float largest = -INFINITY, total = 0;
        for (int n = 0; n < N; n++) largest = fmaxf(largest, x[r * N + n]);
        for (int n = 0; n < N; n++) total += y[r * N + n] = expf(x[r * N + n] - largest);
        for (int n = 0; n < N; n++) y[r * N + n] /= total;
    }
    return y;
}

static float *activate(const float *x, int size, int relu) {
    float *y = fresh(size);
    for (int k = 0; k < size; k++)
        y[k] = relu ? fmaxf(x[k], 0) : 0.5f * x[k] * (1 + erff(x[k] * 0.70710678f));
    return y;
}

/* One sum for both convolutions. The kernel of tap j at token t and channel d is
   kernel[t * per_token + d / width * K + j]: for a depthwise one per_token = 0 and width = 1; for a dynamic one
   per_token = H K and width = Dh. */
static float *convolve(const float *x, const float *kernel, int B, int L, int D, int K, int per_token, int width) {
    float *out = fresh(B * L * D);
    for (int b = 0; b < B; b++)
        for (int t = 0; t < L; t++)
            for (int d = 0; d < D; d++) {
                const float *taps = kernel + (b * L + t) * per_token + d / width * K;
                for (int j = 0; j < K; j++) {
                    int s = t + j - K / 2;
                    if (s >= 0 && s < L) out[(b * L + t) * D + d] += taps[j] * x[(b * L + s) * D + d];
                }
            }
    return out;
}

/* query, key, value (B, L, H, Dh); bias (B, L) is added to the scores -> out (B, L, H, Dh) */
static float *self_attention(const char *prefix, const float *q, const float *k, const float *v, const float *bias,
                             int B, int L, int H, int Dh) {
    float *scores = fresh(B * H * L * L), *shown = fresh(B * H * L * L), *out = fresh(B * L * H * Dh);
    for (int b = 0; b < B; b++)
        for (int h = 0; h < H; h++)
            for (int t = 0; t < L; t++)
                for (int s = 0; s < L; s++) {
                    const float *asks = q + ((b * L + t) * H + h) * Dh, *answers = k + ((b * L + s) * H + h) * Dh;
                    float sum = 0;
                    for (int d = 0; d < Dh; d++) sum += asks[d] * answers[d];
                    int at = ((b * H + h) * L + t) * L + s;
                    scores[at] = sum / sqrtf(Dh) + bias[b * L + s];
                    shown[at] = scores[at] < -1e30f ? 0 : scores[at];
                }
    float *weights = softmax(scores, B * H * L, L);
    if (prefix) {
        keep(prefix, "attn.scores", shown, 4, B, H, L, L);
        keep(prefix, "attn.weights", weights, 4, B, H, L, L);
    }
    for (int b = 0; b < B; b++)
        for (int h = 0; h < H; h++)
            for (int t = 0; t < L; t++)
                for (int s = 0; s < L; s++) {
                    float weight = weights[((b * H + h) * L + t) * L + s];
                    for (int d = 0; d < Dh; d++)
                        out[((b * L + t) * H + h) * Dh + d] += weight * v[((b * L + s) * H + h) * Dh + d];
                }
    return out;
}

/* The model: config.json's numbers come from the case's manifest. */

static double setting(const char *manifest, const char *name, double otherwise) {
    char key[80];
    snprintf(key, sizeof key, "\"%s\": ", name);
    const char *at = strstr(manifest, key);
    return at ? strtod(at + strlen(key), NULL) : otherwise;
}

static float *add(const float *a, const float *b, int size) {
    float *y = fresh(size);
    for (int k = 0; k < size; k++) y[k] = a[k] + b[k];
    return y;
}

static void model(const char *manifest) {
    Tensor *ids = find("in.", "input_ids"), *embeds = find("in.", "inputs_embeds");
    Tensor *types = find("in.", "token_type_ids"), *positions = find("in.", "position_ids");
    Tensor *mask = find("in.", "attention_mask");
    Tensor *words = need("params.", "embeddings.word_embeddings.weight");
    Tensor *position_table = need("params.", "embeddings.position_embeddings.weight");
    Tensor *type_table = need("params.", "embeddings.token_type_embeddings.weight");
    int B = (ids ? ids : embeds)->shape[0], L = (ids ? ids : embeds)->shape[1], E = words->shape[1], N = B * L;
    int D = setting(manifest, "hidden_size", 0), heads = setting(manifest, "num_attention_heads", 0);
    int H = heads / (int)setting(manifest, "head_ratio", 2), K = setting(manifest, "conv_kernel_size", 0);
    int layers = setting(manifest, "num_hidden_layers", 0), relu = strstr(manifest, "\"hidden_act\": \"relu\"") != NULL;
    float eps = setting(manifest, "layer_norm_eps", 1e-12);
    if (H < 1) H = 1;
    int Dh = D / H / 2, A = H * Dh;

    float *total = fresh(N * E), *bias = fresh(N);
    for (int n = 0; n < N; n++) {
        bias[n] = mask && !mask->i[n] ? -3.4028235e38f : 0;
        for (int e = 0; e < E; e++)
            total[n * E + e] = (ids ? words->f[ids->i[n] * E + e] : embeds->f[n * E + e])
                + position_table->f[(positions ? positions->i[n] : n % L) * E + e]
                + type_table->f[(types ? types->i[n] : 0) * E + e];
    }
    keep("", "embeddings.total", total, 3, B, L, E, 0);
    float *x = layer_norm(total, need("params.", "embeddings.LayerNorm.weight"),
                          need("params.", "embeddings.LayerNorm.bias"), N, eps);
    keep("", "embeddings.out", x, 3, B, L, E, 0);
    if (find("params.", "embeddings_project.weight")) {
        x = linear(x, need("params.", "embeddings_project.weight"), need("params.", "embeddings_project.bias"), N);
        keep("", "embeddings_project.out", x, 3, B, L, D, 0);
    }
    for (int layer = 0; layer < layers; layer++) {
        char p[64], at[40], self[64];
        snprintf(at, sizeof at, "encoder.layer.%d.", layer);
        snprintf(self, sizeof self, "%sattention.self.", at);
        snprintf(p, sizeof p, "params.%s", at);
#define P(name) need(p, name)
#define MAP(f, x, module) f(x, P(module ".weight"), P(module ".bias"), N)
#define NORM(x, module) layer_norm(x, P(module ".weight"), P(module ".bias"), N, eps)
        float *query = keep(self, "attn.query", MAP(linear, x, "attention.self.query"), 4, B, L, H, Dh);
        float *key = keep(self, "attn.key", MAP(linear, x, "attention.self.key"), 4, B, L, H, Dh);
        float *value = keep(self, "attn.value", MAP(linear, x, "attention.self.value"), 4, B, L, H, Dh);
        float *everywhere = self_attention(self, query, key, value, bias, B, L, H, Dh);
        keep(self, "attn.out", everywhere, 4, B, L, H, Dh);

        float *mixed = convolve(x, P("attention.self.key_conv_attn_layer.depthwise.weight")->f, B, L, D, K, 0, 1);
        keep(self, "conv.span_mixed", mixed, 3, B, L, D, 0);
        float *span = linear(mixed, P("attention.self.key_conv_attn_layer.pointwise.weight"),
                             P("attention.self.key_conv_attn_layer.bias"), N);
        keep(self, "conv.span_key", span, 3, B, L, A, 0);
        float *match = fresh(N * A);
        for (int k = 0; k < N * A; k++) match[k] = query[k] * span[k];
        keep(self, "conv.match", match, 3, B, L, A, 0);
        float *scores = MAP(linear, match, "attention.self.conv_kernel_layer");
        keep(self, "conv.scores", scores, 4, B, L, H, K);
        float *kernel = keep(self, "conv.kernel", softmax(scores, N * H, K), 4, B, L, H, K);
        float *own = keep(self, "conv.value", MAP(linear, x, "attention.self.conv_out_layer"), 4, B, L, H, Dh);
        float *nearby = keep(self, "conv.out", convolve(own, kernel, B, L, A, K, H * K, Dh), 4, B, L, H, Dh);

        float *both = fresh(N * 2 * A);
        for (int n = 0; n < N; n++) {
            memcpy(both + n * 2 * A, everywhere + n * A, A * sizeof(float));
            memcpy(both + n * 2 * A + A, nearby + n * A, A * sizeof(float));
        }
        keep(self, "out", both, 3, B, L, 2 * A, 0);
        float *sum = add(MAP(linear, both, "attention.output.dense"), x, N * D);
        keep(at, "attention.output.total", sum, 3, B, L, D, 0);
        float *attended = keep(at, "attention.output.out", NORM(sum, "attention.output.LayerNorm"), 3, B, L, D, 0);
        int F = P("intermediate.dense.bias")->size;
        float *wide = keep(at, "intermediate.dense", MAP(dense, attended, "intermediate.dense"), 3, B, L, F, 0);
        wide = keep(at, "intermediate.out", activate(wide, N * F, relu), 3, B, L, F, 0);
        sum = keep(at, "output.total", add(MAP(dense, wide, "output.dense"), attended, N * D), 3, B, L, D, 0);
        x = keep(at, "output.out", NORM(sum, "output.LayerNorm"), 3, B, L, D, 0);
    }
}

static int op(const char *id) {
    Tensor *x = find("in.", "x"), *w = find("in.", "weight"), *b = find("in.", "bias"), *v = find("in.", "value");
    int B = (x ? x : v ? v : given)->shape[0], L = (x ? x : v ? v : given)->shape[1];
    float *y;
    if (!strcmp(id, "op.linear")) y = linear(x->f, w, b, B * L);
    else if (!strcmp(id, "op.grouped_linear")) y = grouped_linear(x->f, w, b, B * L);
    else if (!strncmp(id, "op.layer_norm", 13)) y = layer_norm(x->f, w, b, B * L, 1e-12f);
    else if (!strcmp(id, "op.softmax")) y = softmax(x->f, B * L, x->shape[2]);
    else if (!strcmp(id, "op.activation.gelu")) y = activate(x->f, x->size, 0);
    else if (!strcmp(id, "op.activation.relu")) y = activate(x->f, x->size, 1);
    else if (!strncmp(id, "op.depthwise_conv", 17)) y = convolve(x->f, w->f, B, L, x->shape[2], w->shape[2], 0, 1);
    else if (!strncmp(id, "op.dynamic_conv", 15)) {
        int H = v->shape[2], Dh = v->shape[3], K = need("in.", "kernel")->shape[3];
        y = convolve(v->f, need("in.", "kernel")->f, B, L, H * Dh, K, H * K, Dh);
    } else if (!strcmp(id, "op.self_attention")) {
        const float *query = need("in.", "query")->f, *key = need("in.", "key")->f;
        y = self_attention(NULL, query, key, v->f, b->f, B, L, v->shape[2], v->shape[3]);
    } else return 0;
    Tensor *out = need("acts.", "out");                    /* only its shape is taken */
    keep("", "out", y, out->ndim, out->shape[0], out->shape[1], out->shape[2], out->shape[3]);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 3) stop("usage", "convbert PACK/CASE OUT.safetensors");
    char path[1024];
    snprintf(path, sizeof path, "%s.safetensors", argv[1]);
    read_tensors(path);
    snprintf(path, sizeof path, "%s.json", argv[1]);
    const char *id = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1];
    if (!strncmp(id, "model.", 6)) model(strstr(read_file(path, NULL), "\"config\": {"));
    else if (!op(id)) stop("this port has no such case", id);
    write_tensors(argv[2]);
    return 0;
}
