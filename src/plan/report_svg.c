/* Owns a plan as SVG: nodes as boxes, a bar for each memory, arrows from stage to stage. */
#include "plan/report.h"

#include "base/units.h"
#include "model/weight_choice.h"

#include <stdio.h>
#include <string.h>

#define LEFT 24
#define WIDTH 1040
#define BAR_X 150
#define BAR_W 440
#define ROW_H 46
#define HEAD_H 40
#define TOP 92

static const struct paint {
    const char *fill, *name;
} paints[] = {{"#2f5d8c", "weights"}, {"#5fa3c7", "KV cache"}, {"#e0a33a", "workspace"},
              {"#9aa3ad", "reserve"}, {"#c8553d", "in use"},   {"#eef1f4", "free"}};

/* By attributes, not a style sheet: a page with a content policy may show the picture, too. */
static const struct text_class {
    const char *name, *attributes;
} text_classes[] = {{"title", " font-size=\"18\" font-weight=\"bold\""},
                    {"node", " font-size=\"15\" font-weight=\"bold\""},
                    {"size", " fill=\"#55606b\""},
                    {"key", " font-size=\"12\""}};

static const char *text_attributes(const char *class)
{
    for (size_t i = 0; i < sizeof text_classes / sizeof text_classes[0]; i++)
        if (strcmp(text_classes[i].name, class) == 0)
            return text_classes[i].attributes;
    return "";
}

static void svg_put_text(struct sw_strbuf *out, double x, double y, const char *class,
                         const char *text)
{
    sw_strbuf_printf(out, "<text x=\"%.0f\" y=\"%.0f\" class=\"%s\"%s>", x, y, class,
                     text_attributes(class));
    for (const char *c = text; *c; c++) {
        if (*c == '<' || *c == '>' || *c == '&')
            sw_strbuf_puts(out, *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : "&amp;");
        else if ((unsigned char)*c >= ' ')
            sw_strbuf_append(out, c, 1);
    }
    sw_strbuf_puts(out, "</text>\n");
}

/* Draws a bar. parts: weights, KV, work, reserve, others; the rest of the total is free. */
static void put_bar(struct sw_strbuf *out, double y, const uint64_t parts[5], uint64_t total)
{
    double x = BAR_X;
    sw_strbuf_printf(out,
                     "<rect x=\"%d\" y=\"%.0f\" width=\"%d\" height=\"22\" rx=\"3\" fill=\"%s\" "
                     "stroke=\"#c4cbd3\"/>\n",
                     BAR_X, y, BAR_W, paints[5].fill);
    for (int i = 0; i < 5 && total; i++) {
        const double w = (double)parts[i] / (double)total * BAR_W;
        if (w >= 0.3)
            sw_strbuf_printf(out,
                             "<rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"22\" "
                             "fill=\"%s\"/>\n",
                             x, y, w, paints[i].fill);
        x += w;
    }
}

static void parts_add(uint64_t parts[5], const struct sw_bytes *b)
{
    const uint64_t weights = b->weights + b->embed + b->head;
    parts[0] += weights;
    parts[1] += b->kv;
    parts[2] += b->total - weights - b->kv;
}

static void put_memory(struct sw_strbuf *out, double y, const char *name, const uint64_t parts[5],
                       uint64_t total, const char *what)
{
    char used[16], all[16], text[64];
    svg_put_text(out, LEFT + 18, y + 16, "name", name);
    put_bar(out, y, parts, total);
    snprintf(text, sizeof text, "%s of %s",
             sw_size_format(parts[0] + parts[1] + parts[2], used, sizeof used),
             sw_size_format(total, all, sizeof all));
    svg_put_text(out, BAR_X + BAR_W + 14, y + 16, "size", text);
    svg_put_text(out, BAR_X + BAR_W + 170, y + 16, "what", what);
}

/* Writes what a stage has in one kind of memory, "embedding, layers 0-21". */
static void svg_append_layers(struct sw_strbuf *b, const char *what, int first, int count)
{
    const char *comma = b->length ? ", " : "";
    if (count == 1)
        sw_strbuf_printf(b, "%s%s%d", comma, what, first);
    else if (count > 1)
        sw_strbuf_printf(b, "%s%s%d-%d", comma, what, first, first + count - 1);
    else if (count < 0)
        sw_strbuf_printf(b, "%s%s", comma, what);
}

static double put_gpu(const struct sw_report *r, const struct sw_plan_stage *s, double y,
                      struct sw_strbuf *out)
{
    const struct sw_device *d = &r->cluster->nodes[s->node].devices[s->device];
    struct sw_strbuf what = {0};
    uint64_t parts[5] = {0};
    char name[32];
    snprintf(name, sizeof name, "rank %d: gpu%d", s->rank, s->device);
    parts_add(parts, &s->gpu);
    parts[3] = r->options->gpu_reserve < d->free ? r->options->gpu_reserve : d->free;
    parts[4] = d->total - d->free;
    svg_append_layers(&what, "embedding", 0, s->embed && s->tiers.embed_on_gpu ? -1 : 0);
    svg_append_layers(&what, s->tiers.n_gpu == 1 ? "layer " : "layers ", s->first, s->tiers.n_gpu);
    svg_append_layers(&what, "from disk ", s->first + s->count - s->tiers.n_disk,
                      s->tiers.disk_on_gpu ? s->tiers.n_disk : 0);
    svg_append_layers(&what, "head", 0, s->head && s->tiers.head_on_gpu ? -1 : 0);
    if (!s->count)
        svg_append_layers(&what, "left out", 0, -1);
    put_memory(out, y, name, parts, d->total, what.text ? what.text : "");
    sw_strbuf_free(&what);
    return y + ROW_H;
}

/* Whether rank r has layers in host memory alone that go on from those of the rank before it, on
 * the same node: they are one range then. */
static bool goes_on(const struct sw_plan *plan, int r)
{
    const struct sw_plan_stage *s = &plan->stages[r], *before = s - 1;
    return r > 0 && s->node == before->node && s->first == before->first + before->count &&
           s->tiers.n_host == s->count && before->count > 0 &&
           before->tiers.n_host == before->count;
}

static double put_host(const struct sw_report *r, int n, double y, struct sw_strbuf *out)
{
    const struct sw_node *node = &r->cluster->nodes[n];
    const struct sw_plan *plan = r->plan;
    struct sw_strbuf what = {0};
    uint64_t parts[5] = {0};
    for (int i = 0; i < plan->n_ranks; i++) {
        const struct sw_plan_stage *s = &plan->stages[i];
        const int host = s->first + s->tiers.n_gpu;
        int mixed = s->tiers.n_host + s->tiers.n_streamed;
        if (s->node != n || !s->count)
            continue;
        for (int next = i + 1; next < plan->n_ranks && goes_on(plan, next); next++)
            mixed += plan->stages[next].count;
        if (goes_on(plan, i))
            mixed = 0;
        parts_add(parts, &s->host);
        svg_append_layers(&what, "embedding", 0, s->embed && !s->tiers.embed_on_gpu ? -1 : 0);
        svg_append_layers(&what,
                          !s->tiers.n_host ? "streamed "
                          : mixed == 1     ? "layer "
                                           : "layers ",
                          host, mixed);
        if (s->tiers.n_host && s->tiers.n_streamed)
            sw_strbuf_printf(&what, " (%d over the bus)", s->tiers.n_streamed);
        svg_append_layers(&what, "from disk ", host + mixed,
                          s->tiers.disk_on_gpu ? 0 : s->tiers.n_disk);
        svg_append_layers(&what, "head", 0, s->head && !s->tiers.head_on_gpu ? -1 : 0);
    }
    parts[3] = sw_node_reserve(r->options, node->host_free);
    parts[4] = node->host_total - node->host_free;
    put_memory(out, y, "host memory", parts, node->host_total, what.text ? what.text : "");
    sw_strbuf_free(&what);
    return y + ROW_H;
}

static bool node_used(const struct sw_plan *plan, int node)
{
    for (int r = 0; r < plan->n_ranks; r++)
        if (plan->stages[r].node == node && plan->stages[r].count)
            return true;
    return false;
}

static double svg_put_node(const struct sw_report *r, int n, double y, struct sw_strbuf *out)
{
    const double top = y;
    int rows = 1;
    for (int i = 0; i < r->plan->n_ranks; i++)
        rows += r->plan->stages[i].node == n && r->plan->stages[i].device >= 0;
    sw_strbuf_printf(out,
                     "<rect x=\"%d\" y=\"%.0f\" width=\"%d\" height=\"%d\" rx=\"8\" "
                     "fill=\"#ffffff\" stroke=\"#8b97a5\"/>\n",
                     LEFT, top, WIDTH - 2 * LEFT, HEAD_H + rows * ROW_H);
    svg_put_text(out, LEFT + 18, top + 25, "node", r->cluster->nodes[n].name);
    y += HEAD_H;
    for (int i = 0; i < r->plan->n_ranks; i++)
        if (r->plan->stages[i].node == n && r->plan->stages[i].device >= 0)
            y = put_gpu(r, &r->plan->stages[i], y, out);
    return put_host(r, n, y, out) + 18;
}

static void put_head(const struct sw_report *r, struct sw_strbuf *out)
{
    const struct sw_prediction *p = &r->plan->predicted;
    char text[SW_CHOICE_TEXT + 256], weights[SW_CHOICE_TEXT], token[32], load[32], rate[16],
        prompts[16], disk[16];
    snprintf(text, sizeof text, "%.80s, %s weights, %d layers on %d rank%s",
             r->model ? r->model : "model", sw_weights_text(&r->footprint->params, weights),
             r->plan->n_layers, r->plan->n_stages, r->plan->n_stages == 1 ? "" : "s");
    svg_put_text(out, LEFT, 34, "title", text);
    snprintf(text, sizeof text,
             "predicted %s tokens/s (%s a token), prompts %s tokens/s, loading %s",
             sw_number_format(p->tokens_per_s, rate, sizeof rate),
             sw_seconds_format(p->s_per_token, token, sizeof token),
             sw_number_format(p->prompt_tokens_per_s, prompts, sizeof prompts),
             sw_seconds_format(p->load_s, load, sizeof load));
    if (p->disk_bytes > 0)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", %s from disk for each token",
                 sw_size_format((uint64_t)p->disk_bytes, disk, sizeof disk));
    svg_put_text(out, LEFT, 58, "size", text);
    for (int i = 0; i < 6; i++) {
        const int x = LEFT + i * 112;
        sw_strbuf_printf(out,
                         "<rect x=\"%d\" y=\"70\" width=\"12\" height=\"12\" rx=\"2\" "
                         "fill=\"%s\" stroke=\"#c4cbd3\"/>\n",
                         x, paints[i].fill);
        svg_put_text(out, x + 18, 80, "key", paints[i].name);
    }
}

void sw_report_svg(const struct sw_report *report, struct sw_strbuf *out)
{
    struct sw_strbuf body = {0};
    double y = TOP;
    int left_out = 0;
    if (!report->plan->fits) {
        svg_put_text(&body, LEFT, y + 24, "title", "does not fit");
        y += 48;
    }
    for (int n = 0; report->plan->fits && n < report->cluster->n_nodes; n++) {
        if (node_used(report->plan, n))
            y = svg_put_node(report, n, y, &body);
        else
            left_out++;
    }
    if (left_out) {
        char text[64];
        snprintf(text, sizeof text, "and %d node%s left out", left_out, left_out > 1 ? "s" : "");
        svg_put_text(&body, LEFT, y + 12, "size", text);
        y += 24;
    }
    sw_strbuf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
                     "viewBox=\"0 0 %d %.0f\" font-family=\"sans-serif\" font-size=\"13\" "
                     "fill=\"#2b333b\">\n"
                     "<rect width=\"100%%\" height=\"100%%\" fill=\"#f6f7f9\"/>\n",
                     WIDTH, y + 12, WIDTH, y + 12);
    put_head(report, out);
    if (body.text)
        sw_strbuf_puts(out, body.text);
    sw_strbuf_puts(out, "</svg>\n");
    out->failed |= body.failed;
    sw_strbuf_free(&body);
}
