/* A plan for people and for programs. Each appends to `out`; check out->failed once at the end. */
#ifndef SW_PLAN_REPORT_H
#define SW_PLAN_REPORT_H

#include "base/strbuf.h"
#include "model/footprint.h"
#include "plan/plan.h"

#include <stdbool.h>

struct sw_report {
    const char *model; /* title, "opt-66b"; may be NULL */
    const struct sw_footprint *footprint;
    const struct sw_cluster *cluster;
    const struct sw_plan *plan;
    const struct sw_plan_options *options;
};

struct sw_report_style {
    int width;    /* columns; 0: 100 */
    bool unicode; /* else plain ASCII */
    bool colour;  /* ANSI colours */
};

/* The table, a bar a device and node, the prediction; or, when it does not fit, the advice. */
void sw_report_text(const struct sw_report *report, const struct sw_report_style *style,
                    struct sw_strbuf *out);
/* The fields of docs/design.md section 9, and the bytes in full. */
void sw_report_json(const struct sw_report *report, struct sw_strbuf *out);
void sw_report_svg(const struct sw_report *report, struct sw_strbuf *out);

#endif
