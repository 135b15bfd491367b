"""What to think about when an array is wrong."""


def hint(exercise, name):
    """What to think about when the array `name` is wrong; None if there is no hint for it."""
    bare = name.split('["')[-1].removesuffix('"]')
    kind = bare.rsplit(".", 1)[-1]
    for key in (f"{exercise} {bare}", f"{exercise} {kind}", bare, kind):
        if key in HINTS:
            return HINTS[key]
    return None

# "EXERCISE ARRAY", or the name of an array wherever it occurs, or the last word of its name.
HINTS = {
    "linear_backward dx":
        "y[o] = sum_i x[i] weight[o, i]: x[i] reaches every y[o] by weight[o, i]. Which product sums over o?",
    "linear_backward dweight":
        "weight[o, i] multiplies x[i] and adds to y[o] in every row, so its gradient sums dy[o] x[i] over the rows.",
    "grouped_linear_backward dx": "A group is a linear map of its own, and its weight is (inputs, outputs): dy W^T.",
    "grouped_linear_backward dweight": "For each group it is x^T dy, summed over the rows.",
    "dbias": "The bias was added once to every row: its gradient is the sum of dy over the rows.",
    "bias": "A bias was added to every row: its gradient is a sum over the rows. Mind its shape.",
    "embedding_backward dtable":
        "A word that occurs twice gets both gradients: add them, do not overwrite. The row of padding_idx stays zero.",
    "layer_norm_backward dx":
        "Shifting or stretching a row of x changes nothing, so dx has no part along (1, ..., 1) and none along "
        "normed. Take both out of dy * weight; what factor did standardizing apply?",
    "layer_norm_backward dweight": "The weight multiplied the normed x, not x itself.",
    "along_ones": "The mean of dy times weight over the last axis, not the sum.",
    "along_normed": "The mean over the last axis of dnormed * normed.",
    "softmax_backward dx":
        "A row of y sums to 1 whatever x is, so a number that is added to all of dy's row changes nothing. What must "
        "be subtracted from dy before it is multiplied by y?",
    "activate_backward dx":
        "dy times the slope. That of gelu, x Phi(x), has two terms: Phi(x), and x times the normal density at x. "
        "ACTIVATIONS[name] holds each activation and its slope.",
    "depthwise_conv_backward dpadded": "Tap j took padded[:, j : j + L]; give dout back to the same places, and add.",
    "dpadded": "Tap j took padded[:, j : j + L]; give back to the same places, with += since windows overlap.",
    "depthwise_conv_backward dweight": "A tap is shared by all sentences and all tokens, so sum over both.",
    "dynamic_conv_backward dkernel": "kernel[b, t, h, j] met the whole vector padded[b, t + j, h]: a sum over Dh only.",
    "dvalue":
        "The value is a factor of one product, with the kernel or with the attention weights: its gradient comes back "
        "through the other factor.",
    "dkernel": "dynamic_conv_backward gives the kernel's gradient beside the value's.",
    "span_dynamic_conv_backward dvalue":
        "dynamic_conv_backward gives it; and what the mask zeroed on the way forward must be zeroed on the way back.",
    "span_dynamic_conv_backward dscores":
        "The kernel is softmax(scores), so softmax_backward with the *kernel*, its output.",
    "span_dynamic_conv_backward dmatch": "scores = linear(match): flatten (H, K) to H K first.",
    "span_dynamic_conv_backward dquery":
        "match = query * span_key: each factor's gradient is dmatch times the other factor.",
    "span_dynamic_conv_backward dspan_key":
        "match = query * span_key: each factor's gradient is dmatch times the other factor.",
    "span_dynamic_conv_backward dx_span":
        "The separable convolution read the *masked* x: give that to its backward, and mask what comes back.",
    "span_dynamic_conv_backward weight": "Which arrays went into this map? One of them may have been masked first.",
    "span_dynamic_conv_backward dx":
        "x was read twice, by the values and by the span key (dquery is handed back on its own): add both gradients. "
        "The gradient that comes back from the hidden x must be hidden, too.",
    "dmixed": "First back through the linear map, whose input was depthwise_conv(x, depthwise).",
    "ddepthwise": "depthwise_conv_backward with the gradient of the depthwise convolution's output.",
    "dpointwise": "The input of the pointwise map is depthwise_conv(x, depthwise), not x.",
    "dweights": "out = (weights * drop) v: back through the product, then the dropout mask once more.",
    "dscores": "softmax_backward takes the output of the softmax; then multiply by the factor that scaled the scores.",
    "dv": "v met the weights after dropout: dropout(weights)^T dout.",
    "dq": "scores = q k^T / sqrt(Dh): dq = dscores k, the factor counted once.",
    "dk": "scores = q k^T / sqrt(Dh): dk = dscores^T q.",
    "mixed_attention_backward dquery": "Both halves used the same query: add the two gradients.",
    "mixed_attention_backward query.weight": "Both halves used the same query: add the two gradients first.",
    "mixed_attention_backward dx": "x was read five times: by query, key, value, and twice by the convolution.",
    "layer_backward dx": "x went into the mixed attention and was added to its output: two gradients.",
    "dattended": "It went into the feed-forward and was added to its output: two gradients.",
    "dtotal": "layer_norm_backward, with what went *into* the norm.",
    "dresidual": "A sum passes its gradient on unchanged to both of its terms.",
    "LayerNorm.weight": "It is the second result of layer_norm_backward.",
    "cross_entropy_backward dlogits":
        "(softmax - one_hot) times dloss, divided by the number of labels that count; zero where a label is ignored.",
    "binary_cross_entropy_backward dlogits": "(sigmoid(logits) - wanted) times dloss, divided by the number of logits.",
    "cross_entropy nll":
        "A probability that has become 0 has no logarithm, and adding something or clipping gives another number. "
        "First subtract the row's maximum from z; then nll = log(sum(exp(z))) - z[label].",
    "binary_cross_entropy out":
        "Take no logarithm of a probability, clipped or not: max(z, 0) - z wanted + log1p(exp(-|z|)), then the mean.",
    "embeddings total":
        "The sum of the words' rows, the positions' rows at position_ids, and the types' rows at token_type_ids.",
    "softmax out": "exp(x - the largest number of its row), divided by the sum of these over that row.",
    "dhidden": "It has the shape of hidden: zero at all tokens that the head did not look at.",
    "ddense": "activate_backward, with what went into the activation and what came out.",
    "dinputs_embeds":
        "The sum of word, position and type passes its gradient on unchanged to each of the three.",
    "word_embeddings.weight": "embedding_backward with the input ids; the row of pad_token_id gets nothing.",
    "span_key": "separable_conv of x (masked, if there is a mask).",
    "match": "query times span_key, element by element.",
    "self_attention scores": "Query times key, summed over Dh and divided by sqrt(Dh); then plus the bias.",
    "span_dynamic_conv scores": "One linear map of the match, from H Dh to H K.",
    "kernel": "softmax over the K taps: the last axis of (B, L, H, K).",
    "weights": "softmax of the scores over the last axis, the keys.",
    "mixed_attention value": "A linear map of x by value.weight; the convolution makes a value of its own.",
    "span_dynamic_conv value": "A linear map of x by conv_out_layer; then hidden, if there is a mask.",
    "depthwise_conv out": "Mind the offset: tap j looks at token t + j - K // 2.",
    "dynamic_conv out": "Mind the offset: tap j looks at token t + j - K // 2.",
    "self_attention out": "A mean of the values by the weights after dropout: dropout(weights, drop) v.",
}
