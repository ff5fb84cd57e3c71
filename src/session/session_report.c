/* Owns what a session says about itself: the plan's prediction, and its ranks, as JSON. */
#include "session/session_impl.h"

#include "base/log.h"
#include "base/units.h"

#include <stdio.h>

json_t *sw_session_predicted(const struct sw_session *s)
{
    const struct sw_prediction *p = &s->plan.predicted;
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "load_s", p->load_s, "s_per_token",
                     p->s_per_token, "tokens_per_s", p->tokens_per_s, "prompt_tokens_per_s",
                     p->prompt_tokens_per_s, "s_per_request", p->s_per_request);
}

/* The share of the experts of decode micro-batches that were at hand. */
static double report_hits(const struct sw_expert_stats *e)
{
    return e->uses ? (double)e->hits / (double)e->uses : 0;
}

/* Of so many bytes those for each new token. */
static double report_each(const struct sw_expert_stats *e, uint64_t bytes)
{
    return e->decode_rows ? (double)bytes / (double)e->decode_rows : 0;
}

/* Whether a GPU keeps the experts. */
static bool report_on_gpu(const struct sw_plan_stage *s)
{
    return s->tiers.by_expert && (s->tiers.n_streamed > 0 || s->tiers.disk_on_gpu);
}

void sw_session_log_experts(const struct sw_session *s)
{
    char read[16], copied[16], bus[48] = "";
    for (int r = 0; r < s->plan.n_ranks; r++) {
        const struct sw_expert_stats *e = &s->peaks[r].experts;
        const struct sw_plan_stage *stage = &s->plan.stages[r];
        if (!s->peaks[r].by_expert || !e->uses)
            continue;
        sw_size_format((uint64_t)report_each(e, e->decode_bytes), read, sizeof read);
        sw_size_format((uint64_t)report_each(e, e->copied_bytes), copied, sizeof copied);
        if (report_on_gpu(stage))
            snprintf(bus, sizeof bus, "%s copied and ", copied);
        sw_log(SW_LOG_INFO,
               "rank %d: experts %s: %.1f%% hits (the plan: %.1f%%), %s%s read for each token", r,
               report_on_gpu(stage) ? "on the GPU" : "from disk", 100 * report_hits(e),
               100 * stage->expert_hits, bus, read);
    }
}

/* What a rank keeps of its experts; NULL: it has none that move. */
static json_t *report_experts(const struct sw_plan_stage *stage, const struct sw_peak *peak)
{
    const struct sw_expert_stats *e = &peak->experts;
    return !stage->tiers.by_expert
               ? NULL
               : json_pack("{s:i, s:b, s:f, s:f, s:f, s:f}", "cached", stage->tiers.cached_experts,
                           "on_gpu", report_on_gpu(stage), "predicted_hit_rate", stage->expert_hits,
                           "hit_rate", report_hits(e), "read_bytes_per_token",
                           report_each(e, e->decode_bytes), "copied_bytes_per_token",
                           report_each(e, e->copied_bytes));
}

json_t *sw_session_ranks(const struct sw_session *s)
{
    const struct sw_times *times = sw_driver_times(s->driver), start = {0};
    json_t *ranks = json_array();
    for (int r = 0; r < s->plan.n_ranks; r++) {
        const struct sw_plan_stage *stage = &s->plan.stages[r];
        const struct sw_peak peak = s->peaks ? s->peaks[r] : (struct sw_peak){0};
        json_array_append_new(
            ranks,
            json_pack(
                "{s:i, s:s, s:i, s:i, s:{s:i, s:i, s:i, s:i}, s:b, s:i, s:{s:I, s:I, s:I}, s:I, "
                "s:I, s:f, s:s, s:o*}",
                "rank", r, "host", s->transport->ranks[r].host, "first", stage->first, "count",
                stage->count, "layers", "gpu", stage->tiers.n_gpu, "host", stage->tiers.n_host,
                "streamed", stage->tiers.n_streamed, "disk", stage->tiers.n_disk, "disk_on_gpu",
                stage->tiers.disk_on_gpu, "prompt_streamed_rows", stage->tiers.stream_rows, "bytes",
                "gpu", (json_int_t)stage->gpu.total, "host", (json_int_t)stage->host.total, "disk",
                (json_int_t)stage->disk_bytes, "peak_host_bytes", (json_int_t)peak.host,
                "peak_gpu_bytes", (json_int_t)peak.gpu, "busy", sw_times_busy(&start, &times[r]),
                "to_next", sw_worker_link(s->worker, r), "experts", report_experts(stage, &peak)));
    }
    return ranks;
}
