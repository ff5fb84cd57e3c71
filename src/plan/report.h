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

/* What a Slurm job file says beside the plan; texts that are not NULL. */
struct sw_job {
    const char *name;    /* one word */
    const char *model;   /* the path that the job's command line has */
    const char *options; /* … and the options of the plan, " --slots 4", quoted for a shell */
    int threads;         /* a rank, as asked for; 0: not */
};
/*
 * A job file for the nodes that have layers in a plan that fits: what to ask Slurm for, then
 * launch/slurm.sbatch. Nodes of other needs become other parts of the job (hetjob). SW_ENOFIT: more
 * parts than Slurm takes.
 */
enum sw_status sw_report_sbatch(const struct sw_report *report, const struct sw_job *job,
                                struct sw_strbuf *out);

#endif
